// Small PNG pictures out of nothing: a soft landscape, so that screenshots have something to show.

import { crc32, deflateSync } from "node:zlib";

/** A PNG of `width` by `height` pixels: sky over hills, the same bytes each time. */
export function png(width, height) {
  const rows = Buffer.alloc((width * 3 + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows.set(colour(x / width, y / height), y * (width * 3 + 1) + 1 + x * 3);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    part("IHDR", head),
    part("IDAT", deflateSync(rows)),
    part("IEND", Buffer.alloc(0)),
  ]);
}

function colour(x, y) {
  const far = 0.55 + 0.06 * Math.sin(x * 7);
  const near = 0.75 + 0.05 * Math.sin(x * 4 + 1);
  if (y > near) return [74, 124, 78];
  if (y > far) return [128, 164, 120];
  if ((x - 0.75) ** 2 + (y - 0.25) ** 2 < 0.008) return [255, 226, 150];
  return [176 + 60 * y, 206 + 20 * y, 236];
}

function part(name, content) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), content]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(content.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}
