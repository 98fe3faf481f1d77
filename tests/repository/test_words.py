"""Every word of the panel and of the API's messages is in the catalogues, in every language."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

import asterisk_avp
from asterisk_avp.api import languages
from tests.repository.javascript import Source

PACKAGE: Final = Path(asterisk_avp.__file__).parent
STATIC: Final = PACKAGE / "api" / "static"
ENGLISH: Final = languages.catalogues()["en"]

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_FORMS: Final = ("one", "other")
_KEY: Final = re.compile(r"[a-z_]+(?:\.[a-z0-9_]+)+")
_MADE: Final = "\0"
"""Where a template has a value."""

NAMES_OF_OTHERS: Final = frozenset(
    {"Asterisk", "X-AVP-Panel", "Content-Type", "use strict", "Alt+Shift+"}
)
"""Texts that look like words and are names, the same in every language."""


def sources() -> list[Source]:
    return [Source.of(file.name, file.read_text()) for file in sorted(STATIC.rglob("*.js"))]


def catalogue(language: str) -> dict[str, str]:
    """What the file has, without English for the rest."""
    found: dict[str, str] = json.loads((STATIC / "languages" / f"{language}.json").read_text())
    return found


def others() -> list[str]:
    return [language for language in languages.catalogues() if language != "en"]


# --- words outside --------------------------------------------------------------------------------


def faults_in_javascript(source: Source) -> list[str]:
    return [
        f"{source.name}:{line}: {text!r}"
        for line, text in source.words()
        if text.strip() not in NAMES_OF_OTHERS
    ]


def test_the_pages_javascript_has_no_words_of_its_own() -> None:
    assert [fault for source in sources() for fault in faults_in_javascript(source)] == []


PLANTED: Final = (
    'h("p", {}, "Hang up");',
    'h("p", {}, "hang");',
    "h('p', {}, 'hang');",
    'h("p", {}, live ? "on" : null);',
    'h("p", {}, live && "on");',
    'h("p", {}, ["on"]);',
    'h("p", {}, [h("b", {}, "on"), " · "]);',
    'h("p", {}, `until ${time}`);',
    'h("p", {}, `${time} left`);',
    'h("p", {}, `${live ? "on" : ""} · ${time}`);',
    'h("p", {}, rows.map((row) => h("li", {}, "on")));',
    'h("p", { title: "on" });',
    'h("p", { "aria-label": live ? t("a.b") : "on" });',
    'h("input", { placeholder: `${example}e.g.` });',
    'h("img", { src: "/x.svg", alt: "logo" });',
    'const SOUNDS = { music: "music" };\nh("p", {}, SOUNDS[sound]);',
    'let what = "on";\nh("p", {}, what);',
    'h("p", {}, (/"/.test(text) ? "on" : null));',
    'element.setAttribute("aria-label", "on");',
    'element.setAttribute("title", on ? "on" : "off");',
    'element.textContent = "on";',
    "document.title = `${name} · panel`;",
    'announce("gone");',
    "announce(`${name} gone`);",
    'new Notification(t("a.b"), { body: "gone" });',
    'element.append("on", h("b"));',
    'state.error = "Please give your extension.";',
    'Object.assign(state, { notice: "You are signed out." });',
    'const said = "Transfer to " + name;',
    'return names.join(" and ");',
    'button("complete", "Leave them together");',
    'return "Éteint";',
    't("a.b", { what: "hangs up" });',
    't("a.b", { what: live ? "on" : "off" });',
    'h("p", {}, "\\u0041\\x42c");',
)

INNOCENT: Final = (
    'import { h } from "./dom.js";',
    '"use strict";',
    'h("section", { class: live ? "card running" : "card", id: "x", "data-key": `a-${id}` });',
    'h("p", {}, t("a.b", { count, name }), " · ", "↗", `${time}`, clock(now));',
    'h("p", { role: "status" }, state === "live" ? t("a.b") : t(`states.${state}`));',
    'h("a", { href: link, rel: "noopener noreferrer" });',
    'document.querySelector("details[open] summary").focus();',
    'switch (event.key) { case "Escape": break; default: }',
    'if (["ringing", "Talking now"].includes(state)) draw();',
    'if (event.key === "Enter" || "Escape" === event.key) draw();',
    'fetch("/v1/x y", { headers: { "Content-Type": "application/json" } });',
    'const found = /^[A-Z] "x\\/` y$/.exec(text); // "Some words" in a comment',
    '/* "Some words" */ const half = a / b / c;',
    'localStorage.setItem("avp.theme", "dark");',
    'element.className = "pill warm";',
    'throw new Error("Some words for programmers");',
    "console.error(`The catalogue has no ${key}`);",
    'h("p", {}, pill("acw", live), MODES["warm"]);',
    't(live ? "a.on" : "a.off");',
    'parts("a.b", { time: h("time", { class: "timer strong" }) });',
    'h("p", {}, `${a}${b ? `${c}` : ""}`);',
)


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_word_is_found(planted: str) -> None:
    around = f'import {{ h }} from "./dom.js";\nfunction view() {{\n{planted}\n}}\n'
    assert len(list(Source.of("planted.js", planted).words())) >= 1
    assert len(list(Source.of("planted.js", around).words())) >= 1


@pytest.mark.parametrize("innocent", INNOCENT)
def test_what_is_no_word_is_not_reported(innocent: str) -> None:
    assert faults_in_javascript(Source.of("innocent.js", innocent)) == []


ARIA: Final = frozenset(
    ("aria-label", "aria-description", "aria-roledescription", "aria-valuetext")
)


class _Html(HTMLParser):
    """The words of an HTML file."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._quiet = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet = tag
        named = dict(attrs).get("name")
        for name, value in attrs:
            visible = name in ("title", "alt", "placeholder", "label") or name in ARIA
            described = name == "content" and named in ("description", "application-name")
            if (visible or described) and value:
                self._words(value)

    def handle_data(self, data: str) -> None:
        if self._quiet not in ("script", "style"):
            self._words(data)

    def _words(self, text: str) -> None:
        rest = re.sub(r"\{\{[\w.]+\}\}", "", text)
        if re.search(r"[^\W\d_]", rest):
            self.words.append(rest.strip())


def words_of_html(text: str) -> list[str]:
    reader = _Html()
    reader.feed(text)
    return reader.words


def test_the_pages_html_has_no_words_of_its_own() -> None:
    pages = sorted(STATIC.rglob("*.html"))
    assert pages
    assert {page.name: words_of_html(page.read_text()) for page in pages} == {
        page.name: [] for page in pages
    }


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ("<title>Panel</title>", "Panel"),
        ('<p>{{a.b}} <b title="hint">{{a.c}}</b></p>', "hint"),
        ('<img alt="logo">', "logo"),
        ("<noscript><p>No script</p></noscript>", "No script"),
        ('<button aria-label="close">+</button>', "close"),
    ],
)
def test_a_planted_word_in_html_is_found(planted: str, word: str) -> None:
    assert words_of_html(planted) == [word]


# --- keys -----------------------------------------------------------------------------------------


def templates(source: Source) -> Iterator[str]:
    """Every text of a source; a template's values are `_MADE`."""
    seen: set[int] = set()
    for index, token in enumerate(source.tokens):
        if token.kind != "text":
            continue
        if token.template < 0:
            yield token.value
        elif token.template not in seen:
            seen.add(token.template)
            pieces = [x.value for x in source.tokens[index:] if x.template == token.template]
            yield _MADE.join(pieces)


def texts_of_python() -> Iterator[str]:
    for file in (*PACKAGE.glob("api/*.py"), *PACKAGE.glob("core/**/*.py")):
        tree = ast.parse(file.read_text())
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in node.values
        }  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else _MADE
                    for part in node.values
                )
            elif (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in inner
            ):
                yield node.value


def base(key: str) -> str:
    """The key that the program gives: without the form of its plural."""
    stem, _, form = key.rpartition(".")
    return stem if form in _FORMS and f"{stem}.other" in ENGLISH else key


def used_in(texts: set[str], key: str) -> bool:
    if key in texts:
        return True
    return any(
        re.fullmatch(".+".join(map(re.escape, text.split(_MADE))), key)
        for text in texts
        if _MADE in text and _KEY.fullmatch(text.replace(_MADE, "x"))
    )


def test_every_key_is_used() -> None:
    texts = {text for source in sources() for text in templates(source)}
    for page in STATIC.rglob("*.html"):
        texts |= set(re.findall(r"\{\{([\w.]+)\}\}", page.read_text()))
    python = set(texts_of_python())
    # What an error names by its last part (`WrongState`), and the core's own sentences.
    texts |= {text for text in python if _KEY.fullmatch(text)}
    texts |= {f"errors.{text}" for text in python} | set(languages.of_the_core())
    assert [key for key in catalogue("en") if not used_in(texts, base(key))] == []


def keys_of(source: Source) -> Iterator[tuple[int, str]]:
    """Line and text of each key that a source names, whole."""
    areas = {key.partition(".")[0] for key in ENGLISH}
    for token in source.tokens:
        if token.kind != "text" or token.template >= 0 or not _KEY.fullmatch(token.value):
            continue
        area = any(key.startswith(f"{token.value}.") for key in ENGLISH)
        if token.value.partition(".")[0] in areas and not area:
            yield token.line, token.value
    for bracket, _ in source.calls("t", "parts"):
        first = source.arguments(bracket)[:1]
        if first and len(first[0]) == 1 and source.tokens[first[0][0]].template < 0:
            token = source.tokens[first[0][0]]
            if token.kind == "text":
                yield token.line, token.value


def missing_keys(source: Source) -> set[str]:
    return {
        f"{source.name}:{line}: {key}"
        for line, key in keys_of(source)
        if key not in ENGLISH and f"{key}.other" not in ENGLISH
    }


def test_every_key_that_the_page_names_has_words() -> None:
    assert set().union(*map(missing_keys, sources())) == set()
    planted = Source.of("planted.js", 't("nothing.like.it"); parts(x ? "page.nothing" : "");')
    assert missing_keys(planted) == {
        "planted.js:1: nothing.like.it",
        "planted.js:1: page.nothing",
    }


def values_of(source: Source, argument: range) -> set[str] | None:
    """The names of the values in a call of `t`; None: not written there."""
    first = source.tokens[argument[0]]
    if first.value != "{" or first.mate != argument[-1]:
        return None
    found = set()
    for part in source.arguments(argument[0]):
        if source.tokens[part[0]].value == "...":
            return None
        found.add(source.tokens[part[0]].value)
    return found


def wrong_values(source: Source) -> Iterator[str]:
    for bracket, _ in source.calls("t", "parts"):
        key, *more = source.arguments(bracket) or [range(0)]
        token = source.tokens[key[0]] if len(key) == 1 else None
        if token is None or token.kind != "text" or token.template >= 0:
            continue
        text = ENGLISH.get(token.value) or ENGLISH.get(f"{token.value}.other", "")
        values = values_of(source, more[0]) if more else set()
        wanted = set(_PLACEHOLDER.findall(text))
        if values is not None and values - {"count"} != wanted - {"count"}:
            yield f"{source.name}:{token.line}: {token.value} has {wanted}, and gets {values}"


def test_every_text_gets_its_values() -> None:
    assert [fault for source in sources() for fault in wrong_values(source)] == []
    planted = 't("errors.too_large"); t("errors.too_large", { bytes }); t("page.title", { x: 1 });'
    assert len(list(wrong_values(Source.of("planted.js", planted)))) == 2


# --- languages ------------------------------------------------------------------------------------


def faults_of_translation(english: dict[str, str], other: dict[str, str]) -> Iterator[str]:
    """What another language lacks, has too much, or has otherwise."""
    yield from (f"lacks {key}" for key in english if key not in other)
    yield from (f"has {key}, which English has not" for key in other if key not in english)
    for key in english.keys() & other.keys():
        wanted, found = (set(_PLACEHOLDER.findall(text)) for text in (english[key], other[key]))
        if key.endswith(".one"):  # "nobody but you"
            wanted, found = wanted - {"count"}, found - {"count"}
        if wanted != found:
            yield f"{key}: has {sorted(found)} instead of {sorted(wanted)}"
        if english[key][:1].isspace() != other[key][:1].isspace():
            yield f"{key}: begins otherwise"


@pytest.mark.parametrize("language", others())
def test_every_language_is_complete(language: str) -> None:
    english = languages.of_the_core() | catalogue("en")
    assert sorted(faults_of_translation(english, catalogue(language))) == []


def test_a_fault_of_a_translation_is_found() -> None:
    english = {"a.b": "{who} waits", "a.c": "x", "a.d.one": "{count} free", "a.e": "y"}
    other = {"a.b": "{wer} wartet", "a.d.one": "einer", "a.e": "z", "a.f": "zu viel"}
    assert sorted(faults_of_translation(english, other)) == [
        "a.b: has ['wer'] instead of ['who']",
        "has a.f, which English has not",
        "lacks a.c",
    ]


@pytest.mark.parametrize("language", languages.catalogues())
def test_both_forms_of_a_plural(language: str) -> None:
    keys = set(languages.catalogues()[language])
    stems = {key.rpartition(".")[0] for key in keys if key.endswith(".other")}
    assert {f"{stem}.{form}" for stem in stems for form in _FORMS} - keys == set()
