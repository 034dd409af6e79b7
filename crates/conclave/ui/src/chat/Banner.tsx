// Says when the program or its server is out of reach, and what waits.
import { Icon } from "../parts/Icon";
import { connection, queued } from "../state/connection";
import { t } from "../text/index";

const WORDS = {
  program: "banner.program",
  removed: "error.DEVICE_REMOVED",
  server: "banner.offline",
} as const;

/** A line above the chats; nothing while all is well. */
export function Banner() {
  const now = connection.value;
  const waits = queued.value > 0 ? ` ${t("banner.queued", { n: queued.value })}` : "";
  return (
    <div class="banner-place" role="status">
      {now !== null && (
        <p class="banner">
          <Icon name="plug" />
          <span>{t(WORDS[now])}{now !== "removed" && waits}</span>
        </p>
      )}
    </div>
  );
}
