// The own identifier, to give to others: as words and as a QR code.
import { CopyText } from "../parts/CopyText";
import { Dialog } from "../parts/Dialog";
import { QrCode } from "../parts/QrCode";
import { me } from "../state/me";
import { t } from "../text/index";

/** The dialog. */
export function Address({ onClose }: { onClose: () => void }) {
  const row = me.value;
  return (
    <Dialog title={t("address.title")} onClose={onClose}>
      <p>{t("address.text")}</p>
      {row && (
        <>
          <QrCode text={row.identifier} label={t("address.qr", { who: row.identifier })} />
          <CopyText text={row.identifier} label={t("address.identifier")} />
          <h2 class="part-title">{t("address.server")}</h2>
          <p class="soft-note">{t("address.server_text")}</p>
          <CopyText text={row.server} label={t("address.server")} />
        </>
      )}
    </Dialog>
  );
}
