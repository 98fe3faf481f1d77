// The words of the page: `t("area.name", {values})` is a text of the catalogue
// (languages/<language>.json). The server chose the language (<html lang>), and fills what a
// catalogue lacks with English. Values become text, and never markup.

export const language = document.documentElement.lang || "en";

/** For Intl: the browser's own locale if it is of that language, for its regional formats. */
export const locale = (navigator.languages || [])
  .find((name) => name.toLowerCase().split("-")[0] === language) || language;

const RETRY_MS = 1000;

async function load() {
  for (;;) {
    try {
      // The same request as the preload of index.html, so that it is made once and at once.
      const answer = await fetch(new URL(`languages/${language}.json`, import.meta.url));
      if (answer.ok) return new Map(Object.entries(await answer.json()));
    } catch {
      // Not reached: again, since there is nothing that the page could say.
    }
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  }
}

const words = await load();
const plural = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(locale);
const lists = new Intl.ListFormat(locale, { type: "conjunction" });

// A name that is written from right to left must not turn the sentence around it: it is isolated
// (Unicode's U+2068 and U+2069), so that sentences need no `dir` of their own.
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);
const shown = (value) => (typeof value === "number" ? numbers.format(value) : isolated(String(value)));

function text(key, values) {
  if (values && typeof values.count === "number") {
    const counted = words.get(`${key}.${plural.select(values.count)}`) ?? words.get(`${key}.other`);
    if (counted !== undefined) return counted;
  }
  const found = words.get(key);
  if (found === undefined) console.error(`The catalogue has no ${key}`);
  return found ?? key;
}

/** Whether the catalogue has this key, for keys made of what the server says. */
export const has = (key) => words.has(key);

/**
 * The text of that key with its values. A `count` chooses between `key.one` and `key.other` (the
 * forms of Intl.PluralRules).
 */
export const t = (key, values) => parts(key, values).join("");

/**
 * The same as an array of texts and nodes: for values that are elements, e.g. a running clock
 * inside a sentence. Give it to `h` as children.
 */
export function parts(key, values) {
  return text(key, values).split(/\{(\w+)\}/).map((part, index) => {
    if (index % 2 === 0) return part;
    const value = values ? values[part] : undefined;
    return value instanceof Node ? value : shown(value ?? "");
  });
}

/** "Bob and Joan", "Bob, Carol and Joan". */
export const list = (names) => lists.format(names.map((name) => isolated(String(name))));
