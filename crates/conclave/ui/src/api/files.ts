// Files to and from the program: upload with progress and cancel, links to what is here.
import { ApiError, NO_ANSWER, NO_SESSION, rpc } from "./rpc";
import { heedStatus, sessionHeaders } from "./session";

/** A file that the program has taken, to be named in `attachments.send`. */
export interface Upload {
  upload: string;
  length: number;
}

/** Where the page gets a file that is here. */
export interface BlobLink {
  url: string;
  inline: boolean;
  media_type: string;
}

/** Uploads a file. `told` gets bytes done; abort `signal` to cancel. */
export function upload(file: File, told: (bytes: number) => void, signal: AbortSignal): Promise<Upload> {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    const name = encodeURIComponent(file.name);
    const type = encodeURIComponent(file.type || "application/octet-stream");
    request.open("POST", `/upload?name=${name}&type=${type}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [header, value] of Object.entries(sessionHeaders())) {
      request.setRequestHeader(header, value);
    }
    request.upload.onprogress = (event) => told(event.loaded);
    request.onload = () => {
      if (!heedStatus(request.status)) fail(new ApiError(NO_SESSION, ""));
      else if (request.status === 413) fail(new ApiError("TOO_LARGE", ""));
      else if (request.status !== 200) fail(new ApiError("HTTP", `${request.status}`));
      else done(JSON.parse(request.responseText) as Upload);
    };
    request.onerror = () => fail(new ApiError(NO_ANSWER, ""));
    request.onabort = () => fail(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

// A large file may take its time; its way is shown.
const FETCH_MS = 600_000;

/** Fetches file `number` of a message unless it is here, and says where the page gets it. */
export async function linkTo(message: string, number: number): Promise<BlobLink> {
  await rpc("attachments.get", { id: `${message}/${number}`, timeout_ms: FETCH_MS });
  return await rpc<BlobLink>("attachments.link", { message, number });
}
