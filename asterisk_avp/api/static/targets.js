// The targets of a call: the three lists, the number field, the note and the two buttons.

import { h } from "./dom.js";
import { initials, phone } from "./format.js";
import { pill } from "./page.js";

/** Why this target cannot be selected or called now; empty: it can. */
export function obstacle(state, target) {
  if (!target || target.kind !== "agent") return "";
  const agent = state.agents.get(target.id);
  if (!agent) return "";
  if (agent.state === "offline") return `${agent.name} has signed off.`;
  if (agent.paused || agent.state === "not_ready") return `${agent.name} is on a break.`;
  if (agent.waiting_transfer) return `A transferred call is waiting for ${agent.name} already.`;
  return "";
}

/** The modes that this page offers, in general and for the selected target. */
export function ways(state) {
  const may = (name) => state.targets.permissions.includes(name);
  const internal = may("internal_transfer");
  const external = may("external_transfer") && (may("manual_dial") || may("presets"));
  const { target } = state;
  return {
    consult: internal || external,
    transfer: internal && may("unsupervised_transfer"),
    canConsult: Boolean(target) && target.kind !== "group",
    canTransfer: Boolean(target) && (target.kind === "agent" || target.kind === "group"),
  };
}

const matches = (state, ...texts) => {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = texts.join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
};

export function targetsCard(state) {
  const { targets } = state;
  if (!targets || !targets.permissions.includes("session_transfer")) return null;
  const lists = [
    ["my_agent_groups", "My Agent Groups", targets.my_agent_groups, myGroups],
    ["agent_groups", "Agent Groups", targets.agent_groups, groupRows],
    ["external_presets", "External Presets", targets.external_presets, presetRows],
  ].filter(([, , entries]) => entries.length);
  const manual = targets.permissions.includes("manual_dial");
  if (!lists.length && !manual) return null;
  let found = 0;
  const shown = lists.map(([id, title, entries, rows]) => {
    const [count, content] = rows(state, entries);
    found += count;
    return list(state, id, title, count, content);
  });
  return h(
    "section", { class: "card transfer", id: "transfer", "aria-labelledby": "transfer-title" },
    h("h2", { id: "transfer-title" }, "Transfer"),
    lists.length ? h("div", { class: "search" },
      h("label", { class: "unseen", for: "search" }, "Search agents, groups and presets"),
      h("input", {
        id: "search", type: "search", placeholder: "Search agents, groups and presets",
        autocomplete: "off", spellcheck: "false", "aria-keyshortcuts": "/",
      }),
      h("kbd", { "aria-hidden": "true" }, "/")) : null,
    h("p", { class: "unseen", role: "status" }, state.search ? `${found} found` : ""),
    state.search && !found ? h("p", { class: "muted none" }, "Nobody and nothing by that name.") : null,
    h("div", { class: "lists" }, shown),
    manual && !state.running.length ? manualField(state) : null,
    state.me && state.me.call && !state.running.length ? h("div", { class: "manual", "data-key": "noting" },
      h("label", { for: "note" }, "Note to the target"),
      h("textarea", {
        id: "note", rows: 2, maxlength: 2000, placeholder: "Optional; they see it with the call",
      })) : null,
    actions(state),
  );
}

function list(state, id, title, count, content) {
  const searching = Boolean(state.search);
  if (searching && !count) return null;
  const open = searching || !state.collapsed.has(id);
  return h(
    "div", { class: "list", "data-key": id },
    h("h3", {}, h(
      "button", {
        type: "button", class: "fold", "data-do": "fold", "data-value": id,
        "aria-expanded": String(open), "aria-controls": `list-${id}`,
      },
      h("span", { class: "chevron", "aria-hidden": "true" }), title,
      h("span", { class: "count" }, String(count)),
    )),
    h("div", { class: "rows", id: `list-${id}`, hidden: !open }, open ? content : []),
  );
}

function row(state, value, disabled, ...content) {
  const chosen = state.target && `${state.target.kind}:${state.target.id}` === value;
  return h(
    "label", { class: `row${disabled ? " off" : ""}${chosen ? " chosen" : ""}`, "data-key": value },
    h("input", { type: "radio", name: "target", value, checked: chosen, disabled }),
    content,
  );
}

function myGroups(state, groups) {
  let count = 0;
  const content = groups.map((group) => {
    const agents = group.agents.filter((agent) => matches(state, agent.name, agent.id, group.name));
    count += agents.length;
    if (state.search && !agents.length) return null;
    return h(
      "div", { class: "group", role: "group", "aria-label": group.name, "data-key": `mine-${group.id}` },
      h("h4", {}, group.name, free(state, group.id)),
      agents.length ? agents.map((agent) => agentRow(state, agent))
        : h("p", { class: "muted none" }, "Nobody else is in this group."),
    );
  });
  return [count, content];
}

function agentRow(state, listed) {
  const agent = state.agents.get(listed.id) || listed;
  const why = state.live ? obstacle(state, { kind: "agent", id: agent.id }) : "";
  const coming = state.live && agent.paused && agent.state !== "not_ready" ? "break next" : null;
  return row(
    state, `agent:${agent.id}`, Boolean(why),
    h("span", { class: "avatar", "aria-hidden": "true" }, initials(agent.name)),
    h("span", { class: "who" },
      h("span", { class: "whole" }, agent.name), h("span", { class: "muted" }, agent.id)),
    state.live && agent.waiting_transfer
      ? h("span", { class: "tag warm" }, "Waiting slot taken") : null,
    coming ? h("span", { class: "tag warm" }, coming) : null,
    pill(agent.state, state.live, agent.since),
  );
}

function free(state, group) {
  if (!state.live) return h("span", { class: "free unknown" }, "not known");
  const count = state.freeIn(group);
  return h("span", { class: `free ${count ? "some" : ""}` }, count ? `${count} free` : "nobody free");
}

function groupRows(state, groups) {
  const shown = groups.filter((group) => matches(state, group.name, group.id));
  return [shown.length, shown.map((group) => row(
    state, `group:${group.id}`, false,
    h("span", { class: "avatar square", "aria-hidden": "true" }, initials(group.name)),
    h("span", { class: "who" }, h("span", { class: "whole" }, group.name)),
    free(state, group.id),
  ))];
}

function presetRows(state, presets) {
  const shown = presets.filter((preset) => matches(state, preset.name, preset.id, preset.group));
  return [shown.length, shown.map((preset) => row(
    state, `preset:${preset.id}`, false,
    h("span", { class: "avatar square", "aria-hidden": "true" }, "↗"),
    h("span", { class: "who" }, h("span", { class: "whole" }, preset.name),
      h("span", { class: "muted" }, state.groupName(preset.group))),
  ))];
}

function manualField(state) {
  return h("div", { class: "manual", "data-key": "manual" },
    numberField("number", "Another number", state.check));
}

/** A field for a number, with the result of its check. */
export function numberField(id, title, check) {
  const bad = check && !check.allowed;
  return [
    h("label", { for: id }, title),
    h("input", {
      id, type: "tel", inputmode: "tel", autocomplete: "off", maxlength: 80,
      placeholder: "e.g. (202) 555-0100", "aria-describedby": `${id}-verdict`,
      "aria-invalid": bad ? "true" : null,
    }),
    h("p", { class: `verdict ${bad ? "bad" : check ? "good" : ""}`, id: `${id}-verdict`, role: "status" },
      !check ? "" : bad ? check.message : `Will call ${phone(check.e164)}`),
  ];
}

function actions(state) {
  const way = ways(state);
  const call = state.me && state.me.call;
  const transferring = state.running.length > 0;
  const usable = state.live && state.readiness && state.readiness.ready;
  if (transferring) {
    return h("p", { class: "hint busy", "data-key": "busy" },
      "A transfer is under way; the next one can begin when it is over.");
  }
  const why = !state.live ? "Not connected."
    : !call ? "You can transfer as soon as you have a call."
      : !state.target ? "Choose where the call is to go."
        : obstacle(state, state.target);
  const blocked = Boolean(why) || !usable || state.busy;
  const hint = why || (state.target.kind === "group"
    ? "The first free agent of the group gets call and screen pop."
    : !way.canTransfer ? "Outside numbers are consulted first."
      : way.transfer ? "Consult to speak first; Transfer to hand call and screen pop over at once."
        : "You speak with them first, in private.");
  return h(
    "div", { class: "actions", "data-key": "actions" },
    state.refusal ? h("p", { class: "note bad", role: "alert", id: "refusal" }, state.refusal) : null,
    h("p", { class: "hint", id: "hint" }, hint),
    h("div", { class: "buttons" },
      way.consult ? h("button", {
        type: "button", "data-do": "consult", "aria-describedby": "hint", id: "consult",
        class: way.transfer && state.target && state.target.kind === "group" ? "" : "primary",
        disabled: blocked || !way.canConsult,
      }, "Consult") : null,
      way.transfer ? h("button", {
        type: "button", "data-do": "transfer", "aria-describedby": "hint", id: "send",
        class: way.consult && !(state.target && state.target.kind === "group") ? "" : "primary",
        disabled: blocked || !way.canTransfer,
      }, "Transfer") : null),
  );
}
