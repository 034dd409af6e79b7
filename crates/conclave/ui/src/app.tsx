// The whole page: the gate decides what is shown.
import { gate } from "./api/session";
import { Toasts } from "./parts/Toast";
import { screens } from "./screens/index";
import { Gate } from "./screens/Gate";
import { Lock } from "./screens/Lock";
import { Main } from "./screens/Main";
import { Setup } from "./screens/Setup";
import { dialogs } from "./state/dialogs";

/** What stands in the window. */
export function App() {
  return (
    <>
      <Shown />
      <Toasts layer={0} />
    </>
  );
}

function Shown() {
  switch (gate.value) {
    case "open":
      return <Open />;
    case "locked":
      return <Lock />;
    case "setup":
      return <Setup />;
    default:
      return <Gate />;
  }
}

function Open() {
  return (
    <>
      <Main />
      {dialogs.value.map((one) => {
        const Screen = screens[one.name];
        return Screen ? <Screen key={one.name} {...one.props} /> : null;
      })}
    </>
  );
}
