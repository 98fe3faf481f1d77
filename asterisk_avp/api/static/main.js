// The agent panel: its state, events, and the agent's actions.

import { h, morph } from "./dom.js";
import { duration, outcome, phone } from "./format.js";
import { Events, Failure, ask } from "./live.js";
import { panel, signIn } from "./page.js";
import { state, waiting } from "./state.js";
import { obstacle, ways } from "./targets.js";

const app = document.getElementById("app");
const say = document.getElementById("say");

let clockAhead = 0; // the server's clock minus ours, in ms

// --- drawing -------------------------------------------------------------------------------------

let drawing = false;
let focusRunning = false; // the agent began a transfer: its controls are what they want next

function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    const wanted = state.session ? panel(state) : [signIn(state)];
    morph(app, wanted.filter(Boolean));
    document.body.dataset.live = String(state.live);
    document.title = title();
    tick();
    const begun = focusRunning && document.getElementById("running-title");
    if (begun) {
      focusRunning = false;
      begun.focus();
    }
  });
}

function title() {
  if (!state.session) return "Agent panel";
  const call = state.live && state.me && state.me.call;
  return `${call ? `${phone(call.caller) || "Call"} · ` : ""}${state.session.name} · Agent panel`;
}

function tick() {
  const now = Date.now() + clockAhead;
  for (const element of app.querySelectorAll("[data-ticks]")) {
    const until = (Date.parse(element.dataset.until) - now) / 1000;
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

const announce = (text) => { say.textContent = text; };

// --- what is heard -------------------------------------------------------------------------------

const events = new Events({
  heard,
  changed(up) {
    state.up = up;
    if (up) refresh();
    else state.offered = null;
    draw();
  },
  ended() {
    leave("Your session is over, or the server was restarted. Please sign in again.");
  },
});

function heard(event) {
  if (event.now) clockAhead = Date.parse(event.now) - Date.now();
  switch (event.type) {
    case "snapshot":
      state.agents = new Map(event.agents.map((agent) => [agent.id, agent]));
      state.transfers.clear();
      event.transfers.forEach(tookTransfer);
      state.readiness = event.readiness;
      tookMe(state.agents.get(state.session.agent) || null);
      break;
    case "agent":
      state.agents.set(event.agent.id, event.agent);
      if (event.agent.id === state.session.agent) {
        tookMe(event.agent);
        soon(loadTargets); // what may be done depends on the call
      }
      break;
    case "transfer":
      tookTransfer(event.transfer);
      break;
    case "readiness":
      state.readiness = event.readiness;
      if (state.live) soon(refresh);
      break;
    case "pop":
      if (event.state === "offered") {
        state.offered = event.pop;
        announce("A call is coming in");
      } else {
        state.offered = null;
        if (event.state === "delivered" && state.me && state.me.call
            && !Object.keys(state.me.call.pop).length) {
          state.me.call.pop = event.pop;
        }
      }
      break;
    default:
      return;
  }
  draw();
}

function tookMe(me) {
  const before = state.me && state.me.call ? state.me.call.id : null;
  const after = me && me.call ? me.call.id : null;
  state.me = me;
  if (me && !["ringing", "talking"].includes(me.state)) state.offered = null;
  if (after && !me.calls.some((call) => call.id === state.callId)) {
    state.callId = me.call.id;
  }
  if (before === after) return;
  if (after && after === state.gone.id) {
    // Back from a transfer: between its end and their bridge, the agent and the caller have no call.
    state.ended ||= state.gone.ended;
    return;
  }
  state.gone = { id: before, ended: state.ended };
  Object.assign(state, { refusal: "", ended: "" });
  if (after) {
    announce(`Call from ${phone(me.call.caller) || "an unknown caller"}`);
  } else if (before) {
    state.target = null;
    clearFields();
    announce("The call has gone");
  }
}

function tookTransfer(transfer) {
  const before = state.transfers.get(transfer.id);
  if (transfer.hold_until && !(before && before.hold_until)) waiting.set(transfer.id, transfer.since);
  const over = transfer.ended_reason !== null;
  if (!over) {
    state.transfers.set(transfer.id, transfer);
  } else {
    state.transfers.delete(transfer.id);
    waiting.delete(transfer.id);
    state.fourthCheck = null;
    soon(loadHistory);
  }
  if (!before || before.state === transfer.state) return;
  const mine = transfer.agent === state.session.agent;
  if (!mine) return;
  const said = `Transfer to ${state.targetName(transfer)}: `
    + (over ? outcome(transfer) : transfer.state).toLowerCase();
  announce(said);
  if (over && transfer.state !== "completed") state.ended = `${said}.`;
}

// Several events often arrive together: request once, after the last.
const pending = new Map();
function soon(load) {
  if (pending.has(load)) return;
  pending.set(load, setTimeout(() => { pending.delete(load); load(); }, 60));
}

const own = (path) => `/v1/agents/${encodeURIComponent(state.session.agent)}${path}`;

async function quietly(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Failure && error.status === 401 && state.session) {
      leave("Your session is over. Please sign in again.");
    }
    return null;
  }
}

async function loadTargets() {
  if (!state.session) return;
  const targets = await quietly(() => ask("GET", own("/targets")));
  if (!targets || !state.session) return;
  state.targets = targets;
  const { target } = state;
  if (target && target.kind === "preset"
      && !targets.external_presets.some((preset) => preset.id === target.id)) state.target = null;
  draw();
}

async function loadHistory() {
  if (!state.session) return;
  state.history = (await quietly(() => ask("GET", own("/transfers")))) || state.history;
  draw();
}

const refresh = () => Promise.all([loadTargets(), loadHistory()]);

// --- coming and going ----------------------------------------------------------------------------

function enter(session) {
  Object.assign(state, { session, error: "", notice: "", refusal: "", busy: false });
  state.collapsed = new Set(remembered("collapsed", []));
  draw();
  events.start();
}

function leave(notice) {
  events.stop();
  const extension = state.session ? state.session.agent : "";
  Object.assign(state, {
    session: null, up: false, me: null, targets: null, history: [], target: null, offered: null,
    readiness: null, notice, error: "", ended: "", search: "", check: null, fourthCheck: null, busy: false,
  });
  state.agents.clear();
  state.transfers.clear();
  draw();
  setTimeout(() => {
    const field = document.getElementById("extension");
    if (!field) return;
    if (extension) field.value = extension;
    document.getElementById(extension ? "pin" : "extension").focus();
  }, 20);
}

async function signingIn() {
  const agent = document.getElementById("extension").value.trim();
  const pin = document.getElementById("pin").value;
  if (!agent || !pin) {
    state.error = "Please give your extension and your PIN.";
    draw();
    return;
  }
  Object.assign(state, { busy: true, error: "", notice: "" });
  draw();
  try {
    enter(await ask("POST", "/v1/session", { agent, pin }));
  } catch (error) {
    Object.assign(state, { busy: false, error: error.message });
    const field = document.getElementById("pin");
    if (field) field.value = "";
    draw();
  }
}

// Stored in this browser: the page's appearance, never its data.
function remembered(name, otherwise) {
  try {
    const agent = state.session ? `.${state.session.agent}` : "";
    return JSON.parse(localStorage.getItem(`avp.${name}${agent}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function remember(name, value) {
  try {
    const agent = state.session ? `.${state.session.agent}` : "";
    localStorage.setItem(`avp.${name}${agent}`, JSON.stringify(value));
  } catch {
    // Without storage, the setting lasts until the page is closed.
  }
}

// --- what the agent does -------------------------------------------------------------------------

/**
 * Send one request at a time, and show a refusal next to its button. The result arrives as events:
 * the response may arrive after them, and would then show an outdated state.
 */
async function act(work) {
  if (state.busy) return;
  Object.assign(state, { busy: true, refusal: "" });
  draw();
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.status === 401) leave("Your session is over. Please sign in again.");
    else state.refusal = error.message;
  } finally {
    state.busy = false;
    draw();
  }
}

const valueOf = (id) => (document.getElementById(id) || { value: "" }).value;

function clearFields() {
  for (const id of ["note", "number", "search", "fourth-number"]) {
    const field = document.getElementById(id);
    if (field) field.value = "";
  }
  Object.assign(state, { search: "", check: null, fourthCheck: null });
}

const begin = (mode) => act(async () => {
  await ask("POST", own("/transfers"), {
    mode, target: state.target, notes: valueOf("note").trim(),
    ...(state.callId ? { call: state.callId } : {}),
  });
  Object.assign(state, { target: null, ended: "" });
  clearFields();
  focusRunning = true;
});

const ofRunning = (method, path, body) => act(async () => {
  const [transfer] = state.running;
  if (transfer) await ask(method, `/v1/transfers/${transfer.id}${path}`, body);
});

const closeMenus = (except) => {
  for (const menu of app.querySelectorAll("details[open]")) if (menu !== except) menu.open = false;
};

const pause = (reason) => {
  closeMenus();
  return act(() => ask("POST", own("/pause"), { reason }));
};

const doing = {
  "sign-in": signingIn,
  "sign-out": () => quietly(() => ask("DELETE", "/v1/session")).finally(() => leave("You are signed out.")),
  "sign-out-everywhere": () => quietly(() => ask("DELETE", "/v1/sessions"))
    .finally(() => leave("You are signed out everywhere.")),
  pause: () => pause(valueOf("reason")),
  "pause-for": pause,
  ready: () => act(() => ask("POST", own("/ready"))),
  fold(id) {
    if (!state.collapsed.delete(id)) state.collapsed.add(id);
    remember("collapsed", [...state.collapsed]);
    draw();
  },
  consult() { if (ways(state).canConsult && !obstacle(state, state.target)) begin("supervised"); },
  transfer() { if (ways(state).canTransfer && !obstacle(state, state.target)) begin("unsupervised"); },
  command: (name) => ofRunning("POST", `/${name}`),
  drop: (party) => ofRunning("DELETE", `/parties/${encodeURIComponent(party)}`),
  fourth: async () => {
    await ofRunning("POST", "/parties", { number: valueOf("fourth-number") });
    state.fourthCheck = null;
  },
};

document.addEventListener("click", (event) => {
  const menu = event.target.closest("details");
  closeMenus(menu);
  const button = event.target.closest("button[data-do]");
  if (button && !button.disabled) doing[button.dataset.do](button.dataset.value);
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const what = event.target.dataset.do;
  if (what) doing[what]();
});

document.addEventListener("change", ({ target: field }) => {
  if (field.name === "target") {
    const [kind, id] = [field.value.slice(0, field.value.indexOf(":")),
      field.value.slice(field.value.indexOf(":") + 1)];
    state.target = { kind, id };
    state.refusal = "";
    const number = document.getElementById("number");
    if (number) number.value = "";
    state.check = null;
  } else if (field.name === "call") {
    state.callId = field.value;
  } else if (field.name === "theme") {
    look(field.value);
    remember("theme", field.value);
  }
  draw();
});

document.addEventListener("input", ({ target: field }) => {
  if (field.id === "search") {
    state.search = field.value.trim();
    draw();
  } else if (field.id === "number") {
    state.target = null;
    state.refusal = "";
    verdict(field, "check", (check) => {
      state.target = check.allowed ? { kind: "number", number: check.e164 } : null;
    });
  } else if (field.id === "fourth-number") {
    verdict(field, "fourthCheck", () => {});
  }
});

/** Check a number while it is typed; only the last response counts. */
const asked = {};
function verdict(field, name, then) {
  clearTimeout(asked[name]);
  state[name] = null;
  draw();
  const number = field.value.trim();
  if (number.length < 3) return;
  asked[name] = setTimeout(async () => {
    const check = await quietly(
      () => ask("POST", "/v1/numbers/check", { agent: state.session.agent, number }));
    if (!check || field.value.trim() !== number) return;
    state[name] = check;
    then(check);
    draw();
  }, 150);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const field = document.getElementById("search");
    if (field) { event.preventDefault(); field.focus(); }
  } else if (event.key === "Escape") {
    const menu = app.querySelector("details[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    } else if (typing && typing.id === "search" && typing.value) {
      typing.value = "";
      state.search = "";
      draw();
    }
  }
});

function look(theme) {
  state.theme = theme;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// --- start ---------------------------------------------------------------------------------------

async function start() {
  look(localStorageTheme());
  try {
    enter(await ask("GET", "/v1/session"));
  } catch (error) {
    if (error instanceof Failure && error.status === 401) {
      leave("");
    } else {
      morph(app, [h("main", { class: "signin", "data-key": "signin" },
        h("p", { class: "note bad", role: "alert" }, "The server cannot be reached. Trying again…"))]);
      setTimeout(start, 3000);
    }
  }
}

function localStorageTheme() {
  const known = remembered("theme", "auto");
  return ["auto", "light", "dark"].includes(known) ? known : "auto";
}

start();
