// The arithmetic of a long list: which lines are near the screen, and where each begins.

/** Heights of lines, measured or guessed, and the places that follow from them. */
export class Heights {
  private known = new Map<string, number>();
  private tops = new Float64Array(1);
  private keys: string[] = [];

  /** Lines of now; `guess` is the height of one that was not measured. */
  set(keys: string[], guess: (index: number) => number): void {
    this.keys = keys;
    this.tops = new Float64Array(keys.length + 1);
    for (let index = 0; index < keys.length; index += 1) {
      const height = this.known.get(keys[index] ?? "") ?? guess(index);
      this.tops[index + 1] = (this.tops[index] ?? 0) + height;
    }
  }

  /** Remembers a measured height; true when it is news. */
  measured(key: string, height: number): boolean {
    if (Math.abs((this.known.get(key) ?? -1) - height) < 0.5) return false;
    this.known.set(key, height);
    return true;
  }

  /** Where line `index` begins; the end of the list for the index behind the last. */
  top(index: number): number {
    return this.tops[Math.max(0, Math.min(index, this.keys.length))] ?? 0;
  }

  /** The height of all lines. */
  get total(): number {
    return this.top(this.keys.length);
  }

  /** The line at a place: the last that begins there or before. */
  at(place: number): number {
    let [low, high] = [0, this.keys.length];
    while (low + 1 < high) {
      const middle = (low + high) >> 1;
      if (this.top(middle) <= place) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The index of a line, -1 when it is not there. */
  indexOf(key: string): number {
    return this.keys.indexOf(key);
  }

  /** The key of a line. */
  key(index: number): string {
    return this.keys[index] ?? "";
  }
}

/** The lines to draw for a screen of `height` at `scroll`, with `margin` above and below: from, and to behind the last. */
export function span(heights: Heights, count: number, scroll: number, height: number, margin: number): [number, number] {
  const from = heights.at(Math.max(0, scroll - margin));
  const to = heights.at(scroll + height + margin) + 1;
  return [Math.min(from, count), Math.min(to, count)];
}
