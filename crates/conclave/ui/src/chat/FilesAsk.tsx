// Shows files before they are sent: pictures as they are, a line of words, and each can be taken out.
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, IconButton } from "../parts/Button";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import { safeFileName } from "../text/safe";
import { size } from "../text/time";
import { t } from "../text/index";

/** The question whether these files go. `onChange` gets what is left of them. */
export function FilesAsk(props: { files: File[]; text: string; onChange: (left: File[]) => void; onSend: (text: string) => void }) {
  const { files, onChange, onSend } = props;
  const words = useRef<HTMLTextAreaElement>(null);
  const go = () => onSend(words.current?.value.trim() ?? "");
  return (
    <Dialog
      title={t("files.title", { n: files.length })}
      onClose={() => onChange([])}
      footer={
        <>
          <Button onClick={() => onChange([])}>{t("action.cancel")}</Button>
          <Button kind="primary" icon="send" onClick={go}>{t("composer.send")}</Button>
        </>
      }
    >
      <ul class="files-ask">
        {files.map((file, index) => (
          <li key={`${index} ${file.name}`}>
            <Preview file={file} />
            <span class="file-words">
              <bdi class="file-name ellipsis">{safeFileName(file.name)}</bdi>
              <span class="soft">{size(file.size)}</span>
            </span>
            <IconButton icon="close" label={t("files.remove", { name: safeFileName(file.name) })} onClick={() => onChange(files.filter((one) => one !== file))} />
          </li>
        ))}
      </ul>
      <textarea
        ref={words}
        class="composer-text files-words"
        rows={2}
        dir="auto"
        defaultValue={props.text}
        aria-label={t("files.words")}
        placeholder={t("files.words")}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          go();
        }}
      />
    </Dialog>
  );
}

function Preview({ file }: { file: File }) {
  const [url, setUrl] = useState("");
  const isPicture = /^image\/(png|jpeg|webp|gif)$/.test(file.type);
  useEffect(() => {
    if (!isPicture) return undefined;
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return url === "" ? <Icon name="file" /> : <img class="files-preview" src={url} alt="" />;
}
