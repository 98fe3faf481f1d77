// Alerts for an agent who does not look at the page: title, icon, notification and sound, each
// switched on by the agent. They begin with their cause and end with it, also when the call is taken
// elsewhere.

import { lostCallers } from "./calls.js";
import { h } from "./dom.js";
import { t } from "./words.js";

export const WAYS = ["title", "icon", "notification", "sound"];

const ICON = "/panel/icon.svg";
const ALERT_ICON = "/panel/icon-alert.svg";
const RING_MS = 3000;

/** What to alert to: {kind, key} of the most urgent cause; null: nothing. */
export function cause(state) {
  const { me, live } = state;
  if (!state.session || !live || !me) return null;
  if (state.offered || me.state === "ringing") {
    return { kind: "rings", key: `rings:${(state.offered && state.offered.call) || ""}` };
  }
  const lost = lostCallers(state, state.dismissed)[0];
  if (lost) return { kind: "lost", key: `lost:${lost.id}` };
  return me.waiting_transfer ? { kind: "waits", key: "waits" } : null;
}

/** The page's title with the alert. */
export function alertTitle(state, title) {
  const found = state.alerts.has("title") && cause(state);
  return found ? `${t(`alerts.${found.kind}`)} · ${title}` : title;
}

// --- sound: WebAudio, so that no file is needed -----------------------------------------------

let audio = null;

/** Browsers allow sound only after the agent has done something in the page. */
export function soundBlocked(state) {
  return state.alerts.has("sound") && (!audio || audio.state !== "running");
}

function unlock() {
  audio ||= new AudioContext();
  return audio.state === "running" ? Promise.resolve() : audio.resume().catch(() => {});
}

function beep(frequency, at, seconds) {
  const tone = audio.createOscillator();
  const gain = audio.createGain();
  tone.frequency.value = frequency;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(0.18, at + 0.02);
  gain.gain.linearRampToValueAtTime(0, at + seconds);
  tone.connect(gain).connect(audio.destination);
  tone.start(at);
  tone.stop(at + seconds);
}

const TUNES = {
  rings: [[660, 0, 0.35], [880, 0.4, 0.35]],
  waits: [[660, 0, 0.25]],
  lost: [[440, 0, 0.3], [330, 0.35, 0.5]],
};

let played = 0; // for tests: how often a tune was begun

function play(kind) {
  if (!audio || audio.state !== "running") return;
  played += 1;
  document.body.dataset.played = `${kind}:${played}`;
  for (const [frequency, after, seconds] of TUNES[kind]) beep(frequency, audio.currentTime + after, seconds);
}

// --- one alert at a time -----------------------------------------------------------------------

let shown = ""; // the key of the cause that is alerted to
let note = null; // the notification
let ring = 0;

/** Begin, keep or end the alert. Called after each change of the state. */
export function alerting(state) {
  const found = cause(state);
  const key = found ? found.key : "";
  setIcon(found && state.alerts.has("icon") ? ALERT_ICON : ICON);
  document.body.dataset.alert = found ? found.kind : "";
  if (key === shown) {
    if (!state.alerts.has("sound")) stopRinging();
    return;
  }
  end();
  shown = key;
  if (!found) return;
  if (state.alerts.has("sound")) {
    play(found.kind);
    if (found.kind === "rings") ring = setInterval(() => play("rings"), RING_MS);
  }
  if (state.alerts.has("notification")) notify(found.kind);
}

function stopRinging() {
  clearInterval(ring);
  ring = 0;
}

function end() {
  stopRinging();
  if (note) note.close();
  note = null;
}

/** Only while the page is hidden. It says nothing of the caller: others may see the screen. */
function notify(kind) {
  if (!document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
  note = new Notification(t(`alerts.${kind}`), { silent: true });
  note.onclick = () => {
    window.focus();
    if (note) note.close();
  };
}

function setIcon(href) {
  const link = document.querySelector("link[rel=icon]");
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
}

// --- the agent's choice --------------------------------------------------------------------------

/** The choice, in the account's menu. */
export function alertChoice(state) {
  const denied = "Notification" in window ? Notification.permission === "denied" : true;
  return h(
    "fieldset", { class: "alerts", "data-key": "alerts" },
    h("legend", {}, t("alerts.title")),
    WAYS.map((way) => h("label", { class: "check", "data-key": `alert-${way}` },
      h("input", {
        type: "checkbox", name: "alert", value: way, checked: state.alerts.has(way),
        disabled: way === "notification" && denied,
      }),
      h("span", {}, t(`alerts.way.${way}`)))),
    denied ? h("p", { class: "muted small" }, t("alerts.denied")) : null,
    soundBlocked(state) ? h("p", { class: "muted small", id: "sound-blocked" }, t("alerts.blocked")) : null,
  );
}

/** Take a changed box. Resolves to the ways that are on now. */
export async function chose(state, way, on) {
  const ways = new Set(state.alerts);
  if (!on) {
    ways.delete(way);
  } else if (way !== "notification" || (await Notification.requestPermission()) === "granted") {
    ways.add(way);
  }
  if (ways.has("sound")) {
    await unlock();
    if (way === "sound" && on) play("waits"); // what it sounds like
  }
  return ways;
}

/** Sound needs a gesture after each load of the page; whatever the agent does first is one. */
export function unlockSound(state, drawn) {
  const first = () => {
    if (!soundBlocked(state)) return;
    unlock().then(() => {
      const found = cause(state);
      if (found && found.kind === "rings") {
        end();
        shown = ""; // it rings already
      }
      drawn();
    });
  };
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, first, true);
}
