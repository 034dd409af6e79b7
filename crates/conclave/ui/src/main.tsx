// Starts the page.
import { render } from "preact";
import "./style/base.css";
import "./style/parts.css";
import "./style/chats.css";
import "./style/chat.css";
import "./style/message.css";
import "./style/composer.css";
import "./style/screens.css";
import "./style/narrow.css";
import { App } from "./app";
import { listenToKeys } from "./state/keys";
import { start } from "./state/start";
import { beginTelling } from "./state/tell";

const root = document.getElementById("app");
if (root) render(<App />, root);
listenToKeys();
beginTelling();
void start();
