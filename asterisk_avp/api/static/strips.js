// One line each: the agent's other transfers, calls on their way to this agent, and callers who were
// lost after a transfer of this agent's.

import { callerOf, wait } from "./bar.js";
import { coming, consultation, lostCallers, others } from "./calls.js";
import { h } from "./dom.js";
import { clock, phone, unnamed } from "./format.js";
import { refusal } from "./refusal.js";
import { parts, t } from "./words.js";

/** What a strip's buttons say. Those that the core would refuse are not shown. */
const ACTIONS = ["complete", "cancel"];

export function strips(state) {
  return [
    ...lostCallers(state, state.dismissed).map((transfer) => lost(state, transfer)),
    asked(state),
    ...coming(state).filter((one) => one.mode !== "supervised").map((one) => next(state, one)),
    ...others(state).map((transfer) => other(state, transfer)),
  ].filter(Boolean);
}

function strip(key, label, tone, ...content) {
  return h("section", { class: `strip ${tone}`, "data-key": key, "aria-label": label }, content);
}

function other(state, transfer) {
  const caller = callerOf(state, null, transfer) || unnamed(transfer);
  const name = state.targetName(transfer);
  const offered = ACTIONS.filter((what) => transfer.actions.includes(what));
  return strip(`other-${transfer.id}`, [t("strips.another"), caller, name].join(", "), "",
    h("span", { class: "strip-what" },
      h("strong", { class: "whole", dir: "auto" }, caller),
      h("span", { class: "muted" }, t("strips.to", { name }))),
    wait(state, transfer),
    offered.length ? h("span", { class: "strip-does", "data-transfer": transfer.id }, offered.map((what) => h("button", {
      type: "button", class: "small", "data-do": "command", "data-value": what, "data-key": what,
      disabled: !state.live || state.busy,
    }, t(`strips.do.${what}`)))) : null,
    refusal(state, `strip:${transfer.id}`));
}

/** A consultation that waits for this agent: nothing of the caller is told before it completes. */
function asked(state) {
  const found = consultation(state);
  if (!found || found.begun) return null; // the card says so
  return strip("asked", t("strips.consultation"), "warm",
    h("span", { class: "strip-what" }, h("strong", {}, t("strips.asks", { name: found.name }))),
    h("span", { class: "tag warm" }, t(state.live ? "transfer.coming.next" : "call.not_current")));
}

/** A call that this agent gets next. Of whom is told once the agent has it, with the screen pop. */
function next(state, transfer) {
  const caller = phone(transfer.caller, transfer.caller_formatted);
  const label = t("transfer.coming.label");
  return strip(`coming-${transfer.id}`, [label, caller].filter(Boolean).join(", "), "warm",
    h("span", { class: "strip-what" },
      h("strong", { class: "whole", dir: "auto" }, caller || label),
      h("span", { class: "muted" }, t("transfer.coming.from", { name: state.agentName(transfer.agent) }))),
    h("span", { class: "tag warm" }, t(state.live ? "transfer.coming.next" : "call.not_current")),
    transfer.notes ? h("blockquote", { class: "quote" }, h("p", { dir: "auto" }, transfer.notes)) : null,
    transfer.hold_until && state.live ? h("span", { class: "muted" }, parts("transfer.coming.waits_at_most", {
      time: h("time", { class: "timer strong", "data-ticks": "down", "data-until": transfer.hold_until }),
    })) : null);
}

function lost(state, transfer) {
  const number = phone(transfer.caller, transfer.caller_formatted);
  const caller = transfer.caller_name || number || unnamed(transfer);
  const raw = transfer.caller || "";
  const outcome = transfer.caller_outcome;
  const words = { caller, name: state.targetName(transfer) };
  const nobody = transfer.target.kind === "group" && outcome !== "lost";
  return h(
    "section", {
      class: "strip bad", "data-key": `lost-${transfer.id}`, role: "alert", "aria-label": t("strips.lost"),
    },
    h("span", { class: "strip-what" },
      h("strong", {}, nobody ? t(`strips.nobody.${outcome}`, words) : t(`strips.outcome.${outcome}`, words)),
      h("span", { class: "muted" }, t("strips.at", { time: clock(transfer.since) }))),
    raw && outcome !== "returned" ? h("span", { class: "strip-number" },
      h("span", {}, parts("strips.call_back", { number: h("strong", { class: "number", dir: "ltr" }, number) })),
      h("button", {
        type: "button", class: "small", "data-do": "copy", "data-value": raw, "data-key": "copy",
        "aria-label": t("pop.copy_value", { value: number }),
      }, t("pop.copy"))) : null,
    h("button", {
      type: "button", class: "small", "data-do": "dismiss", "data-value": transfer.id, "data-key": "dismiss",
    }, t("strips.dismiss")),
  );
}
