// The list of keyboard shortcuts, and the switch for those without Alt+Shift.

import { h } from "./dom.js";
import { markShortcuts } from "./keys.js";
import { remember, remembered } from "./remembered.js";
import { GROUPS, IN_FIELDS, SHORTCUTS, single, written } from "./shortcuts.js";
import { t } from "./words.js";

/** As this agent has chosen in this browser. */
export function recallSingleKeys() {
  single.on = remembered("single-keys", true) !== false;
}

const entry = (key, text) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text));

const entries = () => [
  ...GROUPS.map((group) => [
    h("h3", {}, t(`keys.group.${group}`)),
    h("dl", {}, SHORTCUTS.filter((shortcut) => shortcut.group === group)
      .map((shortcut) => entry(written(shortcut), t(`keys.${shortcut.id}`)))),
  ]),
  [h("h3", {}, t("keys.group.fields")),
    h("dl", {}, IN_FIELDS.map((id) => entry(t(`keys.${id}.key`), t(`keys.${id}.does`)))),
    h("p", { class: "muted" }, t("keys.hint"))],
];

/** Show the list; close it if it is open. */
export function showList() {
  const before = document.activeElement;
  const close = h("button", { type: "button", class: "primary" }, t("keys.close"));
  const dialog = h("dialog", { class: "keys card", "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, t("keys.title")),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": "keys-title" }, entries()),
    h("label", { class: "check" },
      h("input", { type: "checkbox", name: "single-keys", checked: single.on }), h("span", {}, t("keys.single"))),
    close);
  dialog.addEventListener("change", ({ target }) => {
    single.on = target.checked;
    remember("single-keys", single.on);
    dialog.querySelector(".scroll").replaceChildren(...entries().flat());
    markShortcuts();
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => keepInside(dialog, event));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before && before.isConnected && before !== document.body) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}

/** Tab goes around, rather than to the browser's own controls. */
function keepInside(dialog, event) {
  if (event.key === "?" && single.on) dialog.close();
  if (event.key !== "Tab") return;
  const stops = [...dialog.querySelectorAll("button, input, [tabindex='0']")];
  const next = (stops.indexOf(document.activeElement) + (event.shiftKey ? -1 : 1) + stops.length)
    % stops.length;
  event.preventDefault();
  stops[next].focus();
}
