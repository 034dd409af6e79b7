// Lays a compressed form beside each file of the built page: the program serves it as it is.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

for (const file of readdirSync("dist", { recursive: true, encoding: "utf8" })) {
  if (!/\.(html|js|css|svg)$/.test(file)) continue;
  const path = join("dist", file);
  writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
}
