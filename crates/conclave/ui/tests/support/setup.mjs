// The page before there is an account: registering, and linking as a further device.

import { home } from "./page.mjs";
import { t } from "./text.mjs";

/** What somebody does in `tab` whose profile is empty. */
export function setup(tab) {
  const field = (key) => tab.getByLabel(t(key), { exact: true });
  const press = (key) => tab.getByRole("button", { name: t(key), exact: true }).click();
  return {
    /** Makes an account with the code that `server` sends, and goes in. */
    async register(server, identifier, shown) {
      await press("setup.register");
      await field("setup.server").fill(server.address);
      await field("setup.identifier").fill(identifier);
      await field("setup.name").fill(shown);
      await press("setup.ask_code");
      await field("setup.code").fill(await server.codeFor(identifier));
      await press("setup.confirm");
      await press("setup.ready_go");
      await home(tab).list().waitFor();
    },

    /** Shows the code of a device that wants in, keeps its picture in the file `picture`, answers the digits. */
    async link(server, name, picture) {
      await press("setup.link");
      await field("setup.server").fill(server.address);
      await field("setup.device_name").fill(name);
      await press("setup.link_show");
      await tab.getByRole("img", { name: t("setup.link_qr") }).screenshot({ path: picture });
      return (await tab.getByLabel(t("setup.link_code")).innerText()).trim();
    },

    /** After the other device has agreed: goes in. */
    async goIn() {
      await press("setup.ready_go");
      await home(tab).list().waitFor();
    },
  };
}
