// The other agents and the groups, as the stream's `lists` messages tell of them, and the targets,
// whose structure comes from a request and whose states come from the lists.

import { ask } from "./live.js";

/** Called when names have come that were asked for. */
export const names = { loaded() {} };

let asking = 0;

/** The agent of another group, of whom the lists do not tell; null until the answer has come. */
export function stranger(state, id) {
  const { strangers } = state;
  if (!id || strangers.has(id)) return strangers.get(id) || null;
  strangers.set(id, null);
  clearTimeout(asking);
  asking = setTimeout(async () => {
    const ids = [...strangers.keys()].filter((one) => !strangers.get(one)).slice(-50);
    const query = ids.map((one) => `id=${encodeURIComponent(one)}`).join("&");
    try {
      const found = await ask("GET", `/v1/agents?${query}`);
      for (const agent of found) strangers.set(agent.id, agent);
      if (found.length) names.loaded();
    } catch {
      for (const one of ids) strangers.delete(one); // again, when it is drawn again
    }
  }, 60);
  return null;
}

/** Keep only those of whom a transfer tells that the page may show. */
export function forgetStrangers({ strangers, history, transfers }) {
  const told = new Set([...history, ...transfers.values()].flatMap(({ agent, target, parties }) =>
    [agent, target && target.id, ...parties.map((party) => party.id)]));
  for (const id of strangers.keys()) if (!told.has(id)) strangers.delete(id);
}

/** Take a `lists` message. The agent's own entry is newer in the `agent` events. */
export function tookLists(state, { complete, agents, gone, groups }) {
  const me = state.session.agent;
  if (complete) {
    for (const id of [...state.agents.keys()]) if (id !== me) state.agents.delete(id);
    const told = new Set(groups.map((group) => group.id));
    for (const id of [...state.groups.keys()]) if (!told.has(id)) state.groups.delete(id);
  }
  let moved = complete || gone.length > 0;
  for (const agent of agents) {
    if (agent.id === me) continue;
    const before = state.agents.get(agent.id);
    moved ||= !before || String(before.groups) !== String(agent.groups);
    state.agents.set(agent.id, agent);
  }
  for (const id of gone) if (id !== me) state.agents.delete(id);
  for (const group of groups) {
    state.groups.set(group.id, { ...state.groups.get(group.id), ...group });
  }
  counted(state);
  if (moved) withMembers(state);
}

/**
 * Note how this agent is counted in the groups' numbers. What an `agent` event tells is newer than
 * the numbers, until the message with the groups that follows each of them.
 */
export function counted(state) {
  const memberships = state.me ? state.me.memberships : [];
  state.counted = new Map(memberships.map((membership) => [membership.group, membership]));
}

/** What decides on an agent's targets, apart from the states of others. */
export const targetsDependOn = (me) => JSON.stringify(me && [
  me.groups, me.call && [me.call.id, me.call.group, me.call.consult, me.call.transfer && me.call.transfer.id],
  me.calls.map((call) => [call.id, call.group, call.on_hold, call.consult, Boolean(call.transferred)]),
]);

/** Take the answer of the request for targets. */
export function tookTargets(state, targets) {
  state.targets = targets;
  withMembers(state);
}

function withMembers(state) {
  if (!state.targets) return;
  const members = new Map(state.targets.my_agent_groups.map((group) => [group.id, []]));
  const sorted = [...state.agents.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const agent of sorted) {
    if (agent.id === state.session.agent) continue;
    for (const id of agent.groups) if (members.has(id)) members.get(id).push(agent);
  }
  for (const group of state.targets.my_agent_groups) group.agents = members.get(group.id);
}
