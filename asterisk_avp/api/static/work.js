// The agent's own work: state, breaks, after-call work, and their groups.

import { h } from "./dom.js";
import { goTo } from "./focus.js";
import { stateName } from "./format.js";
import { has, parts, t } from "./words.js";

const EXTEND_SECONDS = 30;

/** The agent's own groups: who works in them, and how many callers wait. */
const known = new Map();

const may = (me, action) => (me.work_actions || []).includes(action);

/** A reason of the administrator's, in the page's language where the catalogue knows it. */
export function reasonName(reason) {
  const key = `work.reasons.${String(reason).toLowerCase()}`;
  return has(key) ? t(key) : reason;
}

/** What the pill says instead of the state's name; null: the name. */
export function stateText(me) {
  if (me && me.state === "not_ready" && me.pause_reason) {
    return t("work.on_a_break", { reason: reasonName(me.pause_reason) });
  }
  return null;
}

/** The buttons beside the agent's state. */
export function workControls(state) {
  const { me, live } = state;
  if (!live || !me) return null;
  return [
    acw(me, state),
    me.state === "offline" ? null : breaks(me, state),
    groups(me, state),
    state.refusal && state.refusedAt === "work"
      ? h("p", { class: "note bad refused", role: "alert", "data-key": "work-refused" }, state.refusal)
      : null,
  ];
}

function acw(me, { busy }) {
  if (me.state !== "acw" || !me.acw_until) return null;
  return h(
    "span", { class: "acw", "data-key": "acw", role: "group", "aria-label": stateName("acw") },
    h("span", { class: "left" },
      parts("work.left", {
        time: h("time", { id: "acw-left", datetime: me.acw_until, "data-ticks": "down", "data-until": me.acw_until }),
      })),
    may(me, "extend_acw") ? h("button", {
      type: "button", "data-do": "extend-acw", "data-key": "extend-acw", disabled: busy,
      title: t("work.extend_hint"),
    }, t("work.extend", { seconds: EXTEND_SECONDS })) : null,
    may(me, "end_acw") && !me.paused ? h("button", {
      type: "button", class: "primary", "data-do": "ready", "data-key": "ready", disabled: busy,
    }, t("work.ready_now")) : null,
  );
}

function breaks(me, state) {
  const coming = me.paused && me.state !== "not_ready";
  const reason = me.pause_reason ? reasonName(me.pause_reason) : "";
  return [
    coming ? h("span", { class: "hint", id: "break-next" },
      t(me.state === "acw" ? "work.break_after_acw" : "work.break_after_call"),
      reason ? h("strong", {}, ` ${reason}`) : null) : null,
    coming ? h("button", { type: "button", "data-do": "keep-working", "data-key": "keep-working" },
      t("work.no_break")) : null,
    me.state === "not_ready" ? h("button", {
      type: "button", class: "primary", "data-do": "ready", "data-key": "ready", disabled: state.busy,
    }, t("work.ready")) : null,
    h(
      "details", { class: "menu", "data-key": "pause" },
      h("summary", { class: "button" }, t(me.paused ? "work.change_reason" : "work.pause")),
      pauseForm(me, state),
    ),
  ];
}

function pauseForm(me, { session }) {
  const reasons = session.pause_reasons || [];
  const other = session.other_pause_reasons !== false;
  const later = me.call || me.state === "ringing" || me.state === "acw";
  return h(
    "form", { class: "drop", "data-do": "pause" },
    h("p", { class: "muted small" }, t(me.state === "not_ready" ? "work.other_reason_now"
      : later ? "work.none_after_this" : "work.none_until_ready")),
    reasons.length ? h("div", { class: "choices" }, reasons.map((reason) =>
      h("button", {
        type: "button", "data-do": "pause-for", "data-value": reason, dir: "auto",
        "aria-pressed": String(me.paused && me.pause_reason === reason),
      }, reasonName(reason)))) : null,
    other ? [
      h("label", { for: "reason" }, t("work.another_reason")),
      h("input", { id: "reason", maxlength: 79, autocomplete: "off", dir: "auto", placeholder: t("work.optional") }),
      h("button", { type: "submit", class: "primary wide" },
        t(later ? "work.pause_later" : "work.pause")),
    ] : null,
  );
}

// --- groups ------------------------------------------------------------------------------------

function groups(me, state) {
  const own = (me.memberships || []).map((membership) => ({
    ...membership, ...known.get(membership.group), actions: membership.actions,
    member: membership.member,
  }));
  if (!own.length) return null;
  const waiting = own.reduce((sum, group) => sum + (group.member && group.waiting ? group.waiting : 0), 0);
  return h(
    "details", { class: "menu", "data-key": "groups" },
    h("summary", { class: `button${waiting ? " waits" : ""}`, id: "waiting" },
      h("span", {}, t("work.waiting", { count: waiting })), longest(own)),
    h("div", { class: "drop groups" },
      h("h2", {}, t("work.groups")),
      h("ul", {}, own.map((group) => row(group, state)))),
  );
}

function longest(own) {
  const since = own.filter((group) => group.member && group.waiting)
    .map((group) => group.longest_wait_since).filter(Boolean).sort()[0];
  return since ? h("time", {
    class: "timer", datetime: since, "data-ticks": "up", "data-since": since, "data-late": 60,
  }) : null;
}

function row(group, state) {
  const name = group.name || group.group;
  const action = group.actions[0];
  return h(
    "li", { "data-key": `own-${group.group}`, class: group.member ? "" : "out" },
    h("span", { class: "who" },
      h("span", { dir: "auto" }, name),
      h("span", { class: "muted small" }, group.logged_in === undefined ? null
        : t("work.available_of", { available: group.available, logged_in: group.logged_in }))),
    h("span", { class: "waiting" },
      t("work.waiting", { count: group.waiting || 0 }),
      group.longest_wait_since ? h("time", {
        class: "timer", datetime: group.longest_wait_since, "data-ticks": "up",
        "data-since": group.longest_wait_since, "data-late": 60,
      }) : null),
    action ? h("button", {
      type: "button", "data-do": `group-${action}`, "data-value": group.group, disabled: state.busy,
      "data-key": `group-${group.group}`, "aria-label": t(`work.${action}_to`, { group: name }),
    }, t(`work.${action}`))
      : h("span", { class: "muted small" }, t(group.member ? "work.always_in" : "work.logged_out")),
  );
}

/** Take what an event says of groups: a snapshot, one group, or a list of changes. */
export function tookGroups(event) {
  if (event.type === "snapshot") known.clear();
  const changed = event.type === "group" ? [event.group] : event.groups || [];
  for (const group of changed) known.set(group.id, { ...known.get(group.id), ...group });
}

// --- what the agent does -------------------------------------------------------------------------

/** The page's actions by `data-do`. `send(method, path, body)` asks for one's own agent. */
export function workActions(send, closeMenus, valueOf) {
  const pause = (reason) => {
    closeMenus();
    goTo("[data-key=ready]");
    return send("POST", "/pause", { reason });
  };
  const group = (id, what) => send("POST", `/groups/${encodeURIComponent(id)}/${what}`);
  return {
    pause: () => pause(valueOf("reason").trim()),
    "pause-for": pause,
    ready: () => send("POST", "/ready"),
    "keep-working": () => send("POST", "/ready", { keep_acw: true }),
    "extend-acw": () => send("POST", "/acw", { extend_seconds: EXTEND_SECONDS }),
    "group-login": (id) => group(id, "login"),
    "group-logout": (id) => group(id, "logout"),
  };
}

// --- leaving -------------------------------------------------------------------------------------

/** What to say to an agent who leaves the page while their phone goes on; empty: nothing. */
export function leavingText({ me }) {
  if (!me) return "";
  if (me.call || me.state === "talking" || me.state === "ringing") return t("work.leaving_in_call");
  return me.state !== "offline" && !me.paused ? t("work.leaving_gets_calls") : "";
}

/** Ask before the page is closed during a call. */
export function guardLeaving(state) {
  window.addEventListener("beforeunload", (event) => {
    const { me } = state;
    if (state.session && state.live && me && (me.call || me.state === "ringing")) {
      event.preventDefault();
      event.returnValue = ""; // older browsers
    }
  });
}
