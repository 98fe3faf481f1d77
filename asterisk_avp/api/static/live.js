// The connection to the server: requests, and the stream of events.

import { t } from "./words.js";

const SILENT_MS = 25_000; // the server says something at least every 10 s
const SETTLE_MS = 60_000; // for how long to ask what has become of a request
const BACK_OFF_MS = [300, 1000, 2000, 4000, 8000];

export class Failure extends Error {
  constructor(status, body) {
    super((body && body.message) || t("errors.unreachable"));
    this.status = status;
    this.reason = (body && (body.reason || body.error)) || "unreachable";
    this.body = body || {};
  }

  /** Whether the page's session has ended: signed out, or another agent has signed in. */
  get ended() {
    return this.status === 401 || this.reason === "other_agent";
  }
}

/** The agent whose page this is. Another tab may sign in as somebody else, with the same cookie. */
export const identity = { agent: null };

let leaving = new AbortController();

/** Give up all requests under way: who sent them has left, and nobody may see the answers. */
export function abandon() {
  leaving.abort();
  leaving = new AbortController();
}

/** Called with the words when a request turns out to be done whose answer was lost. */
export const settled = { tell() {} };

/**
 * Send a request to the API; return the response's JSON, or null. Throws `Failure`. If the answer to
 * a request that changes something is lost, ask what has become of it: the failure then says so.
 */
export async function ask(method, path, body) {
  const left = leaving.signal;
  const answer = await send(method, path, body, left, key(method, path)).catch((failure) => {
    if (!left.aborted) throw failure;
    return new Promise(() => {}); // nobody waits for it any more
  });
  return answer;
}

/** A name for a request that must not be done twice; null for others. */
function key(method, path) {
  if (method === "GET" || !/^\/v1\/(agents|transfers)\//.test(path)) return null;
  // randomUUID exists only over TLS.
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What became of a request whose answer was lost; if it never arrived, it will not be done. */
async function outcome(name, sent, left) {
  const until = Date.now() + SETTLE_MS;
  for (let attempt = 0; Date.now() < until && !left.aborted; attempt += 1) {
    try {
      const age = Math.ceil((Date.now() - sent) / 1000);
      const { received, status, answer } = await send(
        "DELETE", `/v1/requests/${name}?age=${age}`, null, left, null);
      if (received === null) break; // the server was restarted
      if (!received) throw new Failure(0, { reason: "not_done", message: t("errors.not_done") });
      if (status >= 400) throw new Failure(status, answer);
      settled.tell(t("errors.done_after_all"));
      return answer;
    } catch (failure) {
      if (failure.reason !== "unreachable") throw failure;
    }
    const pause = BACK_OFF_MS[Math.min(attempt, 2)];
    await new Promise((resolve) => { setTimeout(resolve, pause); });
  }
  throw new Failure(0, { reason: "outcome_unknown", message: t("errors.outcome_unknown") });
}

async function send(method, path, body, left, name) {
  const sent = Date.now();
  let answer;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: {
        "X-AVP-Panel": "1",
        ...(identity.agent ? { "X-AVP-Agent": identity.agent } : {}),
        ...(name ? { "Idempotency-Key": name } : {}),
        ...(body ? { "Content-Type": "application/json" } : {}),
      },
      body: body ? JSON.stringify(body) : undefined,
      // A proxy in front of us may send whose sign-in is over to another page.
      redirect: "manual",
      signal: AbortSignal.any([AbortSignal.timeout(15_000), left]),
    });
  } catch {
    if (name && !left.aborted) return outcome(name, sent, left);
    throw new Failure(0, null);
  }
  if (answer.type === "opaqueredirect") throw new Failure(401, null);
  const content = await answer.json().catch(() => null);
  if (left.aborted) throw new Failure(0, null);
  // A proxy in front of the server may have lost the answer.
  if (name && answer.status >= 500 && !(content && content.error)) return outcome(name, sent, left);
  if (!answer.ok) throw new Failure(answer.status, content);
  return content;
}

/**
 * Receive events. Calls `heard(event)` for each, `changed(up)` when the stream becomes live or
 * stale, and `ended(reason)` when the log-in has ended. After a reconnection, a snapshot replaces all
 * state.
 */
export class Events {
  constructor({ heard, changed, ended }) {
    Object.assign(this, { heard, changed, ended });
    this.up = false;
    this.running = false;
    this.attempt = 0;
    this.retry = 0;
    window.addEventListener("online", () => this.running && !this.up && this.#connect());
    // Without a network, nothing would tell for up to SILENT_MS that the connection is lost.
    window.addEventListener("offline", () => {
      if (!this.running) return;
      this.#drop();
      this.#again();
    });
    // After sleep, the connection may have been lost long ago.
    document.addEventListener("visibilitychange", () => this.#check());
    setInterval(() => this.#check(), 1000);
  }

  start() {
    this.running = true;
    this.attempt = 0;
    this.#connect();
  }

  stop() {
    this.running = false;
    clearTimeout(this.retry);
    this.#drop();
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
    if (this.up) {
      this.up = false;
      this.changed(false);
    }
  }

  #connect() {
    clearTimeout(this.retry);
    this.#drop();
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/events`
      + `?lists=coalesced&agent=${encodeURIComponent(identity.agent)}`);
    this.socket = socket;
    this.last = Date.now();
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.last = Date.now();
      const event = JSON.parse(data);
      this.heard(event);
      // The lists follow the snapshot; before, the page would show that nobody is there.
      if (event.type === "lists" && event.complete && !this.up) {
        this.attempt = 0;
        this.up = true;
        this.changed(true);
      }
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      this.#drop();
      if (!this.running) return;
      if (code === 4401 || code === 4409) this.ended(code === 4409 ? "other_agent" : "");
      else this.#again();
    };
  }

  #again() {
    const pause = BACK_OFF_MS[Math.min(this.attempt, BACK_OFF_MS.length - 1)];
    this.attempt += 1;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.#connect(), pause * (0.75 + Math.random() / 2));
  }

  #check() {
    if (this.socket && Date.now() - this.last > SILENT_MS) {
      this.#drop();
      if (this.running) this.#again();
    }
  }
}
