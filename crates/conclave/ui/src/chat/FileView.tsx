// A file of a message: pictures and sounds in place, the rest as a line; with progress and cancel on its way.
import { useEffect, useState } from "preact/hooks";
import type { BlobLink } from "../api/files";
import type { FileRow, MessageRow } from "../api/rows";
import { Button, IconButton } from "../parts/Button";
import { Icon } from "../parts/Icon";
import { Progress } from "../parts/Progress";
import { blobOf, cancelFile, files } from "../state/files";
import { report } from "../state/notices";
import { isLocal } from "../state/sending";
import { safeFileName, safeName } from "../text/safe";
import { size } from "../text/time";
import { t } from "../text/index";

const INLINE = /^(image\/(png|jpeg|webp|gif)|(audio|video)\/(mp4|webm|ogg|mpeg|wav|aac))$/;

/** File `number` (from 1) of a message. */
export function FileView({ row, file, number }: { row: MessageRow; file: FileRow; number: number }) {
  const id = `${row.id}/${number}`;
  const there = files.value[id];
  const state = there?.state ?? file.state ?? (row.own ? "loaded" : "remote");
  const [link, setLink] = useState<BlobLink | null>(null);
  const isShown = INLINE.test(file.media_type) && !isLocal(row);
  const load = () => blobOf(row.id, number).then(setLink, report);
  useEffect(() => {
    if (isShown && state === "loaded") blobOf(row.id, number).then(setLink, () => undefined);
  }, [id, state === "loaded", isShown]);
  if (isShown && link?.inline) return <Inline link={link} file={file} />;
  return (
    <div class="file">
      <Icon name={file.media_type.startsWith("image/") ? "picture" : "file"} />
      <div class="file-words">
        <bdi class="file-name ellipsis" title={safeName(file.name, 300)}>{safeFileName(file.name)}</bdi>
        <span class="soft">{size(file.length)}</span>
        {(state === "uploading" || state === "loading") && there && (
          <Progress done={there.bytes_done} total={there.bytes_total} label={t(state === "loading" ? "file.loading" : "file.uploading", { name: safeFileName(file.name) })} />
        )}
        {state === "failed" && <span class="field-error">{there?.reason || t("file.failed")}</span>}
      </div>
      {state === "uploading" || state === "loading" ? (
        <IconButton icon="close" label={t("file.cancel")} onClick={() => cancelFile(id).catch(report)} />
      ) : (
        !isLocal(row) && <Get isShown={isShown} name={safeFileName(file.name)} load={load} save={() => save(row.id, number, file.name)} />
      )}
    </div>
  );
}

function Get(props: { isShown: boolean; name: string; load: () => void; save: () => Promise<void> }) {
  return props.isShown ? (
    <Button kind="quiet" onClick={props.load} aria-label={t("file.show_name", { name: props.name })}>{t("file.show")}</Button>
  ) : (
    <IconButton icon="download" label={t("file.save", { name: props.name })} onClick={() => props.save().catch(report)} />
  );
}

async function save(message: string, number: number, name: string): Promise<void> {
  const { url } = await blobOf(message, number);
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = safeName(name, 200);
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
}

const LARGEST = 320;

function Inline({ link, file }: { link: BlobLink; file: FileRow }) {
  const kind = link.media_type.split("/")[0];
  const name = safeFileName(file.name);
  if (kind === "audio") return <audio class="media" controls preload="metadata" src={link.url} aria-label={name} />;
  if (kind === "video") return <video class="media" controls preload="metadata" src={link.url} aria-label={name} />;
  const known = file.width > 0 && file.height > 0;
  const scale = known ? Math.min(1, LARGEST / file.width, LARGEST / file.height) : 1;
  return (
    <a href={link.url} target="_blank" rel="noopener" class="picture">
      <img
        class="media"
        src={link.url}
        alt={name}
        decoding="async"
        width={known ? Math.round(file.width * scale) : undefined}
        height={known ? Math.round(file.height * scale) : undefined}
      />
    </a>
  );
}
