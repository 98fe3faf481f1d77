// Keyboard shortcuts, and what assistive technology is told of them.
//
// Whatever touches a call needs Alt+Shift: a key that is pressed by mistake while nothing has the
// focus ends no consultation, screen readers and browsers keep their own keys, and speech input that
// types a word presses none of them; the single characters can be switched off (WCAG 2.1.4). Nothing happens while the agent types in a field.

import { h } from "./dom.js";
import { MODIFIERS, focusable, forget, typing } from "./focus.js";
import { SHORTCUTS, keyOf, written } from "./shortcuts.js";
import { t } from "./words.js";

/** So long after the end of a step its result may take to arrive as an event, in ms. */
const SETTLE_MS = 1000;

let page = { say() {}, busy: () => false, about: () => "", drawn: () => true };

/**
 * Listen. `say(text)`: tells a screen reader; `busy()`: whether a request is under way, or the targets
 * are not known yet; `drawn()`: whether the page shows its whole state; `about()`: the call and
 * transfer that are shown.
 */
export function keyboard(hooks) {
  page = hooks;
  // Before the fields' own handlers change what Escape would find.
  document.addEventListener("keydown", pressed, true);
}

function pressed(event) {
  if (event.defaultPrevented || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (!MODIFIERS.has(event.key)) {
    meant = null;
    untell();
  }
  if (event.repeat && event.target.closest("[data-do=command]")) {
    event.preventDefault(); // Enter that began the consultation is still held down
    return;
  }
  if (event.key === "Escape") {
    leaveField(event.target);
    return;
  }
  if (typing(event.target)) return;
  const shortcut = SHORTCUTS.find((one) => keyOf(one) === pressedKey(event));
  if (!shortcut || !document.querySelector(".top")) return;
  event.preventDefault();
  if (event.repeat) return; // held down: it is meant once
  // A step has begun, and the page still shows its controls as they were before.
  const outdated = shortcut.press && page.busy() && !page.drawn();
  if (outdated || !carryOut(shortcut)) waitWith(shortcut);
}

// --- a shortcut while a step is under way --------------------------------------------------------

// {shortcut, about, since}: pressed before the page shows the control that it is for. `about` null: it
// only moves the focus, and is meant whatever becomes of the call and its transfer, such as an end
// of which the page has not heard yet.
let meant = null;
let ended = -SETTLE_MS; // when the last step ended
let giveUp = 0; // the timer
let done = null; // the shortcut that was carried out last

/** Carry it out as soon as the step under way has its result, for the same call and transfer. */
function waitWith(shortcut) {
  meant = { shortcut, about: shortcut.press ? page.about() : null, since: performance.now() };
  again();
}

/** After each drawing, and when the result of a step should have been there. */
function again() {
  clearTimeout(giveUp);
  if (!document.querySelector(".top")) meant = null; // signed out
  if (!meant) return;
  const { shortcut, about, since } = meant;
  const same = about === null || page.about() === about;
  if (same && page.drawn() && carryOut(shortcut)) {
    meant = null;
    return;
  }
  const left = (about === null ? Math.max(ended, since) : ended) + SETTLE_MS - performance.now();
  if (same && (page.busy() || !page.drawn() || left > 0)) {
    giveUp = setTimeout(again, page.busy() ? SETTLE_MS : Math.max(left, 0));
    return;
  }
  meant = null;
  // Pressed twice: the first press has done it.
  if (same || shortcut !== done) {
    tell(t("keys.not_now", { what: t(`keys.${shortcut.id}`) }));
  }
}

/** A request has been answered; its result arrives as an event, before or after. */
export function stepEnded() {
  ended = performance.now();
}

let toast = null;

/** Say why nothing happens: to a screen reader, and on the page until the next key or click. */
export function tell(text) {
  untell();
  page.say(text);
  toast = h("p", { class: "told", "aria-hidden": "true" }, text);
  document.body.append(toast);
}

function untell() {
  if (toast) toast.remove();
  toast = null;
}
document.addEventListener("pointerdown", untell, true);

/** What was pressed, as `keyOf` writes it. */
function pressedKey(event) {
  if (event.ctrlKey || event.metaKey) return "";
  if (!event.altKey) return event.key;
  if (!event.shiftKey) return "";
  // With Option, a Mac types other characters; other alphabets have no such letter.
  const letter = /^[a-z]$/i.test(event.key) ? event.key : event.code.replace(/^(Key|Digit)/, "");
  return `Alt+Shift+${letter.toUpperCase()}`;
}

function controls({ press = [], focus, menu, inside, last }) {
  const found = [...press, focus, menu && (inside ? `${menu} ${inside}` : `${menu}>summary`)].filter(Boolean)
    .flatMap((selector) => [...document.querySelectorAll(selector)]);
  return last ? found.reverse() : found; // the fourth party is the last one
}

/** Of several, the one after that which has the focus or is chosen. */
function following(found) {
  const at = found.findIndex((one) => one === document.activeElement || one.checked);
  return found[(at + 1) % found.length];
}

/** Do what the shortcut is for; false: there is no such control now. */
function carryOut(shortcut) {
  const menu = shortcut.menu && document.querySelector(shortcut.menu);
  const found = controls(shortcut).filter(focusable);
  const control = menu ? menu.querySelector("summary") : shortcut.next ? following(found) : found[0];
  if (!control || !focusable(control)) return false;
  // Not yet: its buttons are disabled during a step, or about to be drawn so.
  const unsure = () => !page.drawn() || (page.busy() && menu.querySelector(":disabled"));
  if (menu && !menu.open && unsure()) return false;
  done = shortcut;
  if (menu) {
    toggle(menu, control, shortcut.inside);
    return true;
  }
  if (!shortcut.stay) control.focus();
  if (!typing(control)) control.click();
  return true;
}

/** Open a menu, with the focus on its first control or on `inside`; close it from there. */
function toggle(menu, summary, inside) {
  const there = !inside || document.activeElement.matches(`${inside}`);
  menu.open = !(menu.open && there);
  const first = menu.open && [...menu.querySelectorAll(inside || "button, input, select")].find(focusable);
  (first || summary).focus();
}

/** Escape empties a field that searches, and leaves any other one, so that shortcuts work again. */
function leaveField(field) {
  if (!typing(field) || field.closest("details[open]")) return;
  if (field.type === "search" && field.value) return;
  forget();
  field.blur();
}

// --- attributes ----------------------------------------------------------------------------------

let marked = new Set();
const tipped = new WeakSet();

/** After each drawing: tell of the shortcut on its control, as tooltip and for assistive technology. */
export function markShortcuts() {
  if (!document.querySelector(".top")) document.querySelector("dialog.keys")?.close(); // signed out
  const now = new Set();
  for (const shortcut of SHORTCUTS) {
    const control = controls(shortcut).find(focusable) || controls(shortcut)[0];
    if (!control) continue;
    now.add(control);
    control.lasting = ["aria-keyshortcuts", "title"]; // `morph` leaves these alone
    set(control, "aria-keyshortcuts", keyOf(shortcut));
    const { hint } = control.dataset;
    if (!hint && control.hasAttribute("title") && !tipped.has(control)) continue; // it has one of its own
    tipped.add(control);
    set(control, "title", hint ? `${hint} (${written(shortcut)})` : written(shortcut));
  }
  for (const control of marked) {
    if (now.has(control)) continue;
    for (const name of control.lasting || []) control.removeAttribute(name);
    delete control.lasting;
  }
  marked = now;
  again();
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
