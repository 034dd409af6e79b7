// Pictures that a person picks, as the base64 text that calls carry.
import { ApiError } from "../api/rpc";

/** Bytes of a picture that still fit into one call once they are base64. */
export const PICTURE_BYTES_MAX = 720 * 1024;

function refuse(): never {
  throw new ApiError("NOT_A_PICTURE", "");
}

/** The bytes of a file as base64, without line ends. */
export async function base64Of(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  const step = 0x8000;
  for (let at = 0; at < bytes.length; at += step) {
    text += String.fromCharCode(...bytes.subarray(at, at + step));
  }
  return btoa(text);
}

/**
 * A picture as base64, made smaller until it fits into a call: at first as it is, then as a JPEG of at most
 * `side` pixels. What is no picture is refused by whoever gets it.
 */
export async function pictureOf(file: Blob, side: number): Promise<string> {
  if (file.size <= PICTURE_BYTES_MAX) return await base64Of(file);
  const drawn = await createImageBitmap(file).catch(refuse);
  const scale = Math.min(1, side / Math.max(drawn.width, drawn.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(drawn.width * scale));
  canvas.height = Math.max(1, Math.round(drawn.height * scale));
  canvas.getContext("2d")?.drawImage(drawn, 0, 0, canvas.width, canvas.height);
  drawn.close();
  const made = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  if (!made || made.size > PICTURE_BYTES_MAX) return refuse();
  return await base64Of(made);
}
