// What the agent does with the targets: search, choose, consult, transfer, add to a transfer.

import { current, shownCall } from "./calls.js";
import { deed, goTo } from "./focus.js";
import { ask } from "./live.js";
import { mayBeNumber } from "./search.js";
import { ways } from "./standing.js";
import { state } from "./state.js";
import { firstHit, listed, manualDial } from "./targets.js";
import { keyOf, targetOf, usable } from "./targetrows.js";
import { t } from "./words.js";

const RECENT_AT_MOST = 20; // kept; the page shows fewer
const MORE = 100;
const PAUSE_MS = 150; // between the last digit and the question to the server
const HELD_MS = 2500; // as long as nobody points or types, the order may change again

let page; // {act, draw, tell, quietly, remember, remembered, began}

/** Connect with the page: `act` sends one request and notes a refusal; `began` follows a success. */
export function choosing(hooks) {
  page = hooks;
  document.addEventListener("pointermove", (event) => {
    if (event.target.closest && event.target.closest("#transfer .lists")) hold();
  }, { passive: true });
  return doing;
}

/** What this agent starred and used last in this browser: targets' ids, nothing of a caller. */
export function recall() {
  const keys = (name) => {
    const known = page.remembered(name, []);
    return Array.isArray(known) ? known.filter((key) => /^(agent|group|preset):/.test(key)) : [];
  };
  Object.assign(state, { starred: keys("starred"), recent: keys("recent") });
}

function used(target) {
  if (target.kind === "number") return; // it may be a caller's own
  const key = keyOf(target);
  state.recent = [key, ...state.recent.filter((one) => one !== key)].slice(0, RECENT_AT_MOST);
  page.remember("recent", state.recent);
}

// --- the order stays while somebody points at it -------------------------------------------------

let release = 0;

function hold() {
  if (!state.targets) return;
  if (!state.held) {
    const { found, rank } = listed(state);
    state.held = new Map(found.map((entry) => [entry.key, rank(entry)]));
  }
  holdOn();
}

function holdOn() {
  clearTimeout(release);
  release = setTimeout(letGo, HELD_MS);
}

function letGo() {
  clearTimeout(release);
  if (!state.held) return;
  state.held = null;
  page.draw();
}

// --- search --------------------------------------------------------------------------------------

let asked = 0;

/** The search field has changed. */
export function searched(field) {
  clearTimeout(asked);
  Object.assign(state, { search: field.value.trim(), check: null, held: null, refusal: "" });
  state.limits.clear();
  if (!state.targets) return;
  // What the list no longer shows must not be what the buttons act on.
  const chosenKey = state.target && keyOf(state.target);
  if (chosenKey && !listed(state).found.some((entry) => entry.key === chosenKey)) state.target = null;
  if (manualDial(state) && mayBeNumber(state.search)) {
    asked = setTimeout(() => judged(state.search), PAUSE_MS);
  }
  state.held = state.search ? new Map() : null; // filled as it is drawn
  holdOn();
  page.draw();
}

/** Ask the server about the number that is typed; only the answer to the last one counts. */
async function judged(number) {
  clearTimeout(asked);
  const check = await page.quietly(
    () => ask("POST", "/v1/numbers/check", { agent: state.session.agent, number }));
  if (!check || state.search !== number) return;
  state.check = check;
  if (check.allowed && !current(state)) state.target = { kind: "number", number: check.e164 };
  page.draw();
}

export function clearSearch() {
  clearTimeout(asked);
  const field = document.getElementById("search");
  if (field) field.value = "";
  Object.assign(state, { search: "", check: null, held: null });
  state.limits.clear();
}

async function enter(alt) {
  if (!state.targets || !state.search) return;
  let key = firstHit(state);
  if (!key && !state.check && manualDial(state) && mayBeNumber(state.search)) {
    await judged(state.search);
    key = firstHit(state);
  }
  if (!key) return;
  if (current(state)) doing.add(key);
  else (alt ? doing.transfer : doing.consult)(key);
}

/** A key in the search field or on a row; true: it was one of ours. */
export function keyPressed(event) {
  const { target: field, key } = event;
  if (event.repeat && key === "Enter") return field.id !== "note"; // it is meant once
  if (field.id === "search") {
    if (key === "Enter") enter(event.altKey);
    else if (key === "ArrowDown") {
      const row = document.querySelector("#transfer .lists input[name=target]:enabled, #transfer .lists .mini:enabled");
      if (row) row.focus();
    } else return false;
  } else if (field.name === "target") {
    hold();
    if (key !== "Enter") return false;
    (event.altKey ? doing.transfer : doing.consult)(field.value);
  } else if (field.id === "note" && key === "Enter" && event.altKey) {
    doing.transfer();
  } else return false;
  return true;
}

/** A row was chosen. */
export function chosen(field) {
  Object.assign(state, { target: targetOf(field.value), refusal: "" });
}

// --- what is asked of the server -----------------------------------------------------------------

/** Begin a transfer to the row's target, or to the chosen one. What cannot be is said there. */
function begin(mode, key, can, cannot) {
  const target = key ? targetOf(key) : state.target;
  if (!target || !usable(state)) {
    const call = shownCall(state);
    page.tell(t(!state.live || (call && target) ? "targets.not_connected"
      : call ? "targets.choose" : "targets.no_call"));
    return;
  }
  const at = key || "chosen";
  if (!can(ways(state, target))) {
    Object.assign(state, { refusal: cannot(), refusedAt: at });
    page.draw();
    return;
  }
  // Of other agents' states the page hears twice a second: whether the target can be had now is for
  // the server to say.
  const begun = deed();
  const { target: chosen, search } = state;
  page.act(async () => {
    const note = document.getElementById("note");
    const sent = note ? note.value : "";
    await ask("POST", `/v1/agents/${encodeURIComponent(state.session.agent)}/transfers`, {
      mode, target, notes: sent.trim(), call: shownCall(state).id,
    });
    used(target);
    // What the agent has chosen and written since is for the next transfer: this one may be over.
    state.adding = false;
    if (state.target === chosen) state.target = null;
    if (state.search === search) clearSearch();
    if (note && note.value === sent) note.value = "";
    page.began(mode, begun);
  }, at);
}

const toggle = (keys, key) => (keys.includes(key) ? keys.filter((one) => one !== key) : [...keys, key]);

const doing = {
  consult: (key) => begin("supervised", key, (way) => way.consult && way.canConsult,
    () => t("targets.hint.group")),
  transfer: (key) => begin("unsupervised", key, (way) => way.transfer && way.canTransfer,
    () => t("targets.hint.outside")),
  add(key) {
    const transfer = current(state);
    if (!transfer) return;
    const target = targetOf(key);
    page.act(async () => {
      await ask("POST", `/v1/transfers/${transfer.id}/parties`,
        target.kind === "number" ? { number: target.number } : { agent: target.id });
      used(target);
      state.adding = false;
      clearSearch();
    }, key);
  },
  adding() {
    state.adding = !state.adding;
    clearSearch();
    page.draw();
    if (state.adding) goTo("#search");
  },
  star(key) {
    state.starred = toggle(state.starred, key);
    page.remember("starred", state.starred);
    page.draw();
  },
  more(list) {
    state.limits.set(list, (state.limits.get(list) || 0) + MORE);
    page.draw();
  },
};
