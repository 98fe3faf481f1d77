// Where the focus goes when what had it is gone. Without this it falls back to the page's beginning,
// and who uses the keyboard has to find the way again after each step of a call.

/** CSS selectors, as they are. */
export const selectors = (...all) => all;

const [FIELDS, CONTROLS, PARTS] = selectors(
  "textarea, select, input:not([type=radio]):not([type=checkbox]):not([type=button])",
  "button, summary, a[href], input, select, textarea",
  "[data-key], li, section",
);
/** Where to go if nothing near is left: the transfer's controls, the call, the agent's own state. */
const REGIONS = selectors("#running", "[data-key=call]", ".top .own", ".top");

/** Whether keys are text here. */
export const typing = (element) => Boolean(element.closest && element.closest(FIELDS));

/** Whether the agent could use this control now. */
export const focusable = (element) => element.isConnected && !element.disabled
  && !element.closest("[hidden], [inert], details:not([open]) > :not(summary)")
  && element.getClientRects().length > 0;

let last = null; // what had the focus last, until the agent clicks or tabs elsewhere
let near = [];   // what comes next if it vanishes
let wanted = ""; // a selector: the agent has begun a step, and goes on there as soon as it is shown
let deeds = 0; // clicks and keys

/** Keys that do nothing alone. */
export const MODIFIERS = new Set(selectors("Alt", "Shift", "Control", "Meta", "AltGraph", "CapsLock"));

document.addEventListener("focusin", ({ target }) => { last = target; });
document.addEventListener("pointerdown", () => {
  last = null;
  wanted = "";
  deeds += 1;
});
document.addEventListener("keydown", ({ key, repeat }) => { // before what the key does
  wanted = "";
  if (!repeat && !MODIFIERS.has(key)) deeds += 1;
}, true);

/** The agent has left a field: nothing is to have the focus. */
export function forget() { last = null; }

/** The agent's latest deed, for `goTo`. */
export const deed = () => deeds;

/**
 * Go to a control, or to the first one of a region, as soon as it is there. `after` is the deed that
 * this follows: an agent who has gone elsewhere since, such as into a menu, stays there.
 */
export function goTo(selector, after = deeds) {
  const elsewhere = after !== deeds && document.activeElement !== document.body;
  if (!elsewhere) wanted = selector;
}

/**
 * Draw, and put the focus where it belongs afterwards. `busy`: a request is under way, and what is
 * disabled meanwhile is not gone.
 */
export function keepFocus(draw, busy) {
  const here = document.activeElement;
  if (last && here === last) near = neighbours(last);
  draw();
  const goal = wanted && firstOf(wanted);
  if (goal) {
    wanted = "";
    goal.focus();
    return;
  }
  const lost = document.activeElement === document.body;
  if (!lost || !last || document.querySelector("dialog[open]")) return;
  if (focusable(last)) last.focus();
  else if (!busy || !last.isConnected) next()?.focus();
}

/** The controls to try instead of `element`, nearest first, within its card. */
function neighbours(element) {
  const found = [];
  let part = element.closest(PARTS);
  while (part && !part.matches("section, main, header")) {
    for (const direction of ["nextElementSibling", "previousElementSibling"]) {
      for (let other = part[direction]; other; other = other[direction]) found.push([other, like(element)]);
    }
    found.push([part.parentElement, CONTROLS]); // what takes its place
    part = part.parentElement.closest(PARTS);
  }
  return found;
}

/** A selector for the same control elsewhere. */
function like(element) {
  if (element.dataset.do) return `[data-do="${CSS.escape(element.dataset.do)}"]`;
  return element.name ? `[name="${CSS.escape(element.name)}"]` : CONTROLS;
}

function next() {
  const within = (part, selector) => (part.matches(selector) && focusable(part) ? part
    : [...part.querySelectorAll(selector)].find(focusable));
  for (const [part, same] of near) {
    const control = part.isConnected && (within(part, same) || within(part, CONTROLS));
    if (control) return control;
  }
  return REGIONS.map(firstOf).find(Boolean);
}

/** That control, or the first one of a region, else its heading. */
function firstOf(selector) {
  for (const region of document.querySelectorAll(selector)) {
    if (region.matches(CONTROLS)) {
      if (focusable(region)) return region;
      continue;
    }
    const control = [...region.querySelectorAll(CONTROLS)].find(focusable);
    if (control) return control;
    const heading = region.querySelector("h2");
    if (heading) {
      heading.lasting = ["tabindex"]; // `morph` leaves it alone
      heading.tabIndex = -1;
      return heading;
    }
  }
  return null;
}
