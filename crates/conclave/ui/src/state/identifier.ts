// What a person types as phone number or e-mail address, brought into the form that the account uses.

/** The identifier of `typed`, or null when it is neither number nor address. */
export function identifierOf(typed: string): string | null {
  const words = typed.trim();
  if (words.includes("@")) {
    return /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(words) ? words : null;
  }
  const digits = words.replace(/[\s().\-/\u2010-\u2015]/g, "").replace(/^00/, "+");
  return /^\+[1-9]\d{5,14}$/.test(digits) ? digits : null;
}
