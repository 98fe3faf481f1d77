// Views: pure functions from the state to elements. main.js handles clicks and typing by the
// element's `data-do`.

import { h } from "./dom.js";
import { STATES, clock, initials, isToday, outcome, phone, webAddress } from "./format.js";
import { targetsCard } from "./targets.js";
import { transferCard, waitingCard } from "./transfer.js";

export const since = (iso, cls = "timer") =>
  h("time", { class: cls, datetime: iso, "data-ticks": "up", "data-since": iso });

/** An agent's state with its colour and, optionally, duration. Unknown while not live. */
export function pill(state, live, iso, extra) {
  const shown = live ? state : "unknown";
  return h(
    "span", { class: `pill ${shown}` },
    h("span", { class: "dot", "aria-hidden": "true" }),
    h("span", { class: "word" }, (live && extra) || STATES[shown] || shown),
    live && iso ? since(iso) : null,
  );
}

export function signIn(state) {
  return h(
    "main", { class: "signin", "data-key": "signin" },
    h(
      "form", { class: "card", "data-do": "sign-in", novalidate: true, "aria-labelledby": "welcome" },
      h("img", { src: "/panel/icon.svg", alt: "", width: 44, height: 44 }),
      h("h1", { id: "welcome" }, "Agent panel"),
      h("p", { class: "muted" }, "Sign in with your extension and PIN."),
      state.notice ? h("p", { class: "note info", role: "status" }, state.notice) : null,
      h("label", { for: "extension" }, "Extension"),
      h("input", {
        id: "extension", name: "username", autocomplete: "username", inputmode: "text",
        maxlength: 80, required: true, autocapitalize: "off", spellcheck: "false",
        "aria-describedby": state.error ? "problem" : null,
      }),
      h("label", { for: "pin" }, "PIN"),
      h("input", {
        id: "pin", name: "password", type: "password", autocomplete: "current-password",
        maxlength: 80, required: true, "aria-describedby": state.error ? "problem" : null,
      }),
      state.error ? h("p", { class: "note bad", id: "problem", role: "alert" }, state.error) : null,
      h("button", { class: "primary wide", type: "submit", disabled: state.busy }, "Sign in"),
    ),
  );
}

export function panel(state) {
  return [
    topBar(state),
    banner(state),
    h(
      "main", { class: state.live ? "board" : "board stale", "data-key": "board" },
      h(
        "div", { class: "column" },
        transferCard(state),
        callCard(state),
        ...waitingCard(state),
        historyCard(state),
      ),
      h("div", { class: "column" }, targetsCard(state)),
    ),
  ];
}

// --- the bar on top ----------------------------------------------------------------------------

const REASONS = ["Break", "Lunch", "Meeting", "Training"];

function topBar(state) {
  const { me, live } = state;
  const link = live ? "Live" : state.up ? "No telephone system" : "Connecting…";
  return h(
    "header", { class: "top", "data-key": "top" },
    h("img", { src: "/panel/icon.svg", alt: "", width: 30, height: 30 }),
    h("h1", { class: "product" }, "Agent panel"),
    h(
      "span", { class: `link ${live ? "on" : "off"}`, id: "link" },
      h("span", { class: "dot", "aria-hidden": "true" }), link,
    ),
    h("span", { class: "gap" }),
    h(
      "div", { class: "own", role: "group", "aria-label": "Your state" },
      h("span", { id: "own-state" }, pill(me ? me.state : "unknown", live && me, me && me.since,
        me && me.state === "not_ready" && me.pause_reason ? `On a break: ${me.pause_reason}` : null)),
      pauseControl(state),
    ),
    h(
      "details", { class: "menu", "data-key": "account" },
      h(
        "summary", { class: "quiet" },
        h("span", { class: "avatar small", "aria-hidden": "true" }, initials(state.session.name)),
        h("span", { class: "whole" }, state.session.name),
        h("span", { class: "muted" }, state.session.agent),
      ),
      h(
        "div", { class: "drop" },
        h("p", { class: "muted small" }, `Signed in until ${clock(state.session.expires)}`),
        h(
          "fieldset", { class: "theme" },
          h("legend", {}, "Appearance"),
          ["auto", "light", "dark"].map((name) =>
            h("label", {},
              h("input", {
                type: "radio", name: "theme", value: name, checked: state.theme === name,
                "data-key": `theme-${name}`,
              }),
              h("span", {}, name[0].toUpperCase() + name.slice(1)))),
        ),
        h("button", { type: "button", class: "item", "data-do": "sign-out" }, "Sign out"),
        h("button", { type: "button", class: "item", "data-do": "sign-out-everywhere" },
          "Sign out everywhere"),
      ),
    ),
  );
}

function pauseControl(state) {
  const { me, live } = state;
  if (!live || !me || me.state === "offline") return null;
  if (me.paused) {
    return [
      me.state !== "not_ready" ? h("span", { class: "hint" }, "Break after this call") : null,
      h("button", { type: "button", class: "primary", "data-do": "ready", "data-key": "ready" },
        "Ready"),
    ];
  }
  return h(
    "details", { class: "menu", "data-key": "pause" },
    h("summary", { class: "button" }, "Pause"),
    h(
      "form", { class: "drop", "data-do": "pause" },
      h("p", { class: "muted small" },
        me.call ? "No further calls after this one." : "No calls until you are ready again."),
      h("div", { class: "choices" }, REASONS.map((reason) =>
        h("button", { type: "button", "data-do": "pause-for", "data-value": reason }, reason))),
      h("label", { for: "reason" }, "Another reason"),
      h("input", { id: "reason", maxlength: 79, autocomplete: "off", placeholder: "Optional" }),
      h("button", { type: "submit", class: "primary wide" }, "Pause"),
    ),
  );
}

function banner(state) {
  if (state.live) {
    if (state.readiness && !state.readiness.ready) {
      return h("p", { class: "banner", role: "status", "data-key": "banner" },
        "No new transfers at the moment: ", state.readiness.detail);
    }
    return null;
  }
  const last = state.lastLive
    ? ` What you see is as it was at ${new Date(state.lastLive).toLocaleTimeString()}.` : "";
  const what = state.up
    ? "The server has no connection to the telephone system." : "No connection to the server.";
  return h("p", { class: "banner", role: "alert", "data-key": "banner" },
    `${what}${last} Trying again by itself.`);
}

// --- the call ----------------------------------------------------------------------------------

function callCard(state) {
  const { me } = state;
  const call = me && me.call;
  const offered = state.offered;
  if (!call && !offered) {
    return h(
      "section", { class: "card call", "data-key": "call", "aria-labelledby": "call-title" },
      h("h2", { id: "call-title" }, "Call"),
      h("div", { class: "empty" },
        h("p", { class: "lead" }, !state.live ? "Calls are not known at the moment"
          : me && me.state === "ringing" ? "Your phone rings" : "No call"),
        h("p", { class: "muted" },
          "When a call reaches you, you see here who it is and what is known of them.")),
    );
  }
  const pop = offered && !call ? offered : (call && call.pop) || {};
  const caller = pop.caller || {};
  const number = phone(caller.number || (call && call.caller) || "");
  const title = caller.name || number || "Unknown caller";
  const where = !call ? "Coming in" : call.transfer ? "Being transferred"
    : call.on_hold ? "On hold" : "Connected";
  const group = call ? call.group : pop.group;
  return h(
    "section", { class: "card call", "data-key": "call", "aria-labelledby": "call-title" },
    h("div", { class: "card-head" },
      h("h2", { id: "call-title" }, call ? "Call" : "Call coming in"),
      h("span", { class: `tag ${!state.live ? "" : call && !call.on_hold ? "good" : "warm"}` },
        state.live ? where : "Not current")),
    state.ended && !state.running.length
      ? h("p", { class: "note info", "data-key": "ended" }, state.ended) : null,
    h("p", { class: "caller" }, title),
    h("p", { class: "facts" },
      caller.name && number ? h("span", { class: "number" }, number) : null,
      group ? h("span", {}, state.groupName(group)) : null,
      Number.isFinite(pop.waited_seconds)
        ? h("span", {}, `Waited ${Math.round(pop.waited_seconds)} s`) : null),
    popBody(pop, state),
    otherCalls(state),
  );
}

function popBody(pop, state) {
  const data = pop.data && typeof pop.data === "object" ? Object.entries(pop.data) : [];
  const link = pop.url ? webAddress(pop.url) : null;
  const path = Array.isArray(pop.transfers) ? pop.transfers : [];
  return [
    pop.note ? h("blockquote", { class: "quote" }, h("p", {}, pop.note),
      path.length ? h("footer", {}, "Note from ",
        path[path.length - 1].from_name || path[path.length - 1].from || "a colleague") : null) : null,
    data.length ? h("dl", { class: "pop", "aria-label": "Screen pop" }, data.map(([name, value]) =>
      h("div", { "data-key": `pop-${name}` },
        h("dt", {}, label(name)),
        h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))))) : null,
    link ? h("p", {}, h("a", {
      class: "button", href: link, target: "_blank", rel: "noopener noreferrer",
    }, "Open the customer's record", h("span", { class: "unseen" }, " (in a new tab)"))) : null,
    path.length ? h("ol", { class: "path", "aria-label": "This call's way to you" }, path.map((step) =>
      h("li", {},
        h("span", {}, `${step.from_name || step.from || "Somebody"} transferred it`),
        step.mode === "supervised" ? " after speaking with the next" : "",
        step.at ? h("span", { class: "muted" }, ` at ${clock(step.at)}`) : null,
        step.note && step.note !== pop.note ? h("p", { class: "muted" }, `“${step.note}”`) : null)))
      : null,
  ];
}

/** "customer_name" is "Customer name". */
function label(name) {
  const words = String(name).replace(/[_-]+/g, " ").trim();
  return words ? words[0].toUpperCase() + words.slice(1) : name;
}

function otherCalls(state) {
  const calls = state.me && state.me.calls ? state.me.calls : [];
  if (calls.length < 2) return null;
  return h("fieldset", { class: "calls" }, h("legend", {}, "Which of your calls to transfer"),
    calls.map((call) => h("label", { "data-key": `call-${call.id}` },
      h("input", { type: "radio", name: "call", value: call.id, checked: state.callId === call.id }),
      h("span", {}, phone(call.caller) || "Unknown caller", call.on_hold ? " (on hold)" : ""))));
}

// --- history -----------------------------------------------------------------------------------

function historyCard(state) {
  const today = state.history.filter((transfer) => isToday(transfer.since));
  return h(
    "section", { class: "card history", "data-key": "history", "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, "Today's transfers"),
    today.length
      ? h("ul", { class: "log" }, today.map((transfer) => {
        const mine = transfer.agent === state.session.agent;
        const other = mine ? state.targetName(transfer) : state.agentName(transfer.agent);
        return h("li", { "data-key": `past-${transfer.id}` },
          h("time", { class: "muted", datetime: transfer.since }, clock(transfer.since)),
          h("span", { class: "who" },
            h("span", {}, phone(transfer.caller) || "Unknown caller"),
            h("span", { class: "muted" }, mine ? `to ${other}` : `from ${other}`)),
          h("span", { class: `tag ${transfer.state === "completed" ? "good" : ""}` },
            outcome(transfer)));
      }))
      : h("p", { class: "muted" }, "None yet. Kept until midnight, or until the server is restarted."),
  );
}
