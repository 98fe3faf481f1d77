// The call bar: the only place of call controls, at the same place at every width and in every state.
// What can be done comes from the transfer's `actions`, and who hears what from its parties' `hears`.

import { consultation, current, hears, partyOf, shownCall, talk } from "./calls.js";
import { h } from "./dom.js";
import { phone, unnamed } from "./format.js";
import { refusal } from "./refusal.js";
import { list, parts, t } from "./words.js";

/** So long does nobody listen to music gladly. */
const MUSIC_LATE_SECONDS = 60;

const SOUNDS = { music: "music", ringback: "ringback", prompt: "prompt" };

/** The name or number of a call's caller. */
export function callerOf(state, call, transfer) {
  if (call && call.transferred) return call.transferred.name || t("call.somebody"); // who has the call
  const pop = (call && call.pop) || {};
  const known = pop.caller || {};
  return known.name || phone(known.number, known.number_formatted)
    || (transfer && (transfer.caller_name || phone(transfer.caller, transfer.caller_formatted)))
    || (call && phone(call.caller, call.caller_formatted)) || "";
}

const up = (iso, lateSeconds = null) => h("time", {
  class: "timer", datetime: iso, "data-ticks": "up", "data-since": iso, "data-late": lateSeconds,
});

const down = (until) =>
  h("time", { class: "timer strong", "data-ticks": "down", "data-until": until });

export function callBar(state) {
  const [call, transfer] = [shownCall(state), current(state)];
  if (!call && !transfer) return null;
  const consulted = transfer ? null : consultation(state);
  const asked = consulted && consulted.begun ? consulted : null;
  const since = transfer ? transfer.started : state.me.since;
  const group = (transfer && transfer.group) || (call && call.group);
  const who = asked ? asked.name : callerOf(state, call, transfer) || unnamed(call, transfer);
  return h(
    "section", { class: "bar", id: "bar", "data-key": "bar", "aria-label": t("bar.title") },
    h("div", { class: "bar-who", "data-key": "who" },
      h("span", { class: `dot ${!state.live ? "" : call && call.on_hold ? "warm" : "good"}`, "aria-hidden": "true" }),
      h("strong", { class: "whole", dir: "auto" }, who),
      group && !asked ? h("span", { class: "muted whole", dir: "auto" }, state.groupName(group)) : null,
      state.live && since ? up(since) : null),
    transfer ? running(state, transfer, call) : h("p", {
      class: `bar-hint muted${asked || call.on_hold || call.transferred ? "" : " idle"}`, "data-key": "hint",
    },
      asked ? t("bar.asked", { name: asked.name })
        : call.transferred ? t("bar.transferred", { name: who })
          : t(call.on_hold ? "bar.on_hold" : "bar.ready")),
    refusal(state, "bar"),
  );
}

// --- the running transfer ------------------------------------------------------------------------

function running(state, transfer, call) {
  const name = state.targetName(transfer);
  return h(
    "div", { class: "running", id: "running", "data-key": "running", "data-transfer": transfer.id },
    h("h2", { id: "running-title", class: "whole", tabindex: "-1" }, title(transfer, name)),
    h("div", { class: "controls" }, controls(state, transfer, call, name)),
    h("ul", { class: "parties", "aria-label": t("transfer.who_hears_what") },
      hearing(state, transfer, call).map((one) => party(state, transfer, one))),
    wait(state, transfer),
    transfer.notes ? h("p", { class: "muted small bar-note lines", title: transfer.notes },
      t("transfer.your_note", { note: transfer.notes })) : null,
  );
}

function title(transfer, name) {
  const target = partyOf(transfer, "target");
  const { together, toCaller, toTarget } = talk(transfer);
  if (!transfer.target) return t("transfer.title.transferring", { name });
  if (target && together) return t("transfer.title.conference", { name });
  if (target && toTarget) return t("transfer.title.consulting", { name });
  if (target && toCaller) return t("transfer.title.on_hold", { name });
  if (target && target.state === "ringing") return t("transfer.title.calling", { name });
  if (target && target.state === "waiting") {
    return t(transfer.hold_until ? "transfer.title.waiting" : "transfer.title.transferring", { name });
  }
  return t("transfer.title.connecting", { name });
}

/** The rest of the wait, as a bar that shrinks. */
export function wait(state, transfer) {
  if (!transfer.hold_until || !state.live) return null;
  const queued = transfer.target.kind === "agent" || transfer.target.kind === "group";
  return h(
    "div", { class: "countdown", "data-key": "countdown" },
    h("progress", {
      max: 1, value: 1, "data-ticks": "bar", "data-until": transfer.hold_until,
      "data-from": state.waitingSince(transfer), "aria-label": t("transfer.time_left"),
    }),
    h("span", { class: "muted" }, parts(
      queued ? "transfer.waits_at_most" : "transfer.rings_at_most",
      { time: down(transfer.hold_until) })),
  );
}

function party(state, transfer, { id, name, what, many, tone, drop, music }) {
  return h(
    "li", { "data-key": `party-${id}` },
    h("span", { class: `dot ${state.live ? tone : ""}`, "aria-hidden": "true" }),
    h("span", { class: "whole", dir: "auto" }, name),
    h("span", { class: `muted${many ? " whole" : ""}` }, state.live ? what : t("targets.not_known")),
    music && state.live ? up(music, MUSIC_LATE_SECONDS) : null,
    drop && state.live ? h("button", {
      type: "button", class: "quiet small", "data-do": "drop", "data-value": id, "data-key": "drop",
      "aria-label": t("transfer.hang_up_party", { name }), disabled: state.busy,
    }, t("transfer.hang_up")) : null,
  );
}

/** For each party: name, what they hear and since when if it is music, and whether to offer to drop them. */
function hearing(state, transfer, call) {
  const present = transfer.parties.filter((one) => one.state !== "gone");
  const caller = callerOf(state, call, transfer) || t("transfer.the_caller");
  const name = (one) => ({
    transferor: t("transfer.you"), caller, target: state.targetName(transfer),
  })[one.role] || (state.agents.has(one.id) ? state.agentName(one.id) : phone(one.name, one.name_formatted));
  const heard = (one) => present.filter((other) => hears(one, other.role))
    .map((other) => (other.role === "transferor" ? t("transfer.you_as_heard") : name(other)));
  return present.map((one) => {
    const [people, sound] = [heard(one), one.hears.find((what) => SOUNDS[what])];
    const whose = one.role === "transferor" ? "you" : "party";
    let [what, tone] = [t(`transfer.${whose}.connecting`), ""];
    if (one.state === "on_hold") [what, tone] = [t(`transfer.${whose}.on_hold`), "warm"];
    else if (people.length > 2) [what, tone] = [t(`transfer.${whose}.hears_all`), "good"];
    else if (people.length) [what, tone] = [t(`transfer.${whose}.hears`, { who: list(people) }), "good"];
    else if (sound) what = t(`transfer.${whose}.hears_${SOUNDS[sound]}`);
    else if (one.state === "ringing") [what, tone] = [t(`transfer.${whose}.rings`), "warm"];
    else if (one.state === "waiting") {
      [what, tone] = [t(`transfer.party.${transfer.hold_until ? "next" : "about_to_be_called"}`), "warm"];
    }
    return {
      id: one.id, name: name(one), you: one.role === "transferor", what, many: people.length > 1, tone,
      music: one.role === "caller" && hears(one, "music") ? transfer.music_since : null,
      // Dropping the only target cancels the transfer, which has its own button.
      drop: transfer.actions.includes(`drop_party:${one.id}`) && Boolean(partyOf(transfer, "fourth")),
    };
  });
}

/** Each control has its own column, so that it is at the same place whatever else can be done. */
function controls(state, transfer, call, name) {
  const target = partyOf(transfer, "target");
  const talks = Boolean(target) && (target.state === "on_hold" || target.hears.length > 0);
  const who = hearing(state, transfer, call).filter((one) => !one.you).map((one) => one.name);
  const { together, toCaller } = talk(transfer);
  const texts = {
    complete: together ? t(who.length > 2 ? "bar.leave_all" : "bar.leave", { who: list(who) })
      : t(talks ? "bar.complete" : "bar.without_waiting"),
    swap: toCaller ? t("bar.to_target", { name }) : t("bar.to_caller"),
    conference: t("bar.all_together"),
    cancel: t("bar.back"),
  };
  // "To the caller" and "Back to the caller" are two things: each says what becomes of the target.
  const hints = {
    complete: talks && !together ? t("bar.hint.complete", { name }) : null,
    swap: t(toCaller ? "bar.hint.to_target" : "bar.hint.to_caller", { name }),
    conference: t("bar.hint.conference", { name }),
    cancel: t("bar.hint.cancel"),
  };
  const named = { complete: together, swap: toCaller }; // names may be longer than a button
  return Object.entries(texts).map(([what, text], index) => (transfer.actions.includes(what) ? h("button", {
    type: "button", "data-do": "command", "data-value": what, "data-key": `do-${what}`,
    class: `slot-${index + 1}${what === "complete" && talks ? " primary" : ""}${what === "cancel" ? " danger" : ""}`,
    disabled: !state.live || state.busy, title: hints[what], "data-hint": hints[what],
  }, h("span", {
    class: `lines${text.length > 36 ? " long" : ""}`,
    title: named[what] ? [text, hints[what]].filter(Boolean).join("\n") : null,
  }, text)) : null));
}
