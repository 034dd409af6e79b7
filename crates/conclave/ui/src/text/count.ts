// Times that run down, as a clock shows them.
import { language } from "./index";

/** `0:45`, `9:59`: minutes and seconds. */
export function countText(seconds: number): string {
  const digits = (value: number, places: number) =>
    new Intl.NumberFormat(language.value, {
      minimumIntegerDigits: places,
      useGrouping: false,
    }).format(value);
  return `${digits(Math.floor(seconds / 60), 1)}:${digits(seconds % 60, 2)}`;
}
