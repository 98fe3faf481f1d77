"""A small reader of the panel's JavaScript: tokens, brackets, and where a text ends up.

`texts` yields every string and every piece of a template with letters in it that is, or may be,
shown to somebody. What follows decides, from the text outwards:

- Texts that become a child of an element (`h`, `append`, …), a visible attribute (`title`,
  `aria-label`, …), an announcement or a notification are words, whatever they look like. So are the
  values of a constant that is used there.
- Names of elements, attributes, events and keys, selectors, addresses, and what is compared are
  none.
- Anywhere else, a text is taken for words if it looks like them: two words, or a capital letter
  followed by a small one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<name>[A-Za-z_$#][\w$]*)
      | (?P<number>\d[\w.]*)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>\.\.\.|=>|===|!==|==|!=|\?\?=|\|\|=|&&=|\?\?|\?\.|\|\||&&|<=|>=|[-+*%]=|\*\*
          |[-+*%<>=!&|^~?:;,.()\[\]{}/@])""",
    re.VERBOSE | re.DOTALL,
)
_REGEX: Final = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_BEFORE_REGEX: Final = frozenset(
    "( , = : [ ! & | ? { } ; => && || ?? + return typeof case".split()  # noqa: SIM905 - readable
)
_ESCAPE: Final = re.compile(
    r"\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL
)

OPEN: Final = {"(": ")", "[": "]", "{": "}"}
_CLOSE: Final = frozenset(OPEN.values())


@dataclass(slots=True)
class Token:
    kind: str
    """name, number, text, regex, mark, or ``open``/``close`` of a template's ``${…}``."""
    value: str
    line: int
    template: int = -1
    """For a piece of a template: the index of the template's first piece."""
    mate: int = -1
    """For a bracket: the index of the other one."""


class Reading(Exception):
    """The source is none that this reader understands."""


def tokens(source: str) -> list[Token]:
    """Raises `Reading` where the source is not understood."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._found: list[Token] = []
        self._brackets: list[int] = []
        self._templates: list[tuple[int, int]] = []
        """For each open template: how many brackets were open, and its first piece's index."""

    def read(self) -> list[Token]:
        while self._position < len(self._source):
            character = self._source[self._position]
            inside = self._templates and self._templates[-1][0] == len(self._brackets)
            if character == "`":
                self._position += 1
                self._piece(-1)
            elif character == "}" and inside:
                _, first = self._templates.pop()
                self._add("close", "}")
                self._position += 1
                self._piece(first)
            elif not self._regex():
                self._token()
        if self._brackets:
            token = self._found[self._brackets[-1]]
            raise Reading(f"line {token.line}: {token.value} is not closed")
        return self._found

    def _token(self) -> None:
        match = _TOKEN.match(self._source, self._position)
        if match is None:
            around = self._source[self._position : self._position + 20]
            raise Reading(f"cannot read {around!r}")
        if match.lastgroup == "text":
            self._add("text", _plain(match[0][1:-1]))
        elif match.lastgroup != "space":
            self._add(str(match.lastgroup), match[0])
        self._position = match.end()

    def _regex(self) -> bool:
        """Read a regular expression, if that is what the slash begins."""
        if self._source[self._position] != "/":
            return False
        last = self._found[-1] if self._found else None
        if last is not None and (last.kind == "text" or last.value not in _BEFORE_REGEX):
            return False
        match = _REGEX.match(self._source, self._position)
        if match is None or match[0].startswith(("//", "/*")):
            return False
        self._add("regex", match[0])
        self._position = match.end()
        return True

    def _piece(self, first: int) -> None:
        """Read a piece of a template, and what ends it."""
        source, start = self._source, self._position
        end = start
        while source[end] != "`" and not source.startswith("${", end):
            end += 2 if source[end] == "\\" else 1
        self._add("text", _plain(source[start:end]))
        piece = self._found[-1]
        piece.template = first if first >= 0 else len(self._found) - 1
        self._position = end + 1
        if source[end] != "`":
            self._add("open", "${")
            self._templates.append((len(self._brackets), piece.template))
            self._position = end + 2

    def _add(self, kind: str, value: str) -> None:
        token = Token(kind, value, self._source.count("\n", 0, self._position) + 1)
        index = len(self._found)
        self._found.append(token)
        if kind == "open" or (kind == "mark" and value in OPEN):
            self._brackets.append(index)
        elif kind == "close" or (kind == "mark" and value in _CLOSE):
            if not self._brackets:
                raise Reading(f"line {token.line}: nothing is open for {value}")
            token.mate = self._brackets.pop()
            self._found[token.mate].mate = index


def _plain(text: str) -> str:
    def of(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        return chr(int(code, 16)) if code else {"n": "\n", "t": "\t"}.get(found[4], found[4])

    return _ESCAPE.sub(of, text)


# --- where a text ends up ----------------------------------------------------------------------


class Use(Enum):
    WORDS = "shown, whatever it looks like"
    TECHNICAL = "not shown"
    UNKNOWN = "shown, perhaps"


VISIBLE_ATTRIBUTES: Final = frozenset(
    """
    title alt placeholder label aria-label aria-description aria-roledescription aria-
    valuetext aria-placeholder ariaLabel ariaDescription innerText textContent nodeValue data-
    label
    """.split()  # noqa: SIM905 - readable
)
_OUTPUTS: Final = frozenset(
    """
    announce alert confirm prompt append prepend replaceChildren replaceWith createTextNode
    before after Notification
    """.split()  # noqa: SIM905 - readable
)
"""Functions whose arguments people read."""
_TECHNICAL: Final = frozenset(
    """
    getElementById querySelector querySelectorAll closest matches getElementsByClassName
    addEventListener removeEventListener createElement createElementNS getAttribute
    hasAttribute removeAttribute toggleAttribute add remove toggle contains includes
    startsWith endsWith indexOf has get set delete split match matchAll test exec fetch ask
    own import URL WebSocket RegExp encodeURIComponent getItem setItem removeItem remembered
    remember postMessage dispatchEvent Event CustomEvent toLocaleTimeString toLocaleDateString
    toLocaleString DateTimeFormat NumberFormat PluralRules ListFormat RelativeTimeFormat
    Collator localeCompare normalize matchMedia error warn log info debug Error TypeError
    padStart padEnd getPropertyValue setProperty BroadcastChannel requestPermission hears
    partyOf supports t parts selectors
    """.split()  # noqa: SIM905 - readable
)
_COMPARED: Final = frozenset(
    "=== !== == != in instanceof case typeof".split()  # noqa: SIM905 - readable
)
_ASSIGNED: Final = frozenset(
    "= ||= ??= &&= +".split()  # noqa: SIM905 - readable
)

_LETTER: Final = re.compile(r"[^\W\d_]")
_SECOND_WORD: Final = re.compile(r"[^\W\d_].*\s|\s.*[^\W\d_]", re.DOTALL)
_LABEL: Final = re.compile(r"\W*[A-ZÀ-Þ][a-zß-ÿ]")


def looks_like_words(text: str) -> bool:
    return bool(_LETTER.search(text)) and bool(_SECOND_WORD.search(text) or _LABEL.match(text))


@dataclass(slots=True)
class Source:
    """A JavaScript file."""

    name: str
    tokens: list[Token]
    shown: set[str] = field(default_factory=set)
    """Names that are used where people read them."""

    @classmethod
    def of(cls, name: str, source: str) -> Source:
        made = cls(name, tokens(source))
        made.shown = {
            token.value
            for index, token in enumerate(made.tokens)
            if token.kind == "name"
            and not made._is(index + 1, "(")
            and not made._is(index + 1, ":")
            and not any(made._is(index + 1, mark) for mark in (".", "?.", "?", "&&"))
            and not made._is(index - 1, ".")
            and made._use(index) is Use.WORDS
        }
        return made

    def words(self) -> Iterator[tuple[int, str]]:
        """Line and text of everything that is, or looks like, words."""
        for index, token in enumerate(self.tokens):
            if token.kind != "text" or not _LETTER.search(token.value):
                continue
            use = self.use(index)
            if use is Use.WORDS or (use is Use.UNKNOWN and looks_like_words(token.value)):
                yield token.line, token.value

    def use(self, index: int) -> Use:
        found = self._use(index)
        if found is Use.UNKNOWN and self._constant(index) in self.shown:
            return Use.WORDS
        return found

    def calls(self, *names: str) -> Iterator[tuple[int, int]]:
        """The indexes of the brackets of each call of these functions."""
        for index, token in enumerate(self.tokens):
            if token.kind != "name" or token.value not in names or not self._is(index + 1, "("):
                continue
            if not self._is(index - 1, ".") and not self._is(index - 1, "function"):
                yield index + 1, self.tokens[index + 1].mate

    def arguments(self, bracket: int) -> list[range]:
        """The arguments of a call, each as the indexes of its tokens."""
        found, start, index = [], bracket + 1, bracket + 1
        end = self.tokens[bracket].mate
        while index < end:
            token = self.tokens[index]
            if token.mate > index:
                index = token.mate
            elif token.value == "," and token.kind == "mark":
                found.append(range(start, index))
                start = index + 1
            index += 1
        if start < end:
            found.append(range(start, end))
        return found

    # --- from the text outwards ---------------------------------------------------------------

    def _use(self, index: int) -> Use:
        index = self._whole(index)
        if self._compared(index):
            return Use.TECHNICAL
        while True:
            bracket = self._around(index)
            if bracket < 0:
                return self._statement(index, 0)
            token = self.tokens[bracket]
            if token.kind == "open":  # of a template
                index = self.tokens[bracket - 1].template
                continue
            if token.value == "(":
                verdict = self._in_round(index, bracket)
            elif token.value == "[":
                method = self._is(token.mate + 1, ".") and self.tokens[token.mate + 2].value
                if self._ends_a_value(bracket - 1) or method == "includes":
                    verdict = Use.TECHNICAL
                else:
                    verdict = Use.UNKNOWN if method in ("map", "filter", "find") else None
            else:
                verdict = self._in_curly(index, bracket)
            if verdict is not None:
                return verdict
            index = bracket

    def _whole(self, index: int) -> int:
        template = self.tokens[index].template
        return template if template >= 0 else index

    def _compared(self, index: int) -> bool:
        token = self.tokens[index]
        end = index
        if token.template >= 0:
            later = [i for i, other in enumerate(self.tokens) if other.template == token.template]
            end = later[-1]
        around = [self.tokens[i].value for i in (index - 1, end + 1) if 0 <= i < len(self.tokens)]
        kinds = [self.tokens[i].kind for i in (index - 1, end + 1) if 0 <= i < len(self.tokens)]
        return any(
            value in _COMPARED and kind in ("mark", "name")
            for value, kind in zip(around, kinds, strict=True)
        ) or (self._is(index - 1, "from") or self._is(index - 1, "import"))

    def _around(self, index: int) -> int:
        """The innermost bracket that is open at ``index``; -1: none."""
        index -= 1
        while index >= 0:
            token = self.tokens[index]
            if 0 <= token.mate < index:
                index = token.mate
            elif token.mate > index:
                return index
            index -= 1
        return -1

    def _in_round(self, index: int, bracket: int) -> Use | None:
        if not self._ends_a_value(bracket - 1):
            return None  # only grouped
        callee = self.tokens[bracket - 1].value
        if callee in ("if", "while", "for", "switch", "return", "await"):
            return None if callee in ("return", "await") else Use.UNKNOWN
        position = next((n for n, part in enumerate(self.arguments(bracket)) if index in part), 0)
        if callee == "h":
            return (Use.TECHNICAL, Use.UNKNOWN)[position] if position < 2 else Use.WORDS
        if callee == "setAttribute":
            first = self.tokens[bracket + 1].value
            visible = first in VISIBLE_ATTRIBUTES and position == 1
            return Use.WORDS if visible else Use.TECHNICAL
        if callee in _OUTPUTS:
            return Use.WORDS
        if callee in _TECHNICAL:
            return Use.TECHNICAL
        return Use.UNKNOWN

    def _in_curly(self, index: int, bracket: int) -> Use | None:
        """In the braces of an object: by the property. Of a block: by the statement."""
        if self._is_block(bracket):
            return self._statement(index, bracket + 1)
        start = self._last(index, bracket, ",") + 1
        key = self.tokens[start].value
        if start == index and self._is(index + 1, ":"):
            return Use.TECHNICAL  # the property's name
        if key in VISIBLE_ATTRIBUTES:
            return Use.WORDS
        outer = self._around(bracket)
        if outer > 0 and self.tokens[outer].value == "(":
            callee = self.tokens[outer - 1].value
            if callee == "h":
                return Use.TECHNICAL
            if callee in ("t", "parts", "Notification"):
                return Use.WORDS
            if callee in _TECHNICAL:
                return Use.TECHNICAL
        return None

    def _is_block(self, bracket: int) -> bool:
        before = self.tokens[bracket - 1] if bracket else None
        if before is None or before.value in (")", "=>", "else", "try", "finally", "do", ";", "}"):
            return True
        return before.kind == "name" and before.value not in ("return", "default", "of", "in")

    def _statement(self, index: int, start: int) -> Use:
        """By what the statement does with the value: where it assigns it to."""
        begin = max(self._last(index, start - 1, mark) for mark in (";", "}", "{")) + 1
        first = self.tokens[begin].value if begin < len(self.tokens) else ""
        if first in ("import", "export") and any(self._is(i, "from") for i in range(begin, index)):
            return Use.TECHNICAL
        for i in range(index - 1, begin, -1):
            if self.tokens[i].value in _ASSIGNED and self.tokens[i].kind == "mark":
                target = self.tokens[i - 1].value
                if self._is(i - 2, ".") and target in VISIBLE_ATTRIBUTES:
                    return Use.WORDS
                if self._is(i - 2, ".") and target in ("className", "id", "href", "src", "type"):
                    return Use.TECHNICAL
        return Use.UNKNOWN

    def _constant(self, index: int) -> str:
        """The name of the constant in whose value a text is, outside functions."""
        while True:
            bracket = self._around(index)
            if bracket >= 0 and (
                (self.tokens[bracket].value == "(" and self._ends_a_value(bracket - 1))
                or (self.tokens[bracket].value == "{" and self._is_block(bracket))
            ):
                start = bracket + 1
            elif bracket >= 0:
                index = bracket
                continue
            else:
                start = 0
            for i in range(index - 1, start, -1):
                if self._is(i, ";"):
                    return ""
                if self._is(i, "=") and self.tokens[i - 1].kind == "name":
                    return self.tokens[i - 1].value
            return ""

    def _last(self, index: int, bracket: int, mark: str) -> int:
        """The last such mark before ``index`` on the same level; the bracket, if there is none."""
        index -= 1
        while index > bracket:
            token = self.tokens[index]
            if token.value == mark and token.kind == "mark":
                return index
            if 0 <= token.mate < index:
                index = token.mate
            index -= 1
        return bracket

    def _is(self, index: int, value: str) -> bool:
        if not 0 <= index < len(self.tokens):
            return False
        token = self.tokens[index]
        return token.value == value and token.kind in ("mark", "name")

    def _ends_a_value(self, index: int) -> bool:
        if index < 0:
            return False
        token = self.tokens[index]
        if token.kind == "name":
            return token.value not in ("return", "of", "in", "typeof", "case", "await", "new")
        return token.kind == "mark" and token.value in (")", "]")
