// The list of chats: pinned first, archived apart, and who asks to be let in.
import { useState } from "preact/hooks";
import type { ChatRow } from "../api/rows";
import { IconButton } from "../parts/Button";
import { Icon } from "../parts/Icon";
import { ArrowList } from "../parts/List";
import { Menu, type Place } from "../parts/Menu";
import { listed, requests } from "../state/chats";
import { openDialog } from "../state/dialogs";
import { number, t } from "../text/index";
import { Banner } from "./Banner";
import { ChatLine } from "./ChatLine";
import { chatItems } from "./chatMenu";

const SHOWN = 200;

/** The side of the page with all chats. */
export function ChatList() {
  const { active, archived } = listed.value;
  const [menu, setMenu] = useState<{ chat: ChatRow; at: Place } | null>(null);
  const [shown, setShown] = useState(SHOWN);
  const [isArchiveOpen, setArchiveOpen] = useState(false);
  const line = (chat: ChatRow) => (
    <ChatLine key={chat.id} chat={chat} onMenu={(at) => setMenu({ chat, at })} />
  );
  return (
    <nav class="chats" aria-label={t("chats.title")}>
      <Head />
      <Banner />
      <div class="chats-scroll">
        {requests.value.length > 0 && <RequestsLine />}
        <ArrowList label={t("chats.title")}>{active.slice(0, shown).map(line)}</ArrowList>
        {active.length > shown && <button type="button" class="chats-extra" onClick={() => setShown(shown + SHOWN)}>{t("chats.more")}</button>}
        {active.length === 0 && <Empty />}
        {archived.length > 0 && (
          <>
            <button type="button" class="chats-extra" aria-expanded={isArchiveOpen} onClick={() => setArchiveOpen(!isArchiveOpen)}>
              <Icon name="archive" />
              <span class="grow">{t("chats.archived")}</span>
              <span class="badge badge-quiet">{number(archived.length)}</span>
            </button>
            {isArchiveOpen && <ArrowList label={t("chats.archived")}>{archived.slice(0, shown).map(line)}</ArrowList>}
          </>
        )}
      </div>
      {menu && <Menu items={chatItems(menu.chat)} at={menu.at} label={t("chats.actions")} onClose={() => setMenu(null)} />}
    </nav>
  );
}

function Head() {
  return (
    <header class="chats-head">
      <h2>{t("app.name")}</h2>
      <IconButton icon="search" label={t("chats.search")} onClick={() => openDialog("search", {})} />
      <IconButton icon="plus" label={t("chats.new")} onClick={() => openDialog("newChat", {})} />
      <IconButton icon="settings" label={t("chats.settings")} onClick={() => openDialog("settings", {})} />
    </header>
  );
}

function RequestsLine() {
  return (
    <button type="button" class="chats-extra chats-requests" onClick={() => openDialog("requests", {})}>
      <Icon name="inbox" />
      <span class="grow">{t("chats.requests")}</span>
      <span class="badge">{number(requests.value.length)}</span>
    </button>
  );
}

function Empty() {
  return (
    <div class="chats-empty">
      <p>{t("chats.empty")}</p>
      <button type="button" class="button button-primary" onClick={() => openDialog("newChat", {})}>{t("chats.new")}</button>
    </div>
  );
}
