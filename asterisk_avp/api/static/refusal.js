// A refusal, shown where the agent clicked.

import { h } from "./dom.js";

export const refusal = (state, key) => (state.refusal && state.refusedAt === key
  ? h("p", { class: "note bad refused", role: "alert", "data-key": "refused" }, state.refusal) : null);

/** Whether the agent clicked on a target, or on the buttons for the chosen one. */
export const refusedTarget = (state) => Boolean(state.refusal)
  && /^(chosen$|(agent|group|preset|number):)/.test(state.refusedAt);
