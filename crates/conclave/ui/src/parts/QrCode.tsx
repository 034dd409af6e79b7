// A QR code, drawn from the program's rows of modules.
import { useEffect, useState } from "preact/hooks";
import { rpc } from "../api/rpc";
import type { QrRow } from "../api/rows";
import { report } from "../state/notices";

/** The code of `text`, or of the bytes that `hex` says; `label` says what it holds. */
export function QrCode({ text = "", hex = "", label }: { text?: string; hex?: string; label: string }) {
  const [code, setCode] = useState<QrRow | null>(null);
  useEffect(() => {
    let isCurrent = true;
    rpc<QrRow>("qr.draw", hex ? { hex } : { text }).then((drawn) => isCurrent && setCode(drawn), report);
    return () => {
      isCurrent = false;
    };
  }, [text, hex]);
  if (!code) return <div class="qr" aria-busy="true" />;
  const edge = 4;
  const side = code.size + 2 * edge;
  return (
    <svg class="qr" viewBox={`${-edge} ${-edge} ${side} ${side}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <path d={outline(code.rows)} />
    </svg>
  );
}

/** One path of all dark modules. */
export function outline(rows: string[]): string {
  return rows
    .flatMap((row, y) => [...row.matchAll(/1+/g)].map((run) => `M${run.index} ${y}h${run[0].length}v1h-${run[0].length}z`))
    .join("");
}
