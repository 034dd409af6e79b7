// The words of a message: markup as elements, never as HTML.
import type { MessageRow } from "../api/rows";
import { safeText } from "../text/safe";
import { blocks, type Part } from "./markup";

/** What a message says. */
export function Words({ row }: { row: MessageRow }) {
  return (
    <div class="words">
      {blocks(row.text, row.mentions).map((block, index) => {
        if (block.kind === "code") return <pre key={index} dir="ltr" tabIndex={0}><code>{safeText(block.text)}</code></pre>;
        const parts = <Parts parts={block.parts} />;
        return block.kind === "quote"
          ? <blockquote key={index} dir="auto">{parts}</blockquote>
          : <p key={index} dir="auto">{parts}</p>;
      })}
    </div>
  );
}

function Parts({ parts }: { parts: Part[] }) {
  return <>{parts.map((part, index) => <One key={index} part={part} />)}</>;
}

function One({ part }: { part: Part }) {
  switch (part.kind) {
    case "text":
      return <>{safeText(part.text)}</>;
    case "code":
      return <code dir="ltr">{safeText(part.text)}</code>;
    case "bold":
      return <strong><Parts parts={part.parts} /></strong>;
    case "italic":
      return <em><Parts parts={part.parts} /></em>;
    case "strike":
      return <s><Parts parts={part.parts} /></s>;
    case "mention":
      return <bdi class={part.mention.own ? "mention mention-own" : "mention"}>{safeText(part.text)}</bdi>;
    case "link":
      return (
        <bdi>
          <a href={part.href} target="_blank" rel="noopener noreferrer nofollow">{safeText(part.text)}</a>
          {part.host && <span class="link-host"> ({part.host})</span>}
        </bdi>
      );
  }
}
