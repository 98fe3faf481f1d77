// What this browser keeps: how the page looks to each agent, and nothing of a call.

import { state } from "./state.js";

const OF_ALL = ["theme"]; // it is there before anybody signs in

const name = (what) => (state.session && !OF_ALL.includes(what)
  ? `avp.${what}.${state.session.agent}` : `avp.${what}`);

export function remembered(what, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name(what))) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(what, value) {
  try {
    localStorage.setItem(name(what), JSON.stringify(value));
  } catch {
    // Without storage, the setting lasts until the page is closed.
  }
}
