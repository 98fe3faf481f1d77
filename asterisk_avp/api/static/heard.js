// What the page hears: the events of the stream become its state.

import { callsOf, partyOf } from "./calls.js";
import * as embed from "./embed.js";
import { outcome, phone, unnamed } from "./format.js";
import { counted, forgetStrangers, targetsDependOn, tookLists, tookTargets } from "./lists.js";
import { Events, Failure, ask } from "./live.js";
import * as session from "./session.js";
import { state, waiting } from "./state.js";
import { has, t } from "./words.js";
import { tookGroups } from "./work.js";

/** The server's clock minus ours, in ms. */
export const clock = { ahead: 0 };

let page = null; // {draw, announce, callCame, callGone}

/** Connect with the page: `callCame` and `callGone` follow this agent's first and last call. */
export function hearing(hooks) { page = hooks; }

const events = new Events({
  heard,
  changed(up) {
    state.up = up;
    session.stream(up);
    if (up) refresh();
    else state.offered = null;
    page.draw();
  },
  ended: session.streamEnded,
});

export const start = () => events.start();

/** Hear nothing more, and forget what was to be asked for. */
export function stop() {
  events.stop();
  for (const timer of pending.values()) clearTimeout(timer);
  pending.clear();
  waiting.clear();
}

function heard(event) {
  if (event.now) clock.ahead = Date.parse(event.now) - Date.now();
  tookGroups(event);
  switch (event.type) {
    case "snapshot":
      state.agents.delete(state.session.agent);
      event.agents.forEach((agent) => state.agents.set(agent.id, agent)); // the own; lists follow
      state.transfers.clear();
      event.transfers.forEach(tookTransfer);
      for (const id of waiting.keys()) if (!state.transfers.has(id)) waiting.delete(id);
      state.readiness = event.readiness;
      // Who waits in the agent's own groups; the lists that follow count the members of all.
      state.groups = new Map(event.groups.map((group) => [group.id, group]));
      tookMe(state.agents.get(state.session.agent) || null);
      counted(state);
      // The pop of a call that rings already.
      state.offered = event.pops.map((one) => one.pop)[0] || null;
      break;
    case "agent":
      state.agents.set(event.agent.id, event.agent);
      if (event.agent.id === state.session.agent) {
        const [before, same] = [targetsDependOn(state.me), JSON.stringify(state.me)];
        tookMe(event.agent);
        // What is told again without a change is told because the settings have changed.
        if (targetsDependOn(event.agent) !== before || JSON.stringify(event.agent) === same) soon(loadTargets);
      }
      break;
    case "lists":
      tookLists(state, event);
      break;
    case "transfer":
      tookTransfer(event.transfer);
      break;
    case "group":
      break;
    case "readiness":
      state.readiness = event.readiness;
      if (state.live) soon(refresh);
      break;
    case "pop":
      if (event.state === "offered") {
        state.offered = event.pop;
        page.announce(t("call.is_coming_in"));
      } else {
        state.offered = null;
        if (event.state === "delivered" && state.me && state.me.call
            && !Object.keys(state.me.call.pop).length) {
          state.me.call.pop = event.pop;
        }
      }
      break;
    default:
      return;
  }
  embed.heard(event, state.me);
  page.draw();
}

function tookMe(me) {
  const before = state.me && state.me.call ? state.me.call.id : null;
  const after = me && me.call ? me.call.id : null;
  state.me = me;
  if (me && !["ringing", "talking"].includes(me.state)) state.offered = null;
  if (!callsOf(state).some((call) => call.id === state.callId)) state.callId = null;
  if (before === after) return;
  if (after && !before) page.callCame();
  Object.assign(state, { refusal: "", ended: "" });
  if (after) {
    page.announce(t("call.from", {
      caller: phone(me.call.caller, me.call.caller_formatted) || unnamed(me.call),
    }));
  } else if (before) {
    state.target = null;
    page.callGone();
    page.announce(t("call.gone"));
  }
}

function tookTransfer(transfer) {
  const before = state.transfers.get(transfer.id);
  if (transfer.hold_until && !(before && before.hold_until)) waiting.set(transfer.id, transfer.since);
  const over = transfer.ended_reason !== null;
  if (!over) {
    state.transfers.set(transfer.id, transfer);
  } else {
    state.transfers.delete(transfer.id);
    waiting.delete(transfer.id);
    soon(loadHistory);
  }
  if (!before || before.state === transfer.state) return;
  const mine = transfer.agent === state.session.agent;
  if (!mine) return;
  const said = t("transfer.progress", {
    target: state.targetName(transfer),
    what: over ? outcome(transfer, "ended.said") : progress(transfer.state),
  });
  page.announce(said);
  // Once the call is handed over, the card shows another one: the strips tell of lost callers.
  if (over && transfer.state !== "completed" && partyOf(before, "transferor")) state.ended = said;
}

const progress = (name) => (has(`progress.${name}`) ? t(`progress.${name}`) : name);

// Several events often arrive together: request once, after the last.
const pending = new Map();
function soon(load) {
  if (pending.has(load)) return;
  pending.set(load, setTimeout(() => { pending.delete(load); load(); }, 60));
}

/** A path of the signed-in agent's. */
export const own = (path) => `/v1/agents/${encodeURIComponent(state.session.agent)}${path}`;

/** What `work` answers; null if it failed. A log-in that has ended ends the session. */
export async function quietly(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Failure && error.ended && state.session) session.ended(error.reason);
    return null;
  }
}

async function loadTargets() {
  if (!state.session) return;
  const targets = await quietly(() => ask("GET", own("/targets")));
  if (!targets || !state.session) return;
  tookTargets(state, targets);
  const { target } = state;
  if (target && target.kind === "preset"
      && !targets.external_presets.some((preset) => preset.id === target.id)) state.target = null;
  page.draw();
}

async function loadHistory() {
  if (!state.session) return;
  state.history = (await quietly(() => ask("GET", own("/transfers")))) || state.history;
  forgetStrangers(state);
  page.draw();
}

const refresh = () => Promise.all([loadTargets(), loadHistory()]);
