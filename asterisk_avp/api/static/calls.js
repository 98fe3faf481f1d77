// Which call is shown, and which transfer belongs to it: pure functions of the page's state. The
// controls are those of the shown call's transfer; an agent may have others that wait for somebody.

/** The party of that role, unless it has gone. */
export const partyOf = (transfer, role) =>
  transfer.parties.find((party) => party.role === role && party.state !== "gone");

/** Whether a party hears another party, by role, or a sound. */
export const hears = (party, what) => Boolean(party) && party.hears.includes(what);

/**
 * Who talks in a running transfer, as far as it is told: all together, or the agent to the caller, or
 * to the target. The parties' `hears` does not tell it while one of them is on hold.
 */
export function talk(transfer) {
  const [you, target] = [partyOf(transfer, "transferor"), partyOf(transfer, "target")];
  const { state } = transfer;
  return {
    together: state === "conference" || hears(target, "caller"),
    toCaller: state === "swapped" || hears(you, "caller"),
    toTarget: state === "consulting" || hears(target, "transferor"),
  };
}

/** This agent's calls, the one that is being transferred first. */
export function callsOf({ me }) {
  if (!me || !me.call) return [];
  const rest = (me.calls || []).filter((call) => call.id !== me.call.id);
  return [me.call, ...rest];
}

/** The call that is shown: the one that the agent chose, otherwise the one that is not on hold. */
export function shownCall(state) {
  const calls = callsOf(state);
  return calls.find((call) => call.id === state.callId) || calls[0] || null;
}

const mine = (state) =>
  [...state.transfers.values()].filter((one) => one.agent === state.session.agent);

/** Whether the transferor still has a part in it: it has not been handed over. */
const inHand = (transfer) => Boolean(partyOf(transfer, "transferor"));

/**
 * The transfer of the shown call, whoever began it: this page, the phone or the API. Without a call
 * (the server tells of both, one after the other) it is the one that the agent has in hand.
 */
export function current(state) {
  const call = shownCall(state);
  const of = (one) => one && one.transfer && state.transfers.get(one.transfer.id);
  const own = of(call);
  if (own) return own;
  const ofOthers = new Set(callsOf(state).filter((one) => one !== call).map((one) => of(one)));
  return mine(state).find((transfer) => inHand(transfer) && !ofOthers.has(transfer)) || null;
}

/** The agent's other transfers: handed over and waiting, or of a call that is not shown. */
export function others(state) {
  const shown = current(state);
  return mine(state).filter((transfer) => transfer !== shown);
}

/** Transfers on their way to this agent. */
export function coming(state) {
  const me = state.session.agent;
  return [...state.transfers.values()].filter((one) => one.agent !== me
    && one.parties.some((party) => party.role === "target" && party.id === me));
}

/**
 * The consultation that this agent is asked into: who asks, and whether it rings or they talk
 * (`begun`); otherwise it waits for the end of the agent's own call.
 */
export function consultation(state) {
  const call = shownCall(state);
  if (call && call.consult) {
    return { name: call.consult.name || state.agentName(call.consult.agent), begun: true };
  }
  const asked = coming(state).find((transfer) => transfer.mode === "supervised");
  if (!asked) return null;
  const begun = !call || talk(asked).toTarget;
  return { name: state.agentName(asked.agent), begun };
}

/**
 * The agent's transfers that left their caller without anybody: the server tells where the caller
 * is. `dismissed` has the ids of those that the agent has read.
 */
export function lostCallers(state, dismissed) {
  const lost = (transfer) => transfer.agent === state.session.agent && !dismissed.has(transfer.id)
    && (["disconnected", "lost", "group"].includes(transfer.caller_outcome)
      // A supervised transfer's caller is back with the transferor, who knows.
      || (transfer.caller_outcome === "returned" && transfer.mode === "unsupervised"));
  return state.history.filter((transfer) => transfer.ended_reason !== null && lost(transfer));
}
