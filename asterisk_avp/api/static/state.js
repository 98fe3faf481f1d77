// The page's state, and values derived from it.

import { stranger } from "./lists.js";
import { current } from "./calls.js";
import { phone } from "./format.js";
import { t } from "./words.js";

/** The start of each transfer's wait, for the length of its bar. */
export const waiting = new Map();

export const state = {
  session: null, // {agent, name, expires}
  up: false, // the stream of events runs
  lastLive: 0, // when what is shown was last known to be true
  readiness: null,
  agents: new Map(), // this agent, and those of their groups
  strangers: new Map(), // agents of other groups whose names were asked for
  groups: new Map(), // counts of all, and more of the agent's own
  counted: new Map(), // how this agent is counted in those of them that they are in
  me: null,
  targets: null,
  transfers: new Map(), // those that concern this agent and are not over
  history: [],
  offered: null, // the screen pop of a call that rings
  target: null, // {kind, id} or {kind: "number", number}
  callId: null,
  check: null, // the verdict on the number being typed
  search: "",
  collapsed: new Set(),
  starred: [], // targets' keys, e.g. "agent:1002"
  recent: [],
  limits: new Map(), // how many rows of a list are shown, if more than at first
  held: null, // the ranks of the entries while their order stays
  adding: false, // "Add somebody" is open
  refusal: "",
  refusedAt: "", // where the agent clicked: "bar", a row, a strip
  opened: new Set(), // what the agent unfolded
  dismissed: new Set(), // ids of transfers whose lost caller the agent has read of
  error: "",
  ended: "", // how a transfer ended that did not come about
  notice: "",
  busy: false,
  theme: "auto",
  alerts: new Set(), // the ways of alerting that are switched on

  /** Whether the state is live: both the server and its connections to Asterisk are up. */
  get live() {
    const ready = this.readiness;
    return this.up && Boolean(ready && ready.ari && ready.ami && ready.synced);
  },
  /** The transfer of the call that is shown, as a list of at most one. */
  get running() {
    const transfer = current(this);
    return transfer ? [transfer] : [];
  },
  agentName(id) {
    const agent = this.agents.get(id) || stranger(this, id);
    return agent ? agent.name : id || t("call.somebody");
  },
  groupName(id) {
    const lists = this.targets ? [...this.targets.my_agent_groups, ...this.targets.agent_groups] : [];
    const group = lists.find((one) => one.id === id);
    return group ? group.name : id;
  },
  /** The target of a transfer, as text. */
  targetName({ target, parties }) {
    const party = parties.find((one) => one.role === "target");
    if (party && this.agents.has(party.id)) return this.agentName(party.id);
    if (party && party.id.startsWith("party-")) return phone(party.name, party.name_formatted);
    if (!target) return t("transfer.target_keyed_in");
    if (target.kind === "agent") return this.agentName(target.id);
    if (target.kind === "group") return this.groupName(target.id);
    if (target.kind === "number") {
      return phone(target.number, party && party.name_formatted);
    }
    const presets = this.targets ? this.targets.external_presets : [];
    const preset = presets.find((one) => one.id === target.id);
    return preset ? preset.name : target.id;
  },
  waitingSince: (transfer) => waiting.get(transfer.id) || transfer.since,
};
