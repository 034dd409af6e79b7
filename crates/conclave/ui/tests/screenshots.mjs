// Takes the pictures that the README shows: `node screenshots.mjs FOLDER`, run by `cargo xtask screenshots`.

import { mkdir } from "node:fs/promises";
import path from "node:path";

import { home } from "./support/page.mjs";
import { Scene } from "./support/scene.mjs";
import { live } from "./support/story.mjs";
import { t } from "./support/text.mjs";
import { tour } from "./support/tour.mjs";

const folder = path.resolve(process.argv[2] ?? "screenshots");
/** Wide enough for two panes, small enough for a README. */
const WINDOW = { width: 960, height: 640 };
/** The screens that are shown in the dark, so that both are seen. */
const DARK = new Set(["group", "devices", "search", "shortcuts"]);

await mkdir(folder, { recursive: true });
const endings = [];
const scene = await Scene.open({ after: (work) => endings.push(work) }, [
  "anna",
  "ben",
  "cleo",
  "dora",
]);
try {
  await live(scene);
  for (const colorScheme of ["light", "dark"]) {
    const tab = await scene.open(scene.anna, { viewport: WINDOW, colorScheme });
    await tour(tab, async (name) => {
      if (name === "chat") await shoot(tab, `chat-${colorScheme}`);
      else if (DARK.has(name) === (colorScheme === "dark")) await shoot(tab, name);
    });
    await tab.context().close();
  }
  await narrow();
  await welcome();
} finally {
  for (const ending of endings) await ending();
}

/** The same chat in a narrow window. */
async function narrow() {
  const tab = await scene.open(scene.ben, { viewport: { width: 360, height: 640 } });
  await home(tab).openChat("Anna");
  await home(tab).message("See you on Saturday").waitFor();
  await shoot(tab, "narrow");
}

/** What somebody new sees first. */
async function welcome() {
  const tab = await scene.open(scene.newcomer("emil"), { viewport: WINDOW });
  await tab.getByRole("button", { name: t("setup.register") }).waitFor();
  await shoot(tab, "welcome");
}

async function shoot(tab, name) {
  await home(tab).settled();
  const file = path.join(folder, `${name}.png`);
  await tab.screenshot({ path: file, animations: "disabled", caret: "hide" });
  console.log(`    ${path.basename(file)}`);
}
