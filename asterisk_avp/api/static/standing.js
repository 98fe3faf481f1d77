// How each target stands: who is free, who can be chosen, and why somebody cannot.

import { stateName } from "./format.js";
import { t } from "./words.js";

/** The order of colleagues in the lists; from `AWAY` on they cannot be reached, and are folded. */
const [FREE, ACW, TALKING, SLOT_TAKEN] = [0, 1, 2, 3];
export const AWAY = 4;

export function agentRank(agent) {
  if (agent.state === "offline" || agent.state === "not_ready" || agent.paused) return AWAY;
  if (agent.waiting_transfer) return SLOT_TAKEN;
  if (agent.state === "available") return FREE;
  return agent.state === "acw" ? ACW : TALKING;
}

/** The agent as last heard of, otherwise as listed. */
export const now = (state, one) => state.agents.get(one.id) || one;

/**
 * For each group, as the server counts: how many are logged in, may be offered calls (`ready`) and
 * are free. The transferor is not counted, except where nobody else is logged in: then they would be
 * offered their own call again, and the server permits it.
 */
export function staffing(state) {
  return (group) => {
    const told = state.groups.get(group.id);
    if (!told) return group; // as in the targets, which the server counts in the same way
    const me = state.counted.get(group.id);
    const others = (what) => told[what] - (me && me[what] ? 1 : 0);
    const alone = told.logged_in <= 1;
    return {
      ...group, ...told, available: others("available"),
      logged_in: alone ? told.logged_in : others("logged_in"),
      ready: alone ? told.ready : others("ready"),
    };
  };
}

/** A group's staffing in words, and whether the first of them is good news. */
export function groupWords(of) {
  if (of.available) return [t("targets.free", { count: of.available }), true];
  if (!of.logged_in) return [t("targets.group.nobody_logged_in"), false];
  return [t(of.ready ? "targets.group.all_busy" : "targets.group.all_paused"), false];
}

/** Why this target cannot be chosen now; empty: it can. `of`: the staffing of a group, if known. */
export function obstacle(state, target, of = null) {
  if (!target) return "";
  if (target.kind === "agent") {
    const agent = state.agents.get(target.id);
    if (!agent) return "";
    const { name } = agent;
    if (agent.state === "offline") return t("targets.obstacle.offline", { name });
    if (agent.paused || agent.state === "not_ready") return t("targets.obstacle.on_a_break", { name });
    return agent.waiting_transfer ? t("targets.obstacle.slot_taken", { name }) : "";
  }
  if (target.kind === "group") {
    const lists = state.targets ? [...state.targets.agent_groups, ...state.targets.my_agent_groups] : [];
    const group = lists.find((one) => one.id === target.id);
    if (!group) return "";
    of ||= staffing(state)(group);
    if (!of.logged_in) return t("targets.obstacle.group_empty", { name: group.name });
    return of.ready ? "" : t("targets.obstacle.group_paused", { name: group.name });
  }
  return "";
}

/** What search and order need of an entry: its rank, and its state and groups in words. */
export function standings(state) {
  const staffed = staffing(state);
  const named = new Map(); // the names of the same few combinations of groups
  const namesOf = (ids) => {
    const key = String(ids);
    if (!named.has(key)) named.set(key, ids.map((id) => `${state.groupName(id)} ${id}`).join(" "));
    return named.get(key);
  };
  const groups = new Map((state.targets ? state.targets.agent_groups : [])
    .map((group) => [group.id, staffed(group)]));
  return {
    staffed: groups,
    rank(entry) {
      if (entry.kind === "agent") return agentRank(now(state, entry.listed));
      if (entry.kind === "preset" || !state.live) return FREE;
      const of = groups.get(entry.id);
      return of.available ? FREE : of.ready ? TALKING : AWAY;
    },
    words(entry) {
      if (!state.live || entry.kind === "preset") return "";
      if (entry.kind === "group") return groupWords(groups.get(entry.id))[0];
      const agent = now(state, entry.listed);
      const slot = agent.waiting_transfer ? ` ${t("targets.slot_taken")}` : "";
      const paused = agent.paused ? ` ${stateName("not_ready")}` : "";
      return `${stateName(agent.state)}${slot}${paused} ${namesOf(agent.groups || [])}`;
    },
  };
}

/** The modes that this page offers, in general and for a target. */
export function ways(state, target = state.target) {
  const may = (name) => state.targets.permissions.includes(name);
  const internal = may("internal_transfer");
  const external = may("external_transfer") && (may("manual_dial") || may("presets"));
  return {
    consult: internal || external,
    transfer: internal && may("unsupervised_transfer"),
    canConsult: Boolean(target) && target.kind !== "group",
    canTransfer: Boolean(target) && (target.kind === "agent" || target.kind === "group"),
  };
}
