// Find targets by what is typed: pure functions, which know nothing of page or server.

/** Letters that Unicode does not decompose, and what people type for them. */
const LETTERS = new Map([
  ["ß", "ss"], ["æ", "ae"], ["œ", "oe"], ["ø", "o"], ["đ", "d"], ["ð", "d"], ["ł", "l"], ["þ", "th"],
  ["ı", "i"],
]);

/** Lower case without accents: "Jürgen Ødegård" is "jurgen odegard". */
export const fold = (text) => String(text).toLowerCase().normalize("NFKD").replace(/\p{M}+/gu, "")
  .replace(/[ßæœøđðłþı]/g, (letter) => LETTERS.get(letter));

/**
 * Whether this may be a telephone number, which the server has then to judge. A paste may bring along
 * characters that nobody sees, such as marks of the writing direction.
 */
export const mayBeNumber = (text) =>
  /^(tel:)?[+＋\p{Ps}\p{Nd}][\s\p{P}\p{Nd}]*$/u.test(text.replace(/[\p{Cf}\p{DI}]/gu, "").trim())
  && text.replace(/\P{Nd}/gu, "").length > 2;

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** One entry of a list: what is searched is folded once, not at each key. */
function entry(kind, list, { id, name }, groups) {
  const folded = fold(name);
  return {
    key: `${kind}:${id}`, kind, id, name, list, groups,
    folded, foldedId: fold(id), words: folded.split(/[\s,.()/-]+/).filter(Boolean),
    about: groups.map((group) => fold(`${group.name} ${group.id}`)).join(" "),
  };
}

/**
 * The entries of an answer of `GET /v1/agents/{id}/targets`, each agent once, ordered by list and
 * name. `list` is the name of their list in that answer.
 */
export function entriesOf(targets) {
  const [lists, groups] = [[], new Map()];
  for (const group of [...targets.my_agent_groups, ...targets.agent_groups]) groups.set(group.id, group);
  const agents = new Map();
  for (const group of targets.my_agent_groups) {
    for (const agent of group.agents) {
      const known = agents.get(agent.id);
      if (known) known.groups.push(group);
      else agents.set(agent.id, { agent, groups: [group] });
    }
  }
  lists.push([...agents.values()].map(({ agent, groups: own }) =>
    ({ ...entry("agent", "my_agent_groups", agent, own), listed: agent })));
  lists.push(targets.agent_groups.map((group) => entry("group", "agent_groups", group, [])));
  lists.push(targets.external_presets.map((preset) => entry(
    "preset", "external_presets", preset,
    preset.group ? [groups.get(preset.group) || { id: preset.group, name: preset.group }] : [],
  )));
  return lists.flatMap((list) => list.sort((a, b) => collator.compare(a.name, b.name)
    || collator.compare(a.id, b.id)));
}

const WORST = 6;

/** How well an entry fits: 0 (its very name) to 5 (its group or state); `WORST`: not at all. */
function fit(one, text, words, state) {
  if (one.folded === text || one.foldedId === text) return 0;
  if (one.folded.startsWith(text)) return 1;
  if (words.every((word) => one.words.some((part) => part.startsWith(word)))) return 2;
  if (one.foldedId.startsWith(text)) return 3;
  const named = (word) => one.folded.includes(word) || one.foldedId.includes(word);
  if (words.every(named)) return 4;
  const about = (word) => named(word) || one.about.includes(word) || state.includes(word);
  return words.every(about) ? 5 : WORST;
}

/**
 * The entries that fit what is typed, best first: by fit, then by `rank(entry)` (small integers,
 * the best is 0), then in the order of `entries`. Nothing typed: all of them by rank.
 * `stateOf(entry)` is the entry's state in words.
 */
export function find(entries, typed, rank, stateOf) {
  const text = fold(typed).trim();
  const words = text.split(/\s+/).filter(Boolean);
  const states = new Map(); // the same few states for thousands of entries
  const folded = (state) => {
    if (!states.has(state)) states.set(state, fold(state));
    return states.get(state);
  };
  const found = [];
  for (const one of entries) {
    const how = words.length ? fit(one, text, words, folded(stateOf(one))) : 0;
    if (how === WORST) continue;
    ((found[how] ||= [])[rank(one)] ||= []).push(one);
  }
  return found.flat(2).filter(Boolean);
}
