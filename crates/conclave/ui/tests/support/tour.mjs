// Ten key screens of the page, one after the other: for pictures, for axe, and for narrow windows.

import { home } from "./page.mjs";
import { t } from "./text.mjs";

/** Screens of the palette: the name in the tour, the line of the palette, the title. */
const SCREENS = [
  ["new-chat", "shortcuts.new_chat", "newchat.title"],
  ["requests", "requests.title", "requests.title"],
  ["devices", "devices.title", "devices.title"],
  ["settings", "settings.title", "settings.title"],
  ["search", "search.all", "search.title"],
  ["shortcuts", "shortcuts.title", "shortcuts.title"],
];

/** Opens each screen in `tab`, where the story was lived, and calls `visit` with its name while it is there. */
export async function tour(tab, visit) {
  const page = home(tab);
  await page.openChat("Ben");
  await page.message("See you on Saturday").waitFor();
  await visit("chat");
  const look = async (name, title) => {
    const dialog = tab.getByRole("dialog", { name: title, exact: true });
    await dialog.waitFor();
    if (name === "search") {
      await page.search("tomat");
      await page.result("tomatoes").waitFor();
    }
    if (name === "safety-number") await dialog.getByRole("img").waitFor();
    await page.settled();
    await visit(name);
    await tab.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  };
  await page.openAbout("Ben");
  await look("safety-number", t("safety.title"));
  for (const [name, screen, title] of SCREENS) {
    await page.openScreen(screen);
    await look(name, t(title));
  }
  await page.leaveChat();
  await page.openChat("Garden");
  await page.message("basil").waitFor();
  await page.openAbout("Garden");
  await look("group", "Garden");
  await page.leaveChat();
}
