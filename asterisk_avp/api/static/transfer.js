// The running transfer: who hears what, the remaining wait, and the possible actions.

import { h } from "./dom.js";
import { phone } from "./format.js";
import { numberField } from "./targets.js";

/** The party of that role, unless it has gone. */
const partyOf = (transfer, role) =>
  transfer.parties.find((party) => party.role === role && party.state !== "gone");

/** Whether a party hears another party, by role, or a sound. */
const hears = (party, what) => Boolean(party) && party.hears.includes(what);

function title(transfer) {
  const [you, target] = [partyOf(transfer, "transferor"), partyOf(transfer, "target")];
  if (!transfer.target) return "Transferring to";
  if (hears(target, "caller")) return "Conference with";
  if (hears(target, "transferor")) return "Consulting with";
  if (target && hears(you, "caller")) return "On hold:";
  if (target && target.state === "ringing") return "Calling";
  if (target && target.state === "waiting") return transfer.hold_until ? "Waiting for" : "Transferring to";
  return "Connecting with";
}

export function transferCard(state) {
  const transfer = state.running[0];
  if (!transfer) return null;
  const other = state.targetName(transfer);
  const waits = transfer.hold_until && state.live;
  return h(
    "section", { class: "card running", id: "running", "aria-labelledby": "running-title" },
    h("h2", { id: "running-title", tabindex: "-1" }, `${title(transfer)} ${other}`),
    waits ? h("div", { class: "countdown" },
      h("progress", {
        max: 1, value: 1, "data-ticks": "bar", "data-until": transfer.hold_until,
        "data-from": state.waitingSince(transfer), "aria-label": "Time left",
      }),
      h("span", { class: "muted" }, transfer.target.kind === "agent" || transfer.target.kind === "group"
        ? "waits at most another " : "rings at most another ",
      h("time", { class: "timer strong", "data-ticks": "down", "data-until": transfer.hold_until })))
      : null,
    h("ul", { class: "parties", "aria-label": "Who hears what" },
      hearing(state, transfer).map(([id, name, what, tone, drop]) =>
        h("li", { "data-key": `party-${id}` },
          h("span", { class: `dot ${state.live ? tone : ""}`, "aria-hidden": "true" }),
          h("span", { class: "whole" }, name),
          h("span", { class: "muted" }, state.live ? what : "not known"),
          drop && state.live ? h("button", {
            type: "button", class: "quiet small", "data-do": "drop", "data-value": id,
            "aria-label": `Hang up ${name}`,
          }, "Hang up") : null))),
    transfer.notes ? h("p", { class: "muted" }, `Your note: “${transfer.notes}”`) : null,
    state.refusal ? h("p", { class: "note bad", role: "alert", id: "problem" }, state.refusal) : null,
    h("div", { class: "buttons" }, controls(state, transfer, other)),
    fourthField(state, transfer),
  );
}

const SOUNDS = { music: "music", ringback: "ringing", prompt: "a prompt" };

/** For each party: id, name, what they hear, a colour, and whether they can be dropped. */
function hearing(state, transfer) {
  const parties = transfer.parties.filter((party) => party.state !== "gone");
  const name = (party) => ({
    transferor: "You", caller: caller(transfer), target: state.targetName(transfer),
  })[party.role] || phone(party.name);
  const heard = (party) => parties.filter((one) => hears(party, one.role))
    .map((one) => (one.role === "transferor" ? "you" : name(one)));
  return parties.map((party) => {
    const [others, sound] = [heard(party), party.hears.find((what) => SOUNDS[what])];
    let [what, tone] = ["is being connected", ""];
    if (others.length) [what, tone] = [`hears ${others.join(" and ")}`, "good"];
    else if (sound) what = `hears ${SOUNDS[sound]}`;
    else if (party.state === "ringing") [what, tone] = ["phone rings", "warm"];
    else if (party.state === "waiting") {
      [what, tone] = [transfer.hold_until ? "gets the call next" : "is about to be called", "warm"];
    }
    if (party.role === "transferor") what = what.replace(/^hears/, "hear").replace(/^is /, "are ");
    // Dropping the only target cancels the transfer, which has its own button.
    const drop = transfer.actions.includes(`drop_party:${party.id}`)
      && Boolean(partyOf(transfer, "fourth"));
    return [party.id, name(party), what, tone, drop];
  });
}

const caller = (transfer) => phone(transfer.caller) || "The caller";

function controls(state, transfer, other) {
  const button = (what, text, cls) => h("button", {
    type: "button", class: cls, "data-do": "command", "data-value": what, "data-key": `do-${what}`,
    disabled: !state.live || state.busy,
  }, text);
  const [you, target] = [partyOf(transfer, "transferor"), partyOf(transfer, "target")];
  const talks = Boolean(target) && target.hears.length > 0;
  const texts = [
    ["complete", hears(target, "caller") ? "Leave them together"
      : talks ? "Complete transfer" : "Transfer without waiting", talks ? "primary" : undefined],
    ["swap", hears(you, "caller") ? `Swap to ${other}` : "Swap to the caller"],
    ["conference", "Conference"],
    ["cancel", "Cancel, back to the caller", "danger"],
  ];
  return texts.filter(([what]) => transfer.actions.includes(what)).map((texts) => button(...texts));
}

function fourthField(state, transfer) {
  if (!transfer.actions.includes("add_party")) return null;
  const check = state.fourthCheck;
  return h(
    "form", { class: "fourth", "data-do": "fourth", "data-key": "fourth" },
    numberField("fourth-number", "Call a fourth party", check),
    h("button", { type: "submit", disabled: !state.live || state.busy || !(check && check.allowed) },
      "Call"),
  );
}

/** Calls on their way to this agent. */
export function waitingCard(state) {
  return state.coming.map((transfer) => h(
    "section", { class: "card coming", "data-key": `coming-${transfer.id}`, "aria-label": "Transferred call" },
    h("div", { class: "card-head" },
      h("h2", {}, hears(partyOf(transfer, "target"), "transferor") ? "Consultation" : "A call is waiting for you"),
      h("span", { class: "tag warm" }, state.live ? "Next" : "Not current")),
    h("p", { class: "lead" }, phone(transfer.caller) || "Unknown caller"),
    h("p", { class: "muted" }, `From ${state.agentName(transfer.agent)}`),
    transfer.notes ? h("blockquote", { class: "quote" }, h("p", {}, transfer.notes)) : null,
    transfer.hold_until && state.live ? h("p", { class: "muted" }, "The caller waits at most another ",
      h("time", { class: "timer strong", "data-ticks": "down", "data-until": transfer.hold_until }))
      : null,
  ));
}
