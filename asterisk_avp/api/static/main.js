// The agent panel: draws the page, and connects what is heard (heard.js) and what the agent does
// (acts.js) with it.

import { acting, clearFields, closeMenus, look, restoreDraft, restoreNote, saveDraft } from "./acts.js";
import { alertTitle, alerting, chose, unlockSound } from "./alerts.js";
import { callerOf } from "./bar.js";
import { consultation, current, shownCall } from "./calls.js";
import { chosen, clearSearch, keyPressed, recall, searched } from "./choosing.js";
import { morph } from "./dom.js";
import { keepFocus } from "./focus.js";
import { duration } from "./format.js";
import { clock, hearing, start, stop } from "./heard.js";
import { recallSingleKeys } from "./keylist.js";
import { keyboard, markShortcuts } from "./keys.js";
import { names } from "./lists.js";
import { settled } from "./live.js";
import { panel } from "./page.js";
import { remember, remembered } from "./remembered.js";
import * as session from "./session.js";
import { state } from "./state.js";
import { t } from "./words.js";
import { guardLeaving } from "./work.js";

const app = document.getElementById("app");
const say = document.getElementById("say");

// --- drawing -------------------------------------------------------------------------------------

let drawing = false;

function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    const wanted = state.session ? panel(state) : [session.signInPage()];
    keepFocus(() => morph(app, wanted.filter(Boolean)), state.busy);
    markShortcuts();
    measureBars();
    document.body.dataset.live = String(state.live);
    document.title = alertTitle(state, title());
    alerting(state);
    tick();
    restoreNote();
  });
}

/** The heights of the two bars, for the styles of what must not be covered by them. */
const sizes = new ResizeObserver(measureBars);

function measureBars() {
  for (const [name, selector] of [["--top", ".top"], ["--bar", "#bar"]]) {
    const element = app.querySelector(selector);
    const stays = element && getComputedStyle(element).position !== "static";
    const height = stays ? element.getBoundingClientRect().height : 0;
    document.documentElement.style.setProperty(name, `${height}px`);
    if (element) sizes.observe(element);
  }
}
window.addEventListener("resize", measureBars);

function title() {
  if (!state.session) return t("page.title");
  const call = state.live && shownCall(state);
  const asked = call && consultation(state);
  const caller = call && ((asked && asked.begun ? asked.name : callerOf(state, call, current(state)))
    || t("call.title"));
  return [caller, state.session.name, t("page.title")].filter(Boolean).join(" · ");
}

function tick() {
  const now = Date.now() + clock.ahead;
  for (const element of app.querySelectorAll("[data-ticks]")) {
    const until = (Date.parse(element.dataset.until) - now) / 1000;
    if (element.dataset.late) {
      const lasts = (now - Date.parse(element.dataset.since)) / 1000;
      element.classList.toggle("late", lasts >= Number(element.dataset.late));
    }
    if (element.dataset.ticks === "bar") {
      const whole = (Date.parse(element.dataset.until) - Date.parse(element.dataset.from)) / 1000;
      element.value = Math.min(1, Math.max(0, until / Math.max(1, whole)));
      element.classList.toggle("urgent", until < 10);
      continue;
    }
    const up = element.dataset.ticks === "up";
    const text = duration(up ? (now - Date.parse(element.dataset.since)) / 1000 : Math.ceil(until));
    if (element.textContent !== text) element.textContent = text;
  }
  if (state.live) state.lastLive = Date.now();
}
setInterval(tick, 1000);

const SEEN_MS = 8000;
let hiding = 0;

/** Say it to who cannot see the page; with `shown`, on the screen as well. */
function announce(text, shown = false) {
  say.textContent = text;
  say.className = shown ? "toast" : "unseen";
  clearTimeout(hiding);
  if (shown) hiding = setTimeout(() => { say.className = "unseen"; }, SEEN_MS);
}
keyboard({
  say: announce,
  busy: () => state.busy || (state.live && !state.targets),
  drawn: () => !drawing,
  about: () => {
    const [call, transfer] = [shownCall(state), current(state)];
    return `${call ? call.id : ""}/${transfer ? transfer.id : ""}`;
  },
});

settled.tell = (text) => announce(text, true);
names.loaded = draw;
hearing({ draw, announce, callCame: restoreDraft, callGone: clearFields });

// --- coming and going ----------------------------------------------------------------------------

const closeSession = () => {
  stop();
  clearSearch();
};

function openSession() {
  state.collapsed = new Set(remembered("collapsed", []));
  recall();
  recallSingleKeys();
  state.dismissed = new Set(remembered("dismissed", []));
  state.alerts = new Set(remembered("alerts", []));
  start();
}

// --- what the agent does -------------------------------------------------------------------------

const doing = acting({ draw, announce });

document.addEventListener("click", (event) => {
  const menu = event.target.closest("details");
  closeMenus(menu);
  const button = event.target.closest("button[data-do]");
  if (button && !button.disabled) doing[button.dataset.do](button.dataset.value, button);
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const what = event.target.dataset.do;
  if (what) doing[what]();
});

document.addEventListener("change", ({ target: field }) => {
  if (field.name === "target") {
    chosen(field);
    saveDraft();
    setTimeout(() => { // once its note and buttons are there, which may cover it
      if (field.checked) field.closest(".row").scrollIntoView({ block: "nearest" });
    });
  } else if (field.name === "call") {
    state.callId = field.value;
  } else if (field.name === "theme") {
    look(field.value);
    remember("theme", field.value);
  } else if (field.name === "alert") {
    chose(state, field.value, field.checked).then((ways) => {
      state.alerts = ways;
      remember("alerts", [...ways]);
      draw();
    });
  }
  draw();
});

document.addEventListener("input", ({ target: field }) => {
  if (field.id === "search") searched(field);
  else if (field.id === "note") saveDraft();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (typing && keyPressed(event)) {
    event.preventDefault();
    return;
  }
  if (event.key === "Escape") {
    const menu = app.querySelector("details[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    } else if (typing && typing.id === "search" && typing.value) {
      clearSearch();
      draw();
    }
  }
});

// --- start ---------------------------------------------------------------------------------------

function localStorageTheme() {
  const known = remembered("theme", "auto");
  return ["auto", "light", "dark"].includes(known) ? known : "auto";
}

look(localStorageTheme());
guardLeaving(state);
unlockSound(state, draw);
session.begin({ draw, opened: openSession, closed: closeSession });
