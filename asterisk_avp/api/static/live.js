// The connection to the server: requests, and the stream of events.

const SILENT_MS = 25_000; // the server says something at least every 10 s
const BACK_OFF_MS = [300, 1000, 2000, 4000, 8000];

export class Failure extends Error {
  constructor(status, body) {
    super((body && body.message) || "The server cannot be reached.");
    this.status = status;
    this.reason = (body && (body.reason || body.error)) || "unreachable";
  }
}

/** Send a request to the API; return the response's JSON, or null. Throws `Failure`. */
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: { "X-AVP-Panel": "1", ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    throw new Failure(0, null);
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok) throw new Failure(answer.status, content);
  return content;
}

/**
 * Receive events. Calls `heard(event)` for each, `changed(up)` when the stream becomes live or
 * stale, and `ended()` when the log-in has ended. After a reconnection, a snapshot replaces all
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
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/events`);
    this.socket = socket;
    this.last = Date.now();
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.last = Date.now();
      const event = JSON.parse(data);
      this.heard(event);
      if (event.type === "snapshot") {
        this.attempt = 0;
        this.up = true;
        this.changed(true);
      }
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      this.#drop();
      if (!this.running) return;
      if (code === 4401) this.ended();
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
