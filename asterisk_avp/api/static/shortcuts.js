// Each shortcut: its key, the controls that it presses (the first that can be pressed), and its group
// in the list under "?".

import { selectors } from "./focus.js";

/** The control of the call that is shown, else that of a strip. */
const command = (what) => selectors("#running [data-do=command]", "[data-do=command]")
  .map((control) => `${control}[data-value=${what}]`);

// Not taken: A, B, D, F, I, M and T, which Chromium, Edge or Windows use with Alt+Shift.
/**
 * `press`, `focus`: what to click or to go to. `menu`: what to open or close, with the focus on its
 * first control, or on `inside`. `stay`: the focus stays where it is. `next`: pressed again, the next
 * of several. `key`: a single character; `letter` replaces it where the agent has switched those off.
 */
export const SHORTCUTS = [
  { id: "complete", letter: "C", group: "call", press: command("complete") },
  { id: "swap", letter: "S", group: "call", press: command("swap") },
  { id: "conference", letter: "G", group: "call", press: command("conference") },
  { id: "cancel", letter: "X", group: "call", press: command("cancel") },
  { id: "add", letter: "N", group: "call", press: ["[data-do=adding]"] },
  { id: "drop", letter: "O", group: "call", press: ["[data-do=drop]"], last: true },
  { id: "other_call", letter: "K", group: "call", press: ["input[name=call]"], next: true },
  { id: "copy", letter: "Y", group: "call", press: selectors(".strip [data-do=copy]", ".call [data-do=copy]"), next: true },
  { id: "dismiss", letter: "Z", group: "call", press: ["[data-do=dismiss]"] },
  { id: "search", key: "/", letter: "1", group: "targets", focus: "#search" },
  { id: "consult", letter: "L", group: "targets",
    press: selectors("#consult", ".row.chosen [data-do=consult]", ".actions [data-do=consult]") },
  { id: "transfer", letter: "H", group: "targets",
    press: selectors("#send", ".row.chosen [data-do=transfer]", ".actions [data-do=transfer]") },
  { id: "note", letter: "J", group: "targets", focus: "#note" },
  { id: "star", letter: "W", group: "targets", stay: true,
    press: selectors(".row:focus-within [data-do=star]", ".row.chosen [data-do=star]") },
  { id: "pause", letter: "P", group: "work", menu: "details[data-key=pause]" },
  { id: "ready", letter: "R", group: "work", press: selectors("[data-do=ready]", "[data-do=keep-working]") },
  { id: "extend", letter: "E", group: "work", press: ["[data-do=extend-acw]"], stay: true },
  { id: "groups", letter: "U", group: "work", menu: "details[data-key=groups]" },
  { id: "help", key: "?", letter: "9", group: "everywhere", press: ["[data-do=shortcuts]"], stay: true },
  { id: "account", letter: "Q", group: "everywhere", menu: "details[data-key=account]" },
  { id: "alerts", letter: "V", group: "everywhere", menu: "details[data-key=account]", inside: "[name=alert]" },
  { id: "sign_out", letter: "0", group: "everywhere", menu: "details[data-key=account]", inside: "[data-do=sign-out]" },
];
export const GROUPS = ["call", "targets", "work", "everywhere"];
export const IN_FIELDS = ["enter", "alt_enter", "escape"];

const mac = /Mac|iP(hone|ad)/.test(navigator.platform);

/** Whether single characters are shortcuts: speech input types them by mistake (WCAG 2.1.4). */
export const single = { on: true };

const isSingle = ({ key }) => Boolean(key) && single.on;

/** The key as `aria-keyshortcuts` writes it. */
export const keyOf = (one) => (isSingle(one) ? one.key : `Alt+Shift+${one.letter}`);

/** The key as it is written on the agent's keyboard. */
export const written = (one) => (isSingle(one) ? one.key
  : mac ? `⌥⇧${one.letter}` : `Alt+Shift+${one.letter}`);
