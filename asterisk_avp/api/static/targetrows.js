// The rows of the targets: who or what it is, how it stands, and its buttons.

import { shownCall } from "./calls.js";
import { h } from "./dom.js";
import { phone } from "./format.js";
import { pill, since } from "./page.js";
import { refusal } from "./refusal.js";
import { groupWords, now, obstacle, ways } from "./standing.js";
import { t } from "./words.js";

export const keyOf = (target) => `${target.kind}:${target.id ?? target.number}`;

/** The target of a row's key: `{kind, id}`, or `{kind: "number", number}`. */
export function targetOf(key) {
  const [kind, id] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
  return kind === "number" ? { kind, number: id } : { kind, id };
}

/** Whether a transfer or a consultation can begin at all, as far as the page knows. */
export function usable(state) {
  const call = shownCall(state);
  return Boolean(state.live && call && !call.consult && !call.transferred
    && state.readiness && state.readiness.ready);
}

/** A number as people of the client's country write it. */
export const written = (check) => phone(check.e164, check.e164_formatted);

/**
 * One row. `entry` has the key, kind and name, `look` the elements between name and buttons.
 * With `look.why`, the row cannot be chosen, and that is the reason.
 */
function row(state, entry, look) {
  const { key, name } = entry;
  const chosen = Boolean(state.target) && keyOf(state.target) === key;
  return h(
    "div", {
      class: `row ${entry.kind}${look.why ? " off" : ""}${chosen ? " chosen" : ""}`, "data-key": key,
      "data-first": look.first ? "true" : null,
    },
    h("label", { class: "pick", title: look.why || null },
      h("input", {
        type: "radio", name: "target", value: key, checked: chosen, disabled: Boolean(look.why),
      }),
      h("span", { class: "who" },
        h("span", { class: "whole name", dir: "auto", title: look.why || null }, name),
        look.small ? h("span", { class: "muted whole small", dir: "auto" }, look.small) : null),
      h("span", { class: "stands" }, look.stands)),
    entry.kind === "number" ? null : star(state, key, name, chosen || look.why),
    rowButtons(state, entry, Boolean(look.why), chosen),
    refusal(state, key),
  );
}

function star(state, key, name, stop) {
  const starred = state.starred.includes(key);
  return h("button", {
    type: "button", class: "star", "data-do": "star", "data-value": key, "data-key": "star",
    "aria-pressed": String(starred), "aria-label": t("targets.star", { name }),
    title: t(starred ? "targets.starred" : "targets.not_starred"), tabindex: stop ? null : "-1",
  }, starred ? "★" : "☆");
}

/** Only the chosen row's buttons are in the order of Tab: 300 rows would be 600 stops. */
function rowButtons(state, entry, blocked, chosen) {
  if (!shownCall(state)) return null;
  const target = targetOf(entry.key);
  const way = ways(state, target);
  const off = blocked || !usable(state) || state.busy;
  const button = (what, text, label) => h("button", {
    type: "button", class: "mini", "data-do": what, "data-value": entry.key, "data-key": what,
    disabled: off, "aria-label": label, tabindex: chosen ? null : "-1",
  }, text);
  const { name } = entry;
  return h("span", { class: "does" },
    way.consult && way.canConsult
      ? button("consult", t("targets.consult"), t("targets.do.consult", { name })) : null,
    way.transfer && way.canTransfer
      ? button("transfer", t("targets.transfer"), t("targets.do.transfer", { name })) : null);
}

/** How a colleague stands, for a row. */
function standsOf(state, agent) {
  return [
    state.live && agent.waiting_transfer
      ? h("span", { class: "tag warm" }, t("targets.slot_taken")) : null,
    state.live && agent.paused && agent.state !== "not_ready"
      ? h("span", { class: "tag warm" }, t("targets.break_next")) : null,
    pill(agent.state, state.live, agent.since),
  ];
}

/** A colleague's extension, and their groups where they are in several of the agent's. */
function about(entry) {
  const groups = entry.groups.length > 1 ? entry.groups.map((group) => group.name) : [];
  return [entry.id, ...groups].join(" · ");
}

export function agentRow(state, entry, first) {
  const agent = now(state, entry.listed);
  const why = state.live ? obstacle(state, { kind: "agent", id: agent.id }) : "";
  return row(state, { ...entry, name: agent.name }, {
    why, first, small: about(entry), stands: standsOf(state, agent),
  });
}

export function groupRow(state, entry, first, of) {
  const why = state.live ? obstacle(state, { kind: "group", id: entry.id }, of) : "";
  const [words, good] = state.live ? groupWords(of) : [t("targets.not_known"), false];
  return row(state, entry, {
    why, first, stands: [
      state.live && of.waiting ? h("span", { class: "muted small wait" },
        t("targets.waiting", { count: of.waiting }),
        of.longest_wait_since ? [", ", since(of.longest_wait_since)] : null) : null,
      h("span", { class: `free ${good ? "some" : ""}` }, words),
    ],
  });
}

export const presetRow = (state, entry, first) => row(state, entry, {
  why: "", first, small: entry.groups.map((group) => group.name).join(" · "),
  stands: [h("span", { class: "muted small" }, t("targets.preset"))],
});

/** The number that is typed, once the server allows it. */
export function numberRow(state, check, first) {
  return row(state, { key: `number:${check.e164}`, kind: "number", name: written(check) }, {
    why: "", first, small: "", stands: [h("span", { class: "muted small" }, t("targets.number"))],
  });
}

/** A row of those who can be added to the running transfer: a colleague or a number. */
export function addRow(state, { key, name, agent = null, small = "" }, first) {
  const why = agent && state.live ? obstacle(state, { kind: "agent", id: agent.id }) : "";
  return h(
    "div", { class: `row${why ? " off" : ""}`, "data-key": `add-${key}`, "data-first": first ? "true" : null },
    h("span", { class: "pick", title: why || null },
      h("span", { class: "who" },
        h("span", { class: "whole name", dir: "auto", title: why || null }, name),
        small ? h("span", { class: "muted whole small" }, small) : null),
      h("span", { class: "stands" }, agent ? standsOf(state, agent) : null)),
    h("span", { class: "does" }, h("button", {
      type: "button", class: "mini", "data-do": "add", "data-value": key,
      disabled: Boolean(why) || !state.live || state.busy, "aria-label": t("targets.do.add", { name }),
    }, t("targets.add"))),
    refusal(state, key),
  );
}
