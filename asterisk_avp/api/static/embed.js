// The panel in a frame of another page: messages to and from it (docs/embedding.md).
//
// Only pages of the origins that the server lists can embed the panel. Messages go to the parent if
// it is one of them, with its origin as the target, and come from it only. A number from it reaches
// the search field; only the agent's own key or click dials it.

import { t } from "./words.js";

const VERSION = 1;
const PAUSE_MS = 200; // the last of several messages in this time counts
const LONGEST_NUMBER = 80;
const CONTROL = /\p{C}/u;

export const framed = window.parent !== window;

let origins = []; // that may embed the panel
let parent = null; // the parent's origin, once it is known to be one of them
let agent = null; // {id, name}
let ready = false; // the server has said who may embed the panel
const asked = new Set(); // origins that said hello before the server listed them
const last = new Map(); // what the parent was told last, by what it is about
const current = new Map(); // what is true now, for a parent that says hello

/** The origins that may embed the panel, from the server. */
export function allow(list) {
  origins = Array.isArray(list) ? list.filter((one) => typeof one === "string") : [];
  ready = true;
  // Chromium and Safari tell who embeds a page; with others, the parent's hello does.
  const above = window.location.ancestorOrigins;
  if (above && above.length) know(above[0]);
  for (const origin of asked) know(origin);
  asked.clear();
}

/** The agent who is signed in, or null. */
export function signedIn(session) {
  agent = session ? { id: session.agent, name: session.name } : null;
  current.clear();
  last.clear();
  tell("session", { type: "session", agent });
}

/** An event of the stream, after `me` and everything else is up to date. */
export function heard(event, me) {
  if (!framed || !agent) return;
  switch (event.type) {
    case "snapshot":
      call(me);
      forgetAllBut(event.transfers.map(nameOf));
      for (const transfer of event.transfers) tell(nameOf(transfer), { type: "transfer", transfer });
      break;
    case "agent":
      if (event.agent.id === agent.id) call(event.agent);
      break;
    case "transfer":
      tell(nameOf(event.transfer), { type: "transfer", transfer: event.transfer });
      if (event.transfer.ended_reason !== null) forget(nameOf(event.transfer));
      break;
    case "pop":
      tell("pop", { type: "pop", state: event.state, pop: event.pop });
      break;
    default:
  }
}

function call(me) {
  const now = me && me.call;
  tell("call", {
    type: "call",
    call: now ? {
      id: now.id, caller: now.caller, caller_withheld: now.caller_withheld,
      group: now.group, on_hold: now.on_hold,
    } : null,
  });
  if (now && now.pop && Object.keys(now.pop).length) {
    tell("pop", { type: "pop", state: "delivered", pop: now.pop });
  } else if (!now) {
    forget("pop");
  }
}

const nameOf = ({ id }) => `transfer:${id}`;

function forget(what) {
  current.delete(what);
  last.delete(what);
}

/** Forget the transfers that ended while nothing was heard. */
function forgetAllBut(transfers) {
  const going = new Set(transfers);
  for (const one of current.keys()) if (one.startsWith("transfer:") && !going.has(one)) forget(one);
}

function tell(about, message) {
  if (!framed) return;
  current.set(about, message);
  post(about, message);
}

function post(about, message) {
  if (!parent) return;
  const text = JSON.stringify(message);
  if (last.get(about) === text) return;
  last.set(about, text);
  window.parent.postMessage({ avp: VERSION, ...JSON.parse(text) }, parent);
}

function know(origin) {
  if (!origins.includes(origin)) return;
  if (parent !== origin) last.clear();
  parent = origin;
  document.documentElement.dataset.embedded = "";
  for (const [about, message] of current) post(about, message);
}

// --- what the parent says ------------------------------------------------------------------------

let waiting = null;
const wanted = {}; // the last message of each type

if (framed) {
  window.addEventListener("message", ({ source, origin, data }) => {
    if (source !== window.parent || (ready && !origins.includes(origin))) return;
    if (typeof data !== "object" || data === null || data.avp !== VERSION) return;
    if (data.type === "hello") {
      if (!ready) {
        if (asked.size < 8) asked.add(origin);
        return;
      }
      wanted.hello = origin;
    } else if (data.type === "number" && ready && number(data.number)) {
      wanted.number = number(data.number);
    } else {
      return;
    }
    waiting ??= setTimeout(act, PAUSE_MS);
  });
}

function act() {
  waiting = null;
  const { hello, number: dialled } = wanted;
  delete wanted.hello;
  delete wanted.number;
  if (hello) {
    last.clear();
    know(hello);
  }
  if (dialled && parent) {
    last.delete("number");
    post("number", { type: "number", number: dialled, result: show(dialled) });
  }
}

/** The text of a number, also of a tel: address; empty if it is none. */
function number(text) {
  if (typeof text !== "string" || text.length > LONGEST_NUMBER || CONTROL.test(text)) return "";
  return text.replace(/^\s*tel:/i, "").trim();
}

/** Put a number where the agent would type it, where it is judged. Nothing is dialled. */
function show(dialled) {
  if (!agent) return "signed_out";
  const focused = document.activeElement;
  // Never under the agent's fingers: their next key could be Enter.
  if (document.hasFocus() && focused && focused.matches("input, textarea, select")) return "busy";
  const field = document.getElementById("number") || document.getElementById("search");
  if (!field || field.disabled) return "unavailable";
  field.value = dialled;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.scrollIntoView({ block: "nearest" });
  document.getElementById("say").textContent = t("embed.number", { number: dialled });
  return "shown";
}
