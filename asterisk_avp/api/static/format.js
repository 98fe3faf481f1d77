// Format times, numbers and states.

import { has, locale, t } from "./words.js";

/** 65 is "1:05", 3665 is "1:01:05". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const s = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${s}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${s}`;
}

export const clock = (iso) =>
  new Date(iso).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });

export const isToday = (iso) => new Date(iso).toDateString() === new Date().toDateString();

/** A number as the server formatted it for the client's country, or as it is. */
export const phone = (number, formatted) => formatted || number || "";

/** What stands for a caller of whom neither name nor number is told: of a call, a transfer or a pop. */
export const unnamed = (...found) =>
  t(found.some((one) => one?.caller_withheld || one?.withheld) ? "call.withheld" : "call.unknown_caller");

/** An agent's state in words. */
export const stateName = (state) => (has(`states.${state}`) ? t(`states.${state}`) : state);

/** A short description of how a transfer ended: a label, or (`ended.said`) a part of a sentence. */
export function outcome({ state, ended_reason: reason }, area = "ended") {
  if (state !== "failed" && reason === "caller_hangup") return t(`${area}.caller_hangup`);
  if (state !== "failed") return has(`${area}.${state}`) ? t(`${area}.${state}`) : state;
  return has(`ended.why.${reason}`)
    ? t(`${area}.not_completed`, { why: t(`ended.why.${reason}`) }) : t(`${area}.failed`);
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  return letters.map((word) => [...word][0] || "").join("").toUpperCase();
}

/** A safe link: http or https only, no script. */
export function webAddress(text) {
  try {
    const url = new URL(String(text));
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
