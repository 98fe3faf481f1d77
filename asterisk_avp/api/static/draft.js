// What the agent has prepared for the next transfer of a call: the note and the chosen target. It
// survives a reload of this tab, and ends with the call or with the log-in.

const KEY = "avp.draft";

/** Keep it for the call with that id; without note and target there is nothing to keep. */
export function save(agent, call, { note, target }) {
  try {
    if (!call || (!note && !target)) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify({ agent, call, note, target }));
  } catch {
    // Without storage, it lasts until the page is closed.
  }
}

/** What was kept for this agent's call; null: nothing. */
export function saved(agent, call) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return kept && kept.agent === agent && kept.call === call ? kept : null;
  } catch {
    return null;
  }
}

export function clear() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // There was none.
  }
}
