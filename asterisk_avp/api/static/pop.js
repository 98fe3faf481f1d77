// The screen pop of a call: what is known of the caller, and the call's way to this agent.

import { h } from "./dom.js";
import { clock, webAddress } from "./format.js";
import { t } from "./words.js";

const SHOWN_AT_FIRST = 8;

export function popBody(pop, state) {
  const data = pop.data && typeof pop.data === "object" ? Object.entries(pop.data) : [];
  const link = pop.url ? webAddress(pop.url) : null;
  const path = Array.isArray(pop.transfers) ? pop.transfers : [];
  const all = data.length <= SHOWN_AT_FIRST || state.opened.has("pop");
  const shown = all ? data : data.slice(0, SHOWN_AT_FIRST);
  return [
    pop.note ? h("blockquote", { class: "quote" }, h("p", { dir: "auto" }, pop.note),
      path.length ? h("footer", {}, t("pop.note_from", {
        name: path[path.length - 1].from_name || path[path.length - 1].from || t("pop.a_colleague"),
      })) : null) : null,
    link ? h("p", {}, h("a", {
      class: "button", href: link, target: "_blank", rel: "noopener noreferrer",
    }, t("pop.open_record"), " ", h("span", { class: "unseen" }, t("pop.new_tab")))) : null,
    data.length ? h("dl", { class: "pop", "aria-label": t("pop.title"), id: "pop" }, shown.map(value)) : null,
    data.length > SHOWN_AT_FIRST ? h("button", {
      type: "button", class: "quiet fold", "data-do": "open", "data-value": "pop", "data-key": "pop-more",
      "aria-expanded": String(all), "aria-controls": "pop",
    }, t(all ? "pop.fewer" : "pop.more", { count: data.length - SHOWN_AT_FIRST })) : null,
    path.length ? h("ol", { class: "path", "aria-label": t("pop.way") }, path.map((step) => way(step, pop))) : null,
  ];
}

function value([name, content]) {
  const text = typeof content === "object" ? JSON.stringify(content) : String(content);
  const link = webAddress(text);
  const button = text ? h("button", {
    type: "button", class: "copy", "data-do": "copy", "data-value": text, "data-key": "copy",
    "aria-label": t("pop.copy_value", { value: label(name) }), title: t("pop.copy"),
  }) : null;
  // The button stays on the line of the last word.
  const last = link ? "" : /\S{0,20}$/.exec(text)[0];
  return h(
    "div", { "data-key": `pop-${name}` },
    h("dt", { dir: "auto" }, label(name)),
    h("dd", { dir: "auto" },
      link ? h("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, text)
        : text.slice(0, text.length - last.length),
      h("span", { class: "last" }, last, button)),
  );
}

function way(step, pop) {
  return h(
    "li", {},
    h("span", {}, t(step.mode === "supervised" ? "pop.step_supervised" : "pop.step", {
      name: step.from_name || step.from || t("call.somebody"),
    })),
    step.at ? h("span", { class: "muted" }, " ", t("pop.step_at", { time: clock(step.at) })) : null,
    step.note && step.note !== pop.note
      ? h("p", { class: "muted", dir: "auto" }, `“${step.note}”`) : null,
  );
}

/** "customer_name" is "Customer name". */
function label(name) {
  const text = String(name).replace(/[_-]+/g, " ").trim();
  return text ? text[0].toUpperCase() + text.slice(1) : name;
}
