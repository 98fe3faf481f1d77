// Views: pure functions from the state to elements. main.js handles clicks and typing by the
// element's `data-do`.

import { alertChoice } from "./alerts.js";
import { callBar } from "./bar.js";
import { callCard } from "./call.js";
import { current } from "./calls.js";
import { h } from "./dom.js";
import { clock, initials, isToday, outcome, phone, stateName, unnamed } from "./format.js";
import { strips } from "./strips.js";
import { targetsCard } from "./targets.js";
import { has, locale, t } from "./words.js";
import { leavingText, stateText, workControls } from "./work.js";

export const since = (iso, cls = "timer") =>
  h("time", { class: cls, datetime: iso, "data-ticks": "up", "data-since": iso });

/** An agent's state with its colour and, optionally, duration. Unknown while not live. */
export function pill(state, live, iso, extra) {
  const shown = live ? state : "unknown";
  return h(
    "span", { class: `pill ${shown}` },
    h("span", { class: "dot", "aria-hidden": "true" }),
    h("span", { class: "word" }, (live && extra) || stateName(shown)),
    live && iso ? since(iso) : null,
  );
}

export function panel(state) {
  const beside = Boolean(current(state)); // while the list of targets is folded
  return [
    topBar(state),
    banner(state),
    callBar(state),
    h(
      "main", { class: state.live ? "board" : "board stale", "data-key": "board" },
      h(
        "div", { class: "column" },
        ...strips(state),
        callCard(state),
        beside ? null : historyCard(state),
      ),
      h("div", { class: "column" }, targetsCard(state), beside ? historyCard(state) : null),
    ),
  ];
}

// --- the bar on top ----------------------------------------------------------------------------

function topBar(state) {
  const { me, live } = state;
  const link = t(live ? "top.live" : state.up ? "top.no_telephone_system" : "top.connecting");
  return h(
    "header", { class: "top", "data-key": "top" },
    h("img", { src: "/panel/icon.svg", alt: "", width: 30, height: 30 }),
    h("h1", { class: "product" }, t("page.title")),
    h(
      "span", { class: `link ${live ? "on" : "off"}`, id: "link" },
      h("span", { class: "dot", "aria-hidden": "true" }), h("span", { class: "whole" }, link),
    ),
    h("span", { class: "gap" }),
    h(
      "div", { class: "own", role: "group", "aria-label": t("top.your_state") },
      h("span", { id: "own-state" }, pill(me ? me.state : "unknown", live && me,
        // Of after-call work, the rest is what counts.
        me && !(me.state === "acw" && me.acw_until) ? me.since : null, stateText(me))),
      workControls(state),
    ),
    h("button", {
      type: "button", class: "quiet shortcuts", "data-do": "shortcuts", "data-key": "shortcuts",
      "aria-label": t("keys.title"),
    }, h("span", { "aria-hidden": "true" }, "⌨")),
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
        h("p", { class: "muted small" }, t("top.signed_in_until", { time: clock(state.session.expires) })),
        h(
          "fieldset", { class: "theme" },
          h("legend", { class: "unseen" }, t("top.appearance")),
          ["auto", "light", "dark"].map((name) =>
            h("label", {},
              h("input", {
                type: "radio", name: "theme", value: name, checked: state.theme === name,
                "data-key": `theme-${name}`,
              }),
              h("span", {}, t(`top.theme.${name}`)))),
        ),
        alertChoice(state),
        leavingText(state) ? h("p", { class: "muted small leaving" }, leavingText(state)) : null,
        h("button", { type: "button", class: "item", "data-do": "sign-out" }, t("top.sign_out")),
        h("button", { type: "button", class: "item", "data-do": "sign-out-everywhere" },
          t("top.sign_out_everywhere")),
      ),
    ),
  );
}

const whyNotReady = ({ reason, detail }) =>
  (has(`banner.why.${reason}`) ? t(`banner.why.${reason}`) : detail);

function banner(state) {
  if (state.live) {
    const node = state.me?.node;
    const why = node ? t("errors.other_node", { node })
      : state.readiness && !state.readiness.ready
      && t("banner.no_new_transfers", { why: whyNotReady(state.readiness) });
    return why ? h("p", { class: "banner", role: "status", "data-key": "banner" }, why) : null;
  }
  const last = state.lastLive
    && t("banner.as_it_was", { time: new Date(state.lastLive).toLocaleTimeString(locale) });
  const what = t(state.up ? "banner.no_telephone_system" : "banner.no_server");
  return h("p", { class: "banner", role: "alert", "data-key": "banner" },
    [what, last, t("banner.trying_again")].filter(Boolean).join(" "));
}

// --- history -----------------------------------------------------------------------------------

function historyCard(state) {
  const today = state.history.filter((transfer) => isToday(transfer.since));
  return h(
    "section", { class: "card history", "data-key": "history", "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, t("history.title")),
    today.length
      ? h("ul", { class: "log" }, today.map((transfer) => {
        const mine = transfer.agent === state.session.agent;
        const other = mine ? state.targetName(transfer) : state.agentName(transfer.agent);
        return h("li", { "data-key": `past-${transfer.id}` },
          h("time", { class: "muted", datetime: transfer.since }, clock(transfer.since)),
          h("span", { class: "who" },
            h("span", { class: "whole", dir: "auto" }, phone(transfer.caller, transfer.caller_formatted)
              // Whom a call has not reached is not told of its caller.
              || (mine || transfer.caller_withheld ? unnamed(transfer)
                : t(transfer.mode === "supervised" ? "strips.consultation" : "transfer.coming.label"))),
            h("span", { class: "muted whole" }, t(mine ? "history.to" : "history.from", { name: other }))),
          h("span", { class: `tag ${transfer.state === "completed" ? "good" : ""}` },
            outcome(transfer)));
      }))
      : h("p", { class: "muted" }, t("history.none")),
  );
}
