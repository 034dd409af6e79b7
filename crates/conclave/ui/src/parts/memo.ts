// A component that is drawn again only when what it is given changed.
import { Component, type ComponentType, type FunctionComponent, h } from "preact";

/** `same` says whether two sets of properties draw the same. Signals that it reads still draw it anew. */
export function memo<P extends object>(Drawn: FunctionComponent<P>, same: (a: P, b: P) => boolean): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props, next);
    }

    override render() {
      return h(Drawn, this.props);
    }
  };
}
