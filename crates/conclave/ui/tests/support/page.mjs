// The page of somebody who is in: what they see and do, found by the roles and names that everybody is told.

import path from "node:path";

import { t } from "./text.mjs";
import { until } from "./until.mjs";

/** What somebody sees and does in `tab`. Questions answer locators; deeds are done when they return. */
export function home(tab) {
  return new Home(tab);
}

class Home {
  constructor(tab) {
    this.tab = tab;
  }

  button(key, values) {
    return this.tab.getByRole("button", { name: t(key, values), exact: true });
  }

  item(key, values) {
    return this.tab.getByRole("menuitem", { name: t(key, values), exact: true });
  }

  dialog(key, values) {
    return this.tab.getByRole("dialog", { name: t(key, values) });
  }

  /** The side of the page with all chats. */
  list() {
    return this.tab.getByRole("navigation", { name: t("chats.title") });
  }

  /** The line of the chat that is shown as `name`. */
  chatNamed(name) {
    return this.list().getByRole("listitem").getByRole("button").filter({ hasText: name }).first();
  }

  /** The line of the chat with `person`. */
  chat(person) {
    return this.chatNamed(person.shown);
  }

  /** The open chat. */
  main() {
    return this.tab.getByRole("main");
  }

  /** What is shown when there is no session. */
  ended() {
    return this.tab.getByRole("heading", { name: t("gate.ended.title") });
  }

  /** The banner of a page whose program does not reach the server. */
  offline() {
    return this.tab.getByText(t("banner.offline"));
  }

  /** The line to write in. */
  composer() {
    return this.tab.getByRole("region", { name: t("composer.title") }).getByRole("textbox").first();
  }

  /** The messages of the open chat. */
  messages() {
    return this.tab.getByRole("log", { name: t("chat.messages") });
  }

  /** The newest message that says `text`, wherever in it. */
  message(text) {
    const words = this.tab.locator(".words", { hasText: text });
    return this.messages().getByRole("article").filter({ has: words }).last();
  }

  /** What all messages that are drawn say, oldest first. */
  async words() {
    return this.messages().getByRole("article").locator(".words").allInnerTexts();
  }

  /** The mark of the own message `text` once it says `state`: queued, accepted, delivered, read. */
  state(text, state) {
    return this.message(text).getByRole("button", { name: t(`state.${state}`), exact: true });
  }

  /** Whether the message `text` is inside the window. */
  async isSeen(text) {
    return this.message(text).evaluate((node) => {
      const { top, bottom } = node.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
  }

  /** The button that says after what time messages of the open chat disappear. */
  timer() {
    return this.main().locator(".chat-timer");
  }

  /** Goes to the newest message: a chat opens at what is unread. */
  async toEnd() {
    await this.main().getByRole("button", { name: t("chat.to_end") }).click();
  }

  /** Where one pane is shown at a time: back to the chats. */
  async leaveChat() {
    const back = this.main().getByRole("button", { name: t("chat.back") });
    if (await back.isVisible()) await back.click();
  }

  async openChat(name) {
    await this.chatNamed(name).click();
    await this.composer().waitFor();
  }

  /** Writes `text` and sends it. */
  async say(text) {
    await this.composer().fill(text);
    await this.composer().press("Enter");
  }

  /** Switches something of the settings, which are closed afterwards. */
  async setting(key, isOn) {
    await this.openScreen("settings.title");
    const line = this.dialog("settings.title").getByRole("switch", { name: t(key) });
    await line.setChecked(isOn);
    await until(`${key} is ${isOn}`, () => line.isChecked().then((now) => now === isOn && line.isEnabled()));
    await this.tab.keyboard.press("Escape");
    await this.dialog("settings.title").waitFor({ state: "detached" });
  }

  /** Opens what can be done with a person one knows; the part of the contacts that is about them. */
  async contact(name) {
    await this.openScreen("contacts.title");
    const line = this.dialog("contacts.title").getByRole("listitem").filter({ hasText: name });
    await line.getByRole("button").first().click();
    return line;
  }

  /** A notice with `text`, and its buttons. */
  notice(key, values) {
    return this.tab.locator(".toast", { hasText: t(key, values) });
  }

  /** Sets a time of one's own after which messages of the open chat disappear. */
  async setTimer(count, unit) {
    await this.openScreen("timer.title");
    const dialog = this.dialog("timer.title");
    await dialog.getByLabel(t("timer.own")).check();
    await dialog.getByLabel(t("timer.count")).fill(String(count));
    await dialog.getByLabel(t("timer.unit")).selectOption({ label: t(`timer.unit_${unit}`) });
    await dialog.getByRole("button", { name: t("action.save") }).click();
    await dialog.waitFor({ state: "detached" });
  }

  /** Begins a chat with somebody unknown, by first words. */
  async newChat(identifier, first) {
    await this.list().getByRole("button", { name: t("chats.new") }).first().click();
    const dialog = this.dialog("newchat.title");
    await dialog.getByLabel(t("newchat.who")).fill(identifier);
    await dialog.getByLabel(t("newchat.first")).fill(first);
    await dialog.getByRole("button", { name: t("newchat.send") }).click();
    await this.message(first).waitFor();
  }

  /** Makes a group of people who are known. */
  async newGroup(name, shown) {
    await this.openScreen("newgroup.title");
    const dialog = this.dialog("newgroup.title");
    await dialog.getByLabel(t("newgroup.name")).fill(name);
    for (const person of shown) await dialog.getByLabel(person).check();
    await dialog.getByRole("button", { name: t("newgroup.make") }).click();
    await dialog.waitFor({ state: "detached" });
    await this.chatNamed(name).waitFor();
  }

  /** Opens a screen by the palette, by the name `key` of its line there. */
  async openScreen(key) {
    await this.tab.keyboard.press("Control+k");
    const palette = this.dialog("palette.title");
    await palette.getByRole("combobox").fill(t(key));
    await palette.getByRole("option").filter({ hasText: t(key) }).first().click();
    await palette.waitFor({ state: "detached" });
  }

  /** Opens what there is to know about the open chat: the safety number, or the group. */
  async openAbout(name) {
    const heading = this.tab.getByRole("heading", { level: 2, name, exact: true });
    await this.main().getByRole("button").filter({ has: heading }).click();
  }

  /** Opens the requests, and the one of `name` in them. */
  async request(name) {
    const dialog = this.dialog("requests.title");
    await this.list().getByRole("button").filter({ hasText: t("chats.requests") }).click();
    return dialog.getByRole("listitem", { name: t("requests.from", { who: name }) });
  }

  async acceptRequest(name) {
    const request = await this.request(name);
    await request.getByRole("button", { name: t("requests.accept") }).click();
    await this.dialog("requests.title").waitFor({ state: "detached" });
  }

  async declineRequest(name) {
    const request = await this.request(name);
    await request.getByRole("button", { name: t("requests.decline"), exact: true }).click();
    await request.waitFor({ state: "detached" });
    await this.tab.keyboard.press("Escape");
  }

  /** Opens the menu of a message, and does what the line `key` says. */
  async act(text, key) {
    await this.message(text).click({ button: "right" });
    await this.item(key).click();
  }

  /** Puts an emoji on a message. */
  async react(text, emoji) {
    await this.message(text).click({ button: "right" });
    const name = t("message.react_with", { emoji });
    await this.tab.getByRole("menuitemcheckbox", { name }).click();
  }

  async deleteForEveryone(text) {
    await this.act(text, "action.delete");
    await this.button("delete.everyone").click();
  }

  /** Approves the device whose code is in the file `picture`. */
  async linkDevice(picture, digits) {
    await this.openScreen("devices.title");
    const dialog = this.dialog("devices.title");
    await dialog.getByRole("button", { name: t("devices.link") }).click();
    await dialog.locator("input[type=file]").setInputFiles(picture);
    await until("the code was read", async () => {
      const read = await dialog.getByLabel(t("approve.link"), { exact: true }).inputValue();
      return read.startsWith("conclave-link:");
    });
    await dialog.getByLabel(t("approve.code"), { exact: true }).fill(digits);
    await dialog.getByRole("button", { name: t("approve.approve") }).click();
    await this.tab.getByText(t("devices.approved")).waitFor();
    await this.tab.keyboard.press("Escape");
  }

  /** Looks for words in all chats. */
  async search(words) {
    if ((await this.dialog("search.title").count()) === 0) {
      await this.list().getByRole("button", { name: t("chats.search") }).click();
    }
    await this.dialog("search.title").getByRole("searchbox").fill(words);
  }

  /** The line of the search's results that has `text`. */
  result(text) {
    const results = this.dialog("search.title").getByRole("list", { name: t("search.results") });
    return results.getByRole("button").filter({ hasText: text }).first();
  }

  /** Picks files, looks at them, and sends them with `words`. */
  async attach(paths, words) {
    const [chooser] = await Promise.all([
      this.tab.waitForEvent("filechooser"),
      this.main().getByRole("button", { name: t("composer.attach") }).click(),
    ]);
    await chooser.setFiles(paths);
    await this.sendFiles(paths.map((one) => path.basename(one)), words);
  }

  /** Pastes a file, as from a clipboard, and sends it with `words`. */
  async paste(file, words) {
    await this.hand("paste", file);
    await this.sendFiles([file.name], words);
  }

  /** Drops a file on the conversation, and sends it with `words`. */
  async drop(file, words) {
    await this.hand("drop", file);
    await this.sendFiles([file.name], words);
  }

  async sendFiles(names, words) {
    const dialog = this.dialog("files.title", { n: names.length });
    for (const name of names) await dialog.getByText(name).waitFor();
    await dialog.getByRole("textbox").fill(words);
    await dialog.getByRole("button", { name: t("composer.send") }).click();
    await dialog.waitFor({ state: "detached" });
  }

  async hand(kind, { name, type, bytes }) {
    await this.composer().evaluate(
      (node, [kind, name, type, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type }));
        const options = { bubbles: true, cancelable: true };
        node.dispatchEvent(
          kind === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: data })
            : new DragEvent("drop", { ...options, dataTransfer: data }),
        );
      },
      [kind, name, type, [...bytes]],
    );
  }

  /** Has a picture of a message loaded and shown. */
  async showFile(name) {
    await this.main().getByRole("button", { name: t("file.show_name", { name }) }).last().click();
  }

  /** A picture that is shown in the conversation. */
  picture(name) {
    return this.messages().getByRole("img", { name }).last();
  }

  /** Gets a file of a message; the path where the browser has put it. */
  async download(name) {
    const [download] = await Promise.all([
      this.tab.waitForEvent("download"),
      this.main().getByRole("button", { name: t("file.save", { name }) }).last().click(),
    ]);
    return download.path();
  }

  /** Chooses `light`, `dark` or `system` in the settings, which are open. */
  async theme(name) {
    const choice = this.dialog("settings.title").getByLabel(t("settings.theme"), { exact: true });
    await choice.selectOption({ label: t(`settings.theme_${name}`) });
  }

  /** Scrolls up until the message `text` is there. */
  async scrollUpTo(text) {
    await until(`${text} after scrolling up`, async () => {
      if ((await this.message(text).count()) > 0) return true;
      await this.messages().evaluate((node) => node.scrollBy(0, -node.clientHeight));
      return false;
    });
  }

  /** Scrolls down until the message `text` is there. */
  async scrollDownTo(text) {
    await until(`${text} after scrolling down`, async () => {
      if ((await this.message(text).count()) > 0) return true;
      await this.messages().evaluate((node) => node.scrollBy(0, node.clientHeight));
      return false;
    });
  }

  /** Nothing moves and nothing is on its way: a picture taken now is the one of the next run. */
  async settled() {
    await this.tab.evaluate(() => document.fonts.ready.then(() => true));
    await until("all pictures are drawn", () =>
      this.tab.evaluate(() => [...document.images].every((picture) => picture.complete)),
    );
  }

  /** Calls a method as the page does, with its session. */
  async rpc(method, params = {}) {
    const call = { jsonrpc: "2.0", id: 1, method, params };
    const answer = await this.tab.evaluate(
      async ([body, token]) => {
        const headers = { "content-type": "application/json", "x-conclave-token": token };
        return (await fetch("/rpc", { method: "POST", body, headers })).json();
      },
      [JSON.stringify(call), this.tab.token],
    );
    if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
    return answer.result;
  }

  /** What the page gets at a path of its own origin: status, headers and bytes. */
  async get(url) {
    const answer = await this.tab.evaluate(async (url) => {
      const answer = await fetch(url);
      const bytes = [...new Uint8Array(await answer.arrayBuffer())];
      return { status: answer.status, headers: Object.fromEntries(answer.headers), bytes };
    }, url);
    return { ...answer, body: Buffer.from(answer.bytes) };
  }
}
