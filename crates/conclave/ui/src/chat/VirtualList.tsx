// A long list of which only the lines near the screen are drawn. It keeps its place when lines come or grow.
import { Component, type ComponentChildren, createRef } from "preact";
import { Heights, span } from "./window";

/** What the list is told. */
export interface VirtualProps {
  keys: string[];
  /** The height of a line that was never drawn, in pixels. */
  guess: (index: number) => number;
  render: (index: number) => ComponentChildren;
  /** Whether a line stays between the same neighbours when lines come before it. */
  isFixed: (index: number) => boolean;
  label: string;
  /** Gets the list itself while it is on the page. */
  handle: { current: VirtualList | null };
  /** Called near the beginning, to load what is before it. */
  onNearStart: () => void;
  /** Called near the end, to load what is behind it. */
  onNearEnd: () => void;
  /** Whether its last line is the newest there is: only there it stays at the end. */
  hasEnd: boolean;
  /** Whether the list stands at its end, whenever that changes. */
  onAtEnd: (atEnd: boolean) => void;
}

interface Window {
  from: number;
  to: number;
}

const MARGIN = 500;
const NEAR_PAGE = 600;
const NEAR_END = 48;

/** Stays at the end while it is there; else the first line on the screen stays where it is. */
export class VirtualList extends Component<VirtualProps, Window> {
  override state: Window = { from: 0, to: 0 };
  private readonly scroller = createRef<HTMLDivElement>();
  private readonly heights = new Heights();
  private sizes: ResizeObserver | null = null;
  private anchor = { key: "", offset: 0 };
  private stuck = true;
  private observed = new Map<string, HTMLElement>();

  override componentWillMount(): void {
    this.heights.set(this.props.keys, this.props.guess);
    const count = this.props.keys.length;
    this.setState({ from: Math.max(0, count - 30), to: count });
  }

  override componentDidMount(): void {
    this.props.handle.current = this;
    this.sizes = new ResizeObserver((entries) => this.measure(entries));
    if (this.scroller.current) this.sizes.observe(this.scroller.current);
    this.drawn();
  }

  override componentDidUpdate(): void {
    this.drawn();
  }

  override componentWillUnmount(): void {
    this.props.handle.current = null;
    this.sizes?.disconnect();
  }

  /** Puts a line into the middle of the screen. */
  showLine(key: string): void {
    const scroller = this.scroller.current;
    const index = this.heights.indexOf(key);
    if (!scroller || index < 0) return;
    const height = this.heights.top(index + 1) - this.heights.top(index);
    const offset = Math.max(16, (scroller.clientHeight - height) / 2);
    this.anchor = { key, offset };
    this.stick(false);
    this.settle();
    this.scrolled();
  }

  /** Goes to the newest line. */
  showEnd(): void {
    this.stick(true);
    this.settle();
    this.scrolled();
  }

  /** Whether the list stands at its end. */
  get isAtEnd(): boolean {
    return this.stuck;
  }

  private stick(stuck: boolean): void {
    if (stuck === this.stuck) return;
    this.stuck = stuck;
    this.props.onAtEnd(stuck);
  }

  // What is drawn is measured before the place is set: a guess that is far off would move it to and fro.
  private drawn(): void {
    this.observeRows();
    let isNews = false;
    for (const [key, row] of this.observed) isNews = this.heights.measured(key, row.offsetHeight) || isNews;
    if (isNews) {
      this.heights.set(this.props.keys, this.props.guess);
      this.forceUpdate();
    }
    this.settle();
  }

  private settle(): void {
    const scroller = this.scroller.current;
    if (!scroller) return;
    if (this.stuck) {
      scroller.scrollTop = scroller.scrollHeight;
    } else {
      const index = this.heights.indexOf(this.anchor.key);
      if (index >= 0) {
        const wanted = this.heights.top(index) - this.anchor.offset;
        if (Math.abs(scroller.scrollTop - wanted) > 1) scroller.scrollTop = wanted;
      }
    }
    this.rewindow(true);
  }

  private readonly scrolled = (): void => {
    const scroller = this.scroller.current;
    if (!scroller) return;
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const left = scrollHeight - scrollTop - clientHeight;
    const stuck = this.props.hasEnd && left < NEAR_END;
    let index = this.heights.at(scrollTop);
    while (index < this.props.keys.length - 1 && !this.props.isFixed(index)) index += 1;
    this.anchor = { key: this.heights.key(index), offset: this.heights.top(index) - scrollTop };
    this.stick(stuck);
    if (scrollTop < NEAR_PAGE) this.props.onNearStart();
    if (left < NEAR_PAGE) this.props.onNearEnd();
    this.rewindow();
  };

  // While lines are drawn and measured the window only grows: beside a very tall line it would go to and fro for ever.
  private rewindow(isDrawing = false): void {
    const scroller = this.scroller.current;
    if (!scroller) return;
    const count = this.props.keys.length;
    let [from, to] = span(this.heights, count, scroller.scrollTop, scroller.clientHeight, MARGIN);
    if (isDrawing && from <= this.state.to && to >= this.state.from) {
      [from, to] = [Math.min(from, this.state.from), Math.max(to, this.state.to)];
    }
    if (from !== this.state.from || to !== this.state.to) this.setState({ from, to });
  }

  private measure(entries: ResizeObserverEntry[]): void {
    let isNews = false;
    for (const { target } of entries) {
      const key = (target as HTMLElement).dataset["line"];
      if (key === undefined) isNews = true;
      else if (target.isConnected) isNews = this.heights.measured(key, (target as HTMLElement).offsetHeight) || isNews;
    }
    if (isNews) this.forceUpdate();
  }

  private observeRows(): void {
    const rows = this.scroller.current?.querySelectorAll<HTMLElement>("[data-line]") ?? [];
    const now = new Map([...rows].map((row) => [row.dataset["line"] ?? "", row]));
    for (const [key, row] of this.observed) if (now.get(key) !== row) this.sizes?.unobserve(row);
    for (const [key, row] of now) if (this.observed.get(key) !== row) this.sizes?.observe(row);
    this.observed = now;
  }

  override render() {
    const { keys, guess, render, label } = this.props;
    this.heights.set(keys, guess);
    const to = Math.min(this.stuck ? keys.length : this.state.to, keys.length);
    const from = Math.min(this.state.from, to);
    const lines = [];
    for (let index = from; index < to; index += 1) {
      lines.push(
        <div key={keys[index]} class="line" data-line={keys[index]}>
          {render(index)}
        </div>,
      );
    }
    return (
      <div ref={this.scroller} class="lines" role="log" aria-live="off" aria-label={label} tabIndex={0} onScroll={this.scrolled}>
        <div class="lines-room" style={{ height: `${this.heights.top(from)}px` }} />
        {lines}
        <div class="lines-room" style={{ height: `${this.heights.total - this.heights.top(to)}px` }} />
      </div>
    );
  }
}
