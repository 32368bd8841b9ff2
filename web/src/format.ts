// Figures and times for people.

const NUMBER = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

export const count = (value: number): string => NUMBER.format(Math.round(value));

/** A rate, with a decimal where it is small. */
export function rate(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

/** How long something takes or took. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export const ago = (ms: number): string => (ms < 1_000 ? "now" : `${duration(ms)} ago`);

export const time = (at: number | string): string => TIME.format(new Date(at));

/** `add_to_cart` as people write it. */
export const words = (name: string): string => name.replaceAll("_", " ");
