// Who is signed in on this page: signing in and out, and other agents in the same browser.

import * as embed from "./embed.js";
import { h } from "./dom.js";
import { Failure, abandon, ask, identity } from "./live.js";
import { state } from "./state.js";
import { t } from "./words.js";

const SIGN_OUT = "avp.sign-out"; // in localStorage: a sign-out that the server has not confirmed

const kept = new Set(["theme"]); // what the page looks like, whoever uses it
const copy = (value) => (value instanceof Map ? new Map(value)
  : value instanceof Set ? new Set(value)
    : Array.isArray(value) ? [...value]
      : value && typeof value === "object" ? { ...value } : value);
const blank = Object.entries(Object.getOwnPropertyDescriptors(state))
  .filter(([name, field]) => "value" in field && typeof field.value !== "function" && !kept.has(name))
  .map(([name, field]) => [name, copy(field.value)]);

let page = null; // what main.js does with a session: {draw, opened, closed}
let sso = { way: "pin", signOutUrl: null };
let out = null; // a sign-out that is not confirmed: {path, agent, busy, problem}
let reached = false; // the server has said who is signed in
let resumed = false; // the stream was begun again, and has not been live since
const forgetters = [];

/** Call `forget` whenever an agent leaves: it must remove all that a module keeps of their calls. */
export const onLeave = (forget) => { forgetters.push(forget); };

/** Begin, with what main.js does: `draw()`, `opened(session)` and `closed()`. */
export function begin(hooks) {
  page = hooks;
  return start();
}

// --- other tabs ----------------------------------------------------------------------------------

// All tabs share one cookie. The server refuses a tab that takes itself for another agent; this
// tells them at once.
const tabs = new BroadcastChannel("avp.session");
tabs.onmessage = ({ data }) => {
  if (!state.session || !data) return;
  const mine = data.agent === state.session.agent;
  if (data.type === "in" && !mine) leave(t("signin.other_agent"));
  else if (data.type === "out" && mine) leave(t("signin.signed_out"));
};

// A proxy that signs agents in does not tell us when its own sign-in is over, and then refuses our
// stream without a word. So the page asks, also whenever the agent comes back to it.
const CHECK_MS = 60_000;
const DOWN_MS = 1_000;
let checking = 0;

async function check() {
  clearTimeout(checking);
  const { session } = state;
  if (!session) return;
  try {
    await ask("GET", "/v1/session");
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (failure.ended && state.session === session) ended(failure.reason);
  }
  if (sso.way === "proxy" && state.session === session) checkIn(CHECK_MS);
}

function checkIn(milliseconds) {
  clearTimeout(checking);
  checking = setTimeout(check, milliseconds);
}

window.addEventListener("focus", check);

// A page that the browser brings back from its history may show what it showed then.
window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });

// --- coming and going ----------------------------------------------------------------------------

function enter(session) {
  out = null;
  remember(null);
  Object.assign(state, { session, error: "", notice: "", refusal: "", busy: false });
  identity.agent = session.agent;
  told(session);
  tabs.postMessage({ type: "in", agent: session.agent });
  page.opened(session);
  embed.signedIn(session);
  page.draw();
}

/**
 * Leave: remove everything of the agent and their callers from the page. `notice` says why;
 * `extension` is who may want to sign in again.
 */
export function leave(notice, extension = state.session ? state.session.agent : "") {
  abandon(); // the answers to what this agent asked
  page.closed();
  identity.agent = null;
  for (const [name, value] of blank) state[name] = copy(value);
  for (const forget of forgetters) forget();
  document.getElementById("say").textContent = "";
  embed.signedIn(null);
  state.notice = notice;
  page.draw();
  setTimeout(() => {
    const field = document.getElementById("extension");
    if (!field || field.value) return; // whoever types already goes on
    if (extension) field.value = extension;
    document.getElementById(extension ? "pin" : "extension").focus();
  }, 20);
}

/** Leave because the server refused a request or the stream with `reason`. */
export function ended(reason) {
  leave(t(reason === "other_agent" ? "signin.other_agent" : "signin.session_over_or_restarted"));
}

/** The stream says that the log-in has ended: another tab may have signed this agent in again. */
export async function streamEnded(reason) {
  const { session } = state;
  if (resumed) {
    ended(reason);
    return;
  }
  try {
    const now = await ask("GET", "/v1/session");
    if (state.session !== session) return;
    resumed = true;
    page.opened(Object.assign(session, now));
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (state.session === session) ended(failure.reason === "other_agent" ? failure.reason : reason);
  }
}

/** The stream of events is live, or no longer. */
export function stream(up) {
  if (up) resumed = false;
  if (sso.way === "proxy" && state.session) checkIn(up ? CHECK_MS : DOWN_MS);
}

function told(answer) {
  reached = true;
  sso = { way: answer.sign_in || sso.way, signOutUrl: answer.sign_out_url || sso.signOutUrl };
  if (answer.frame_ancestors) embed.allow(answer.frame_ancestors);
}

/** Who is signed in: the answer came with the page, unless that is an old one; asked for again later. */
function whoIsSignedIn() {
  const came = document.querySelector('meta[name="avp-session"][content^="{"]');
  const [how] = performance.getEntriesByType("navigation");
  if (!came || !how || how.type === "back_forward") return ask("GET", "/v1/session");
  const { status, body } = JSON.parse(came.content);
  came.remove();
  return status < 400 ? Promise.resolve(body) : Promise.reject(new Failure(status, body));
}

async function start() {
  out = remembered();
  if (out) {
    page.draw();
    await confirm();
    return;
  }
  try {
    enter(await whoIsSignedIn());
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (failure.status !== 401) {
      state.error = t("errors.unreachable_trying_again");
      page.draw();
      setTimeout(start, 3000);
      return;
    }
    told(failure.body);
    if (sso.way === "proxy") {
      await signOn();
      return;
    }
    leave("");
    if (document.documentElement.dataset.early === "sign-in") await signIn(); // see early.js
  }
}

async function signOn() {
  try {
    enter(await ask("POST", "/v1/session/proxy"));
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    leave("");
    state.error = failure.message;
    page.draw();
  }
}

/** Sign in with the PIN in the form. */
export async function signIn() {
  const agent = document.getElementById("extension").value.trim();
  const pin = document.getElementById("pin").value;
  if (!agent || !pin) {
    state.error = t("signin.incomplete");
    page.draw();
    return;
  }
  Object.assign(state, { busy: true, error: "", notice: "" });
  page.draw();
  try {
    enter(await ask("POST", "/v1/session", { agent, pin }));
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    Object.assign(state, { busy: false, error: failure.message });
    const field = document.getElementById("pin");
    if (field) field.value = "";
    page.draw();
  }
}

// --- signing out ---------------------------------------------------------------------------------

/** Sign out here or everywhere. The page is empty at once, and says so only once it is done. */
export function signOut(everywhere) {
  const { agent } = state.session;
  out = { path: everywhere ? "/v1/sessions" : "/v1/session", agent, busy: false, problem: "" };
  leave("");
  return confirm();
}

async function confirm() {
  if (out.busy) return;
  const mine = out;
  Object.assign(out, { busy: true, problem: "" });
  remember(out); // a reload must not bring back what the agent wanted to leave
  page.draw();
  identity.agent = out.agent; // so that it ends nobody else's session
  let notice = out.path === "/v1/sessions" ? t("signin.signed_out_everywhere") : done();
  try {
    await ask("DELETE", out.path);
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (!failure.ended) {
      if (out === mine) Object.assign(out, { busy: false, problem: failure.message });
      identity.agent = null;
      page.draw();
      return;
    }
    // This browser's log-in was over before; of those elsewhere, nothing is known.
    if (out.path === "/v1/sessions") notice = t("signin.signed_out_only_here");
  }
  if (out !== mine) return;
  tabs.postMessage({ type: "out", agent: out.agent });
  remember(null);
  const { agent } = out;
  if (!reached) await ask("GET", "/v1/session").then(told, ({ body }) => told(body || {}));
  out = null;
  leave(notice, agent);
}

const done = () => t(sso.way === "proxy" ? "signin.signed_out_of_panel" : "signin.signed_out");

export const actions = {
  "sign-in": signIn,
  "sign-out": () => signOut(false),
  "sign-out-everywhere": () => signOut(true),
  "sign-out-again": confirm,
  "sign-on": () => window.location.reload(), // which also passes the proxy's own sign-in
};

function remember(what) {
  try {
    if (what) localStorage.setItem(SIGN_OUT, JSON.stringify({ path: what.path, agent: what.agent }));
    else localStorage.removeItem(SIGN_OUT);
  } catch {
    // Without storage, a reload shows who is still signed in.
  }
}

function remembered() {
  try {
    const { path, agent } = JSON.parse(localStorage.getItem(SIGN_OUT)) || {};
    const known = path === "/v1/session" || path === "/v1/sessions";
    return known && typeof agent === "string" ? { path, agent, busy: false, problem: "" } : null;
  } catch {
    return null;
  }
}

// --- what is shown -------------------------------------------------------------------------------

/** The page of nobody: the form, or how an unfinished sign-out stands. */
export function signInPage() {
  const form = out ? leaving() : !reached ? h("div", { class: "card" }, head(""), problem()) : sso.way === "proxy" ? byProxy() : pinForm();
  return h("main", { class: "signin", "data-key": "signin" }, form);
}

const head = (text) => [
  h("img", { src: new URL("icon.svg", import.meta.url).pathname, alt: "", width: 44, height: 44 }),
  h("h1", { id: "welcome" }, t("page.title")),
  text ? h("p", { class: "muted" }, text) : null,
];
const notice = () => (state.notice
  ? h("p", { class: "note info", role: "status" }, state.notice) : null);
const problem = () => (state.error
  ? h("p", { class: "note bad", id: "problem", role: "alert" }, state.error) : null);

function leaving() {
  return h("div", { class: "card", "data-key": "leaving", "aria-labelledby": "welcome" },
    head(""),
    out.problem
      ? [h("div", { class: "note bad", role: "alert", id: "not-signed-out" },
        h("p", {}, h("strong", {}, t("signin.not_signed_out"))),
        h("p", {}, t("signin.still_open", { agent: out.agent })),
        h("p", {}, out.problem))]
      : h("p", { class: "note info", role: "status" }, t("signin.signing_out")),
    h("button", { type: "button", class: "primary wide", "data-do": "sign-out-again", disabled: out.busy },
      t("signin.sign_out_again")));
}

function byProxy() {
  return h("div", { class: "card", "data-key": "by-proxy", "aria-labelledby": "welcome" },
    head(""), notice(), problem(),
    h("button", { type: "button", class: "primary wide", "data-do": "sign-on", disabled: state.busy },
      t("signin.sign_in")),
    sso.signOutUrl ? h("p", {}, h("a", {
      href: sso.signOutUrl, id: "proxy-sign-out",
      ...(embed.framed ? { target: "_blank", rel: "noopener noreferrer" } : {}),
    }, t("signin.sign_out_of_organisation"))) : null);
}

/** As index.html has it already where nobody is signed in: both change together. */
function pinForm() {
  return h(
    "form", { class: "card", "data-key": "pin-form", "data-do": "sign-in", novalidate: true, "aria-labelledby": "welcome" },
    head(t("signin.how")), notice(),
    h("label", { for: "extension" }, t("signin.extension")),
    h("input", {
      id: "extension", name: "username", autocomplete: "username", inputmode: "text",
      maxlength: 80, required: true, autocapitalize: "off", spellcheck: "false",
      "aria-describedby": state.error ? "problem" : null,
    }),
    h("label", { for: "pin" }, t("signin.pin")),
    h("input", {
      id: "pin", name: "password", type: "password", autocomplete: "current-password",
      maxlength: 80, required: true, "aria-describedby": state.error ? "problem" : null,
    }),
    problem(),
    h("button", { class: "primary wide", type: "submit", disabled: state.busy }, t("signin.sign_in")),
  );
}
