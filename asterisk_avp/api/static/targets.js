// The targets of a call: one list in three sections, with a search that takes numbers too. Only
// what is shown is rendered, so that thousands of colleagues cost no more than a few.

import { current, shownCall } from "./calls.js";
import { h } from "./dom.js";
import { refusedTarget } from "./refusal.js";
import { entriesOf, find, mayBeNumber } from "./search.js";
import { single } from "./shortcuts.js";
import { AWAY, now, obstacle, standings, ways } from "./standing.js";
import {
  addRow, agentRow, groupRow, numberRow, presetRow, usable, written,
} from "./targetrows.js";
import { t } from "./words.js";

const SHOWN_AT_FIRST = 40;
const HITS_AT_FIRST = 20; // more than a screen shows, and drawn anew at each key
const RECENT_AT_MOST = 5;
const LISTS = ["my_agent_groups", "agent_groups", "external_presets"];

let indexed = { lists: [], entries: [] };

/**
 * The entries of the lists, folded once and not at each key: again only when the server has answered
 * anew or a group has other members.
 */
export function indexOf(targets) {
  const lists = [targets, ...targets.my_agent_groups.map((group) => group.agents)];
  if (lists.length !== indexed.lists.length || lists.some((list, n) => list !== indexed.lists[n])) {
    indexed = { lists, entries: entriesOf(targets) };
  }
  return indexed.entries;
}

/** Whether this agent may enter numbers by hand. */
export const manualDial = (state) => Boolean(state.targets)
  && ["external_transfer", "manual_dial"].every((name) => state.targets.permissions.includes(name));

/** Who can be added to the running transfer: colleagues who are not in it. */
function addable(state, transfer) {
  const inIt = new Set(transfer.parties.filter((party) => party.state !== "gone").map((party) => party.id));
  const { permissions } = state.targets;
  if (!permissions.includes("internal_transfer")) return [];
  return indexOf(state.targets).filter((entry) => entry.kind === "agent" && !inIt.has(entry.id));
}

/**
 * What the lists show now, best first: `found`, and how each stands. While the agent points at the
 * list or types, `state.held` keeps its order: nobody moves under the pointer.
 */
export function listed(state) {
  const stands = standings(state);
  const { held } = state;
  const rank = (entry) => {
    if (!held) return stands.rank(entry);
    if (!held.has(entry.key)) held.set(entry.key, stands.rank(entry));
    return held.get(entry.key);
  };
  const transfer = current(state);
  const entries = transfer ? addable(state, transfer) : indexOf(state.targets);
  return { found: find(entries, state.search, rank, stands.words), rank, stands };
}

/** The first hit of the search as a row's key: a target of the lists, else the number typed. */
export function firstHit(state) {
  const { found, rank } = listed(state);
  const shown = current(state) ? found.filter((entry) => rank(entry) < AWAY || state.search) : found;
  if (shown.length) return shown[0].key;
  return state.check && state.check.allowed ? `number:${state.check.e164}` : "";
}

export function targetsCard(state) {
  const { targets } = state;
  if (!targets || !targets.permissions.includes("session_transfer")) return null;
  const transfer = current(state);
  if (transfer) return addCard(state, transfer);
  const lists = LISTS.filter((list) => targets[list].length);
  if (!lists.length && !manualDial(state)) return null;
  const shown = content(state, lists);
  return h(
    "section", { class: "card transfer", id: "transfer", "aria-labelledby": "transfer-title" },
    h("div", { class: "find" },
      h("h2", { id: "transfer-title" }, t("targets.title")), searchField(state)),
    ...shown,
    footer(state, shown.some((part) => part && part.querySelector(".refused"))),
  );
}

function searchField(state) {
  const what = t(manualDial(state) ? "targets.search_or_number" : "targets.search");
  const bad = state.check && !state.check.allowed;
  return h("div", { class: "search" },
    h("label", { class: "unseen", for: "search" }, what),
    h("input", {
      id: "search", type: "search", placeholder: what, autocomplete: "off", spellcheck: "false",
      maxlength: 80, "aria-describedby": "search-verdict",
      "aria-invalid": bad ? "true" : null,
    }),
    single.on ? h("kbd", { "aria-hidden": "true" }, "/") : null);
}

/** What is to be said below the search field: of the number, of the first hit, or of nothing found. */
function verdict(state, first, count) {
  const { check } = state;
  const number = manualDial(state) && mayBeNumber(state.search);
  let [words, tone] = ["", ""];
  if (number && check) {
    [words, tone] = check.allowed
      ? [t("targets.will_call", { number: written(check) }), "good"] : [check.message, "bad"];
  } else if (state.search && !count && !number) {
    words = t("targets.nothing_found");
  } else if (state.search && first && usable(state) && !current(state)) {
    const way = ways(state, first);
    const name = first.name;
    words = way.consult && way.canConsult && way.transfer && way.canTransfer ? t("targets.enter.both", { name })
      : way.canConsult ? t("targets.enter.consults", { name }) : t("targets.enter.transfers", { name });
  }
  return h("p", { class: `verdict ${tone}`, id: "search-verdict", role: "status", hidden: !words }, words);
}

function content(state, lists) {
  const { found, rank, stands } = listed(state);
  const allowed = state.check && state.check.allowed ? state.check : null;
  const above = state.search ? [] : quick(state, found, rank);
  const rowOf = (entry) => {
    const first = Boolean(state.search) && entry === found[0];
    if (entry.kind === "agent") return agentRow(state, entry, first);
    return entry.kind === "group"
      ? groupRow(state, entry, first, stands.staffed.get(entry.id)) : presetRow(state, entry, first);
  };
  // The section with the best hit comes first.
  const best = (list) => found.findIndex((entry) => entry.list === list);
  const order = state.search ? [...lists].sort((a, b) => best(a) - best(b)) : lists;
  return [
    verdict(state, found[0], found.length),
    h("p", { class: "unseen", role: "status" },
      state.search ? t("targets.found", { count: found.length }) : ""),
    h("div", { class: "lists" },
      above.length ? h("div", { class: "list quick", "data-key": "quick", role: "group",
        "aria-label": t("targets.quick") },
      h("div", { class: "rows" }, above.map(rowOf))) : null,
      order.map((list) => section(state, {
        list, rank, rowOf, all: found.filter((entry) => entry.list === list),
        above: new Set(above.map((entry) => entry.key)),
        free: list === "my_agent_groups" ? found.filter((entry) => entry.kind === "agent"
          && state.live && now(state, entry.listed).state === "available").length : null,
      })),
      allowed ? h("div", { class: "list", "data-key": "number" },
        h("div", { class: "rows" }, numberRow(state, allowed, !found.length))) : null),
  ];
}

/** Those starred, and those whom this agent had last, if they can be reached. */
function quick(state, found, rank) {
  const byKey = new Map(found.map((entry) => [entry.key, entry]));
  const starred = state.starred.map((key) => byKey.get(key)).filter(Boolean);
  const recent = state.recent.map((key) => byKey.get(key))
    .filter((entry) => entry && !state.starred.includes(entry.key) && rank(entry) < AWAY);
  return [...starred.sort((a, b) => rank(a) - rank(b)), ...recent.slice(0, RECENT_AT_MOST)];
}

/** One of the three sections, with the colleagues who cannot be reached folded at its end. */
function section(state, { list, all, above, rank, rowOf, free }) {
  const searching = Boolean(state.search);
  if (searching && !all.length) return null;
  const open = searching || !state.collapsed.has(list);
  const here = all.filter((entry) => !above.has(entry.key));
  const folded = searching || list !== "my_agent_groups" ? []
    : here.filter((entry) => rank(entry) >= AWAY);
  const rows = folded.length ? here.filter((entry) => rank(entry) < AWAY) : here;
  const known = state.live ? t("targets.free", { count: free ?? 0 }) : t("targets.not_known");
  return h(
    "div", { class: "list", "data-key": list },
    h("h3", {}, h(
      "button", {
        type: "button", class: "fold", "data-do": "fold", "data-value": list,
        "aria-expanded": String(open), "aria-controls": `list-${list}`,
      },
      h("span", { class: "chevron", "aria-hidden": "true" }), t(`targets.${list}`),
      h("span", { class: "count" }, String(all.length)),
      free === null || searching ? null
        : h("span", { class: `free ${state.live && free ? "some" : ""}` }, known),
    )),
    h("div", { class: "rows", id: `list-${list}`, hidden: !open }, open ? [
      !all.length ? h("p", { class: "muted none" }, t("targets.nobody_else")) : null,
      limited(state, list, rows, rowOf),
      folded.length ? away(state, folded, rowOf) : null,
    ] : []),
  );
}

/** How many rows of a list are shown. */
const atMost = (state, list) => state.limits.get(list)
  || (state.search ? HITS_AT_FIRST : SHOWN_AT_FIRST);

/** The first rows, and a button for more. */
function limited(state, list, rows, rowOf) {
  const most = atMost(state, list);
  const more = rows.length - most;
  return [
    rows.slice(0, most).map(rowOf),
    more > 0 ? h("button", {
      type: "button", class: "quiet more", "data-do": "more", "data-value": list, "data-key": `more-${list}`,
    }, t("targets.more", { count: more })) : null,
  ];
}

function away(state, folded, rowOf) {
  const open = state.opened.has("targets-away");
  return h("div", { class: "away", "data-key": "away" },
    h("button", {
      type: "button", class: "fold small", "data-do": "open", "data-value": "targets-away",
      "aria-expanded": String(open), "aria-controls": "list-away",
    }, h("span", { class: "chevron", "aria-hidden": "true" }),
    t("targets.away", { count: folded.length })),
    h("div", { class: "rows", id: "list-away", hidden: !open },
      open ? limited(state, "away", folded, rowOf) : []));
}

/**
 * The note, and the buttons for the chosen target. `told`: a row shows the refusal; otherwise it is
 * shown here, also when the row that was clicked has gone.
 */
function footer(state, told) {
  const way = ways(state);
  const call = shownCall(state);
  const why = !state.live ? t("targets.not_connected")
    : !call ? t("targets.no_call")
      : !state.target ? t("targets.choose") : obstacle(state, state.target);
  const blocked = Boolean(why) || !usable(state) || state.busy;
  const group = Boolean(state.target) && state.target.kind === "group";
  const hint = why || t(group ? "targets.hint.group" : !way.canTransfer ? "targets.hint.outside"
    : way.transfer ? "targets.hint.both" : "targets.hint.consult");
  const button = (what, id, can, primary) => h("button", {
    type: "button", "data-do": what, "aria-describedby": "hint", id,
    class: primary ? "primary" : "", disabled: blocked || !can,
  }, t(`targets.${what}`));
  const refused = refusedTarget(state) && !told;
  return h(
    "div", { class: "actions", "data-key": "actions" },
    refused ? h("p", { class: "note bad", role: "alert", id: "refusal" }, state.refusal) : null,
    h("p", { class: "hint", id: "hint" }, hint),
    h("div", { class: "sends" },
      call ? h("div", { class: "noting", "data-key": "noting" },
        h("label", { for: "note", class: "unseen" }, t("targets.note")),
        h("textarea", {
          id: "note", rows: 1, maxlength: 2000, dir: "auto", placeholder: t("targets.note_hint"),
        })) : null,
      way.consult ? button("consult", "consult", way.canConsult, !way.transfer || !group) : null,
      way.transfer ? button("transfer", "send", way.canTransfer, !way.consult || group) : null),
  );
}

/** While a transfer of the call runs: the list is folded, and adds a fourth party. */
function addCard(state, transfer) {
  const can = transfer.actions.includes("add_party");
  const open = can && state.adding;
  return h(
    "section", { class: "card transfer adding", id: "transfer", "aria-labelledby": "transfer-title" },
    h("h2", { id: "transfer-title" }, can ? h("button", {
      type: "button", class: "fold", "data-do": "adding", "aria-expanded": String(open),
      "aria-controls": "list-add",
    }, h("span", { class: "chevron", "aria-hidden": "true" }), t("targets.add_somebody"))
      : h("span", { class: "unseen" }, t("targets.title"))),
    can ? null : h("p", { class: "hint busy", "data-key": "busy" }, t("targets.under_way")),
    h("div", { class: "add", id: "list-add", hidden: !open }, open ? adding(state) : []),
  );
}

function adding(state) {
  const { found, rank } = listed(state);
  const shown = state.search ? found : found.filter((entry) => rank(entry) < AWAY);
  const most = atMost(state, "add");
  const allowed = state.check && state.check.allowed ? state.check : null;
  return [
    searchField(state),
    verdict(state, found[0], found.length),
    h("p", { class: "unseen", role: "status" },
      state.search ? t("targets.found", { count: found.length }) : ""),
    h("div", { class: "lists" }, h("div", { class: "rows" },
      shown.slice(0, most).map((entry, index) => addRow(state, {
        key: entry.key, name: now(state, entry.listed).name, small: entry.id,
        agent: now(state, entry.listed),
      }, Boolean(state.search) && !index)),
      shown.length > most ? h("button", {
        type: "button", class: "quiet more", "data-do": "more", "data-value": "add", "data-key": "more-add",
      }, t("targets.more", { count: shown.length - most })) : null,
      allowed ? addRow(state, { key: `number:${allowed.e164}`, name: written(allowed) }, !found.length) : null)),
  ];
}
