// The page's state, and values derived from it.

import { phone } from "./format.js";

/** The start of each transfer's wait, for the length of its bar. */
export const waiting = new Map();

export const state = {
  session: null, // {agent, name, expires}
  up: false, // the stream of events runs
  lastLive: 0, // when what is shown was last known to be true
  readiness: null,
  agents: new Map(),
  me: null,
  targets: null,
  transfers: new Map(), // those that concern this agent and are not over
  history: [],
  offered: null, // the screen pop of a call that rings
  target: null, // {kind, id} or {kind: "number", number}
  callId: null,
  check: null, // the verdict on the number being typed
  fourthCheck: null,
  search: "",
  collapsed: new Set(),
  refusal: "",
  error: "",
  ended: "", // how a transfer ended that did not come about
  gone: {}, // the call that was shown before, and what `ended` was then
  notice: "",
  busy: false,
  theme: "auto",

  /** Whether the state is live: both the server and its connections to Asterisk are up. */
  get live() {
    const ready = this.readiness;
    return this.up && Boolean(ready && ready.ari && ready.ami && ready.synced);
  },
  /** This agent's running transfers. */
  get running() {
    return [...this.transfers.values()].filter((one) => one.agent === this.session.agent);
  },
  /** Transfers on their way to this agent. */
  get coming() {
    const me = this.session.agent;
    return [...this.transfers.values()].filter((one) => one.agent !== me
      && one.parties.some((party) => party.role === "target" && party.id === me));
  },
  agentName(id) {
    const agent = this.agents.get(id);
    return agent ? agent.name : id || "somebody";
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
    if (party && party.id.startsWith("party-")) return phone(party.name);
    if (!target) return "the target that you key in";
    if (target.kind === "agent") return this.agentName(target.id);
    if (target.kind === "group") return this.groupName(target.id);
    if (target.kind === "number") return phone(target.number);
    const presets = this.targets ? this.targets.external_presets : [];
    const preset = presets.find((one) => one.id === target.id);
    return preset ? preset.name : target.id;
  },
  freeIn(group) {
    return [...this.agents.values()].filter((agent) => agent.id !== this.session.agent
      && agent.state === "available" && agent.groups.includes(group)).length;
  },
  waitingSince: (transfer) => waiting.get(transfer.id) || transfer.since,
};
