// A button that takes a picture: picked, dropped on it, or pasted while it has the focus.
import { useRef } from "preact/hooks";
import { Button } from "./Button";

interface Props {
  /** What the button says. */
  label: string;
  busy?: boolean;
  onPick: (file: File) => void;
}

function pictureIn(items: DataTransfer | null): File | null {
  return [...(items?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? null;
}

/** PNG and JPEG files. */
export function PickPicture({ label, busy = false, onPick }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const take = (event: Event, items: DataTransfer | null) => {
    const file = pictureIn(items);
    if (!file) return;
    event.preventDefault();
    onPick(file);
  };
  return (
    <div
      class="pick-picture"
      onPaste={(event) => take(event, event.clipboardData)}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => take(event, event.dataTransfer)}
    >
      <Button disabled={busy} onClick={() => input.current?.click()}>
        {label}
      </Button>
      <input
        ref={input}
        type="file"
        hidden
        accept="image/png,image/jpeg"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) onPick(file);
        }}
      />
    </div>
  );
}
