// The card of the call that is shown.

import { callerOf } from "./bar.js";
import { callsOf, consultation, current, shownCall } from "./calls.js";
import { h } from "./dom.js";
import { phone, unnamed } from "./format.js";
import { popBody } from "./pop.js";
import { t } from "./words.js";

export function callCard(state) {
  const call = shownCall(state);
  const asked = consultation(state);
  if (asked && asked.begun && (call || !state.offered)) return consulted(state, asked, call);
  if (call && call.transferred) return transferred(state, call);
  const offered = call ? null : state.offered;
  if (!call && !offered) return empty(state);
  const pop = offered || call.pop || {};
  const caller = pop.caller || {};
  const number = phone(caller.number, caller.number_formatted)
    || (call ? phone(call.caller, call.caller_formatted) : "");
  const group = call ? call.group : pop.group;
  return h(
    "section", { class: "card call", "data-key": "call", "aria-labelledby": "call-title" },
    head(state, t(call ? "call.title" : "call.title_coming_in"), where(state, call), Boolean(call) && !call.on_hold),
    state.ended && !current(state) ? h("p", { class: "note info", "data-key": "ended" }, state.ended) : null,
    h("p", { class: "caller", dir: "auto" }, caller.name || number || unnamed(call, caller)),
    h("p", { class: "facts" },
      caller.name && number ? h("span", { class: "number", dir: "ltr" }, number) : null,
      caller.withheld && (caller.name || number) ? h("span", {}, t("call.withheld")) : null,
      group ? h("span", { dir: "auto" }, state.groupName(group)) : null,
      Number.isFinite(pop.waited_seconds)
        ? h("span", {}, t("call.waited", { seconds: Math.round(pop.waited_seconds) })) : null),
    popBody(pop, state),
    otherCalls(state, call),
  );
}

function head(state, title, tag, good) {
  return h("div", { class: "card-head" },
    h("h2", { id: "call-title" }, title),
    h("span", { class: `tag ${!state.live ? "" : good ? "good" : "warm"}` },
      state.live ? tag : t("call.not_current")));
}

function where(state, call) {
  if (!call) return t("call.coming_in");
  if (call.transfer && current(state)) return t("call.being_transferred");
  return t(call.on_hold ? "call.on_hold" : "call.connected");
}

function empty(state) {
  const rings = state.me && state.me.state === "ringing";
  return h(
    "section", { class: "card call", "data-key": "call", "aria-labelledby": "call-title" },
    h("h2", { id: "call-title" }, t("call.title")),
    h("div", { class: "empty" },
      h("p", { class: "lead" }, t(!state.live ? "call.not_known" : rings ? "call.your_phone_rings" : "call.none")),
      h("p", { class: "muted" }, t("call.none_yet"))),
  );
}

/** A colleague asks: the caller is shown when the colleague completes. */
function consulted(state, asked, call) {
  return h(
    "section", { class: "card call", "data-key": "call", "aria-labelledby": "call-title" },
    head(state, t(call ? "call.title" : "call.title_coming_in"), t("call.consultation"), false),
    h("p", { class: "caller", dir: "auto" }, asked.name),
    h("p", { class: "lead" }, t("call.asks_you", { name: asked.name })),
    h("p", { class: "muted" }, t("call.shown_on_completion")),
    otherCalls(state, call),
  );
}

/** A colleague transfers the call of which this agent is the caller: there is nothing to do. */
function transferred(state, call) {
  const name = callerOf(state, call, null);
  return h(
    "section", { class: "card call", "data-key": "call", "aria-labelledby": "call-title" },
    head(state, t("call.title"), t("call.being_transferred"), false),
    h("p", { class: "caller", dir: "auto" }, name),
    h("p", { class: "lead" }, t("call.transferred", { name })),
    h("p", { class: "muted" }, t(`call.you_are_the_caller.${call.transferred.hears.includes("music") ? "music" : "talks"}`)),
    otherCalls(state, call),
  );
}

function otherCalls(state, shown) {
  const calls = callsOf(state);
  if (calls.length < 2) return null;
  return h("fieldset", { class: "calls" }, h("legend", {}, t("call.which")),
    calls.map((call) => h("label", { "data-key": `call-${call.id}` },
      h("input", { type: "radio", name: "call", value: call.id, checked: call === shown }),
      h("span", { dir: "auto" }, callerOf(state, call, null) || unnamed(call),
        call.transfer ? [" ", t("call.is_being_transferred")] : call.on_hold ? [" ", t("call.is_on_hold")] : ""))));
}
