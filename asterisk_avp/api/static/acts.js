// What the agent does with the page: requests to the server, fields, folds and menus.

import { current, shownCall } from "./calls.js";
import { choosing, clearSearch } from "./choosing.js";
import * as draft from "./draft.js";
import { goTo } from "./focus.js";
import { own, quietly } from "./heard.js";
import { showList } from "./keylist.js";
import { stepEnded, tell } from "./keys.js";
import { Failure, ask } from "./live.js";
import { remember, remembered } from "./remembered.js";
import * as session from "./session.js";
import { state } from "./state.js";
import { t } from "./words.js";
import { workActions } from "./work.js";

let page = null; // {draw, announce}

session.onLeave(draft.clear);

/** Connect with the page. The answer: the functions by an element's `data-do`. */
export function acting(hooks) {
  page = hooks;
  return {
    ...session.actions,
    ...workActions(work, () => closeMenus(), valueOf),
    ...choosing({
      act, tell, quietly, remember, remembered, draw: page.draw,
      began(mode, deed) {
        state.ended = "";
        // The transfer's controls are what the agent wants next, or the next call.
        goTo(mode === "supervised" ? "#running" : "[data-key=call]", deed);
      },
    }),
    ...doing,
  };
}

/**
 * Send one request at a time, and show a refusal next to its button. The result arrives as events:
 * the response may arrive after them, and would then show an outdated state.
 */
async function act(what, at = "") {
  if (state.busy) {
    tell(t("keys.under_way"));
    return;
  }
  Object.assign(state, { busy: true, refusal: "", refusedAt: at });
  page.draw();
  try {
    await what();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.ended) session.ended(error.reason);
    else state.refusal = error.message;
  } finally {
    state.busy = false;
    stepEnded();
    page.draw();
  }
}

const work = (method, path, body) => act(() => ask(method, own(path), body), "work");

/** Ask for something of the transfer that the element belongs to; otherwise of the shown call's. */
function ofTransfer(element, method, path, body) {
  const near = element && element.closest("[data-transfer]");
  const shown = current(state);
  const id = near ? near.dataset.transfer : shown && shown.id;
  const at = shown && shown.id === id ? "bar" : `strip:${id}`;
  return id ? act(() => ask(method, `/v1/transfers/${id}${path}`, body), at) : undefined;
}

const doing = {
  shortcuts: showList,
  fold(id) {
    if (!state.collapsed.delete(id)) state.collapsed.add(id);
    remember("collapsed", [...state.collapsed]);
    page.draw();
  },
  command: (name, button) => ofTransfer(button, "POST", `/${name}`),
  drop: (party, button) => ofTransfer(button, "DELETE", `/parties/${encodeURIComponent(party)}`),
  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      page.announce(t("pop.copied"), true);
    } catch {
      page.announce(t("pop.not_copied"), true); // no permission, or a page that is not secure
    }
  },
  open(name) {
    if (!state.opened.delete(name)) state.opened.add(name);
    page.draw();
  },
  dismiss(id) {
    const known = new Set(state.history.map((transfer) => transfer.id));
    // What the server no longer tells of needs no mark: this must not grow with each call.
    state.dismissed = new Set([...state.dismissed, id].filter((one) => known.has(one)));
    remember("dismissed", [...state.dismissed]);
    page.draw();
  },
};

export function closeMenus(except) {
  for (const menu of document.querySelectorAll("#app details[open]")) {
    if (menu !== except) menu.open = false;
  }
}

export function look(theme) {
  state.theme = theme;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// --- what is typed for a call --------------------------------------------------------------------

let restoring = ""; // a note from before a reload, until its field is drawn

const valueOf = (id) => (document.getElementById(id) || { value: "" }).value;

export function clearFields() {
  const note = document.getElementById("note");
  if (note) note.value = "";
  clearSearch();
  draft.clear();
}

export function saveDraft() {
  const call = shownCall(state);
  draft.save(state.session.agent, call && call.id, { note: valueOf("note"), target: state.target });
}

/** After a reload: what was prepared for the call that is still there. */
export function restoreDraft() {
  const call = shownCall(state);
  const kept = call && draft.saved(state.session.agent, call.id);
  if (!kept) return;
  state.target ||= kept.target;
  restoring = kept.note;
}

/** After each drawing: put the kept note into its field, once that is there. */
export function restoreNote() {
  const note = restoring && document.getElementById("note");
  if (!note) return;
  note.value ||= restoring;
  restoring = "";
}
