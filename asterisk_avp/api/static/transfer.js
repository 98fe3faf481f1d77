// The transfer that is under way: who hears what, how long it may wait, what can be done.

import { h } from "./dom.js";
import { phone } from "./format.js";
import { numberField } from "./targets.js";

const TITLES = {
  starting: "Transferring to",
  ringing: "Calling",
  waiting: "Waiting for",
  consulting: "Consulting with",
  swapped: "On hold:",
  conference: "Conference with",
  completing: "Connecting with",
};

export function transferCard(state) {
  const transfer = state.running[0];
  if (!transfer) return null;
  const other = state.targetName(transfer);
  const waits = transfer.hold_until && state.live;
  return h(
    "section", { class: "card running", id: "running", "aria-labelledby": "running-title" },
    h("h2", { id: "running-title", tabindex: "-1" }, `${TITLES[transfer.state] || "Transfer to"} ${other}`),
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

/** For each party: id, name, what they hear now, a colour, whether they can be hung up on. */
function hearing(state, transfer) {
  const parties = transfer.parties.filter((party) => party.state !== "gone");
  const by = (role) => parties.find((party) => party.role === role);
  const fourth = by("fourth");
  const joined = fourth && fourth.state === "talking";
  const name = (party) => ({
    transferor: "You", caller: caller(transfer), target: state.targetName(transfer),
  })[party.role] || phone(party.name);
  const others = (party, ...roles) => {
    const heard = parties.filter((one) => one !== party && roles.includes(one.role)
      && (one.role !== "fourth" || joined));
    return heard.length ? `hears ${heard.map((one) => one.role === "transferor" ? "you" : name(one))
      .join(" and ")}` : "hears nobody";
  };
  const you = (text) => text.replace(/^hears/, "hear");
  const together = {
    consulting: ["transferor", "target", "fourth"],
    swapped: ["transferor", "caller"],
    conference: ["transferor", "caller", "target", "fourth"],
  }[transfer.state];
  const aside = { consulting: ["caller"], swapped: ["target", "fourth"] }[transfer.state] || [];
  return parties.map((party) => {
    let what = "is being connected";
    let tone = "";
    if (party.role === "fourth" && !joined) [what, tone] = ["phone rings", "warm"];
    else if (together && together.includes(party.role)) {
      what = others(party, ...together);
      tone = "good";
    } else if (aside.includes(party.role)) {
      const company = aside.length > 1 && joined;
      what = company ? others(party, ...aside) : "hears music";
      tone = company ? "good" : "";
    } else if (["starting", "ringing", "waiting"].includes(transfer.state)) {
      if (party.role === "caller") what = "hears music";
      else if (party.role === "transferor") what = "hears ringing";
      else {
        what = { starting: "is about to be called", ringing: "phone rings",
          waiting: "gets the call next" }[transfer.state];
        tone = "warm";
      }
    }
    if (party.role === "transferor") what = you(what).replace(/^is /, "are ");
    const drop = party.role === "fourth" || (party.role === "target" && Boolean(fourth));
    return [party.id, name(party), what, tone, drop];
  });
}

const caller = (transfer) => phone(transfer.caller) || "The caller";

function controls(state, transfer, other) {
  const button = (what, text, cls) => h("button", {
    type: "button", class: cls, "data-do": "command", "data-value": what, "data-key": `do-${what}`,
    disabled: !state.live || state.busy,
  }, text);
  const may = (name) => state.targets && state.targets.permissions.includes(name);
  if (transfer.mode === "unsupervised") return [];
  const conference = may("conference") ? button("conference", "Conference") : null;
  const back = button("cancel", "Cancel, back to the caller", "danger");
  switch (transfer.state) {
    case "starting":
    case "ringing":
    case "waiting":
      return [
        transfer.target.kind === "agent" && may("unsupervised_transfer")
          ? button("complete", "Transfer without waiting") : null,
        back,
      ];
    case "consulting":
      return [button("complete", "Complete transfer", "primary"), button("swap", "Swap to the caller"),
        conference, back];
    case "swapped":
      return [button("complete", "Complete transfer", "primary"), button("swap", `Swap to ${other}`),
        conference, back];
    case "conference":
      return [button("complete", "Leave them together", "primary"), back];
    default:
      return [];
  }
}

function fourthField(state, transfer) {
  const may = state.targets && state.targets.permissions.includes("conference")
    && state.targets.permissions.includes("manual_dial");
  const room = ["consulting", "swapped", "conference"].includes(transfer.state);
  if (!may || !room || transfer.parties.some((party) => party.role === "fourth")) return null;
  const check = state.fourthCheck;
  return h(
    "form", { class: "fourth", "data-do": "fourth", "data-key": "fourth" },
    numberField("fourth-number", "Call a fourth party", check),
    h("button", { type: "submit", disabled: !state.live || state.busy || !(check && check.allowed) },
      "Call"),
  );
}

/** Calls that are on their way to this agent. */
export function waitingCard(state) {
  return state.coming.map((transfer) => h(
    "section", { class: "card coming", "data-key": `coming-${transfer.id}`, "aria-label": "Transferred call" },
    h("div", { class: "card-head" },
      h("h2", {}, transfer.state === "consulting" ? "Consultation" : "A call is waiting for you"),
      h("span", { class: "tag warm" }, state.live ? "Next" : "Not current")),
    h("p", { class: "lead" }, phone(transfer.caller) || "Unknown caller"),
    h("p", { class: "muted" }, `From ${state.agentName(transfer.agent)}`),
    transfer.notes ? h("blockquote", { class: "quote" }, h("p", {}, transfer.notes)) : null,
    transfer.hold_until && state.live ? h("p", { class: "muted" }, "The caller waits at most another ",
      h("time", { class: "timer strong", "data-ticks": "down", "data-until": transfer.hold_until }))
      : null,
  ));
}
