// Format times, numbers and states.

/** 65 is "1:05", 3665 is "1:01:05". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const s = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${s}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${s}`;
}

export const clock = (iso) =>
  new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export const isToday = (iso) => new Date(iso).toDateString() === new Date().toDateString();

/** "+12025550123" is "+1 202 555 0123"; other numbers stay as they are. */
export function phone(number) {
  const found = /^\+1(\d{3})(\d{3})(\d{4})$/.exec(number || "");
  return found ? `+1 ${found[1]} ${found[2]} ${found[3]}` : number || "";
}

export const STATES = {
  available: "Available",
  ringing: "Ringing",
  talking: "Talking",
  acw: "After-call work",
  not_ready: "On a break",
  offline: "Signed off",
  unknown: "Unknown",
};

const ENDED = {
  no_answer: "no answer",
  rejected: "declined",
  not_accepted: "not accepted",
  max_hold: "waited too long",
  target_hangup: "they hung up",
  target_not_ready: "they went on a break",
  target_offline: "they signed off",
  target_unreachable: "could not be reached",
  target_busy: "busy",
  target_congested: "line congested",
  target_queue_full: "a call was waiting already",
  transferor_hangup: "you hung up",
  asterisk_unavailable: "telephone system not available",
  withdrawn: "withdrawn",
};

/** A short description of how a transfer ended. */
export function outcome({ state, ended_reason: reason }) {
  if (state === "failed") return `Not completed${ENDED[reason] ? `: ${ENDED[reason]}` : ""}`;
  if (reason === "caller_hangup") return "Caller hung up";
  return state[0].toUpperCase() + state.slice(1);
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  return letters.map((word) => [...word][0] || "").join("").toUpperCase();
}

/** A safe link: http or https only, no script. */
export function webAddress(text) {
  try {
    const url = new URL(String(text));
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
