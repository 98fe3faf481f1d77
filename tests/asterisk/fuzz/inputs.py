"""The inputs: requests whose every part may hold a piece of dialplan, of AMI, or invalid text.

An input is derived from a seed and its number alone, so that it can be made again, and is minimised
by leaving out parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

AGENT, TRUNK, STRANGER, NODE = "agent", "trunk", "stranger", "node"
"""``node``: another node of the call centre (see `trunk`)."""
SECRET: Final = "FUZZ_SECRET"
"""A global variable of Asterisk: an evaluated input writes its value somewhere."""
HIT: Final = "FUZZ_HIT"
"""A global variable that is set only if part of an input is evaluated."""
PRODUCT: Final = (7919, 7907)
"""Factors of a product that no input contains and an expression computes."""

OUTSIDE_A_CALL: Final = (
    *("INVITE",) * 12,
    *("MESSAGE", "MESSAGE", "REFER", "SUBSCRIBE", "OPTIONS", "INFO", "NOTIFY", "PUBLISH", "UPDATE"),
)
IN_A_CALL: Final = ("INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "MESSAGE", "OPTIONS")
REDIRECTIONS: Final = (300, 301, 302, 302, 302, 303, 305, 380, 399)

PLACES: Final = (
    *("user", "to", "from", "display", "identity", "identity-display", "party", "party-display"),
    *("diversion", "diversion-display", "refer-to", "contact", "name", "note", "referred-by"),
)
"""Parts of a request. Each has a default if an input does not name it. ``name`` and ``note`` are
the name and the value of an X- header."""

_IDS: Final = (
    *("1001", "1002", "1003", "1004", "800", "801", "803", "91", "0", "911", "112", "999"),
    *("+12025550100", "+12025550101", "+447700900123", "+442079460000", "+19005550100"),
    *("12025550100", "(202) 555-0100", "00442079460000", "*8", "*7", "#", "s", "h", "i", "t", "T"),
    *("fax", "pstn", "sales", "avp-agent-1001", "caller1"),
)
_META: Final = (
    *("${", "$[", "}", "]", ")", "(", ":", ",", "&", "|", '"', "'", "\\", "^", "@", "/", ";", "?"),
    *("=", "<", ">", "\r\n", "\n", "\r", "\0", "\t", " ", "%", "%0D%0A", "%00", "!", "#", "*", "~"),
    *("\r\n\r\n", "\x7f", "\x1b[2J", "${EXTEN", "$[1", "):", ")}", "]?", ",1)", "\\,", "``", "`"),
)
_WIDE: Final = (
    *("é", "€", "😀", "\u202e", "\u0000", "\ufeff", "\uff11\uff10\uff10\uff12", "\u0661", "\u2028"),
    *("\u0085", "\uff08", "\uff09", "\uff04{", "a\u0301" * 3, "\U0010ffff"),
)
_BYTES: Final = (
    *(b"\xff", b"\xfe\xff", b"\xc0\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b"\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3(", b"\xc2\x0d\x0a"),
)
_STEMS: Final = (
    *("1002):System({run}", "1002)}):System({run}", '" & "):System({run}', '"):System({run}'),
    *('"]?System({run}):Set(', "1]?System({run}", "0:System({run})", "1002,30,G(h)):System({run}"),
    *('") & $["1" = "1"]?System({run}', '" = "" | "${SHELL({run})}" = "', "`{run}`"),
    *("${SHELL({run})}", "1002${SHELL({run})}", '"${SHELL({run})}"', "${EVAL(${{secret}})}"),
    *("${SET(GLOBAL({hit})=1)}", "1${SET(GLOBAL({hit})=1)}", ")${SET(GLOBAL({hit})=1)}("),
    *('" & "${SET(GLOBAL({hit})=1)}', "1002):Set(GLOBAL({hit})=1", '"]?Set(GLOBAL({hit})=1):NoOp('),
    *("${{secret}}", "1${{secret}}", "${GLOBAL({secret})}", "$[{a}*{b}]", "1$[{a}*{b}]"),
    *("${FILE(/etc/passwd,0,20)}", "${FILE({file},,,,x)}", "${STRREPLACE({secret},a,b)}"),
    *("${EXTEN:{a}*{b}}", "${MATH({a}*{b},i)}", "${IF($[1]?${{secret}}:0)}"),
    *("1002&Local/911@avp-external", "Local/+447700900123@avp-external", "PJSIP/pstn"),
    *("Local/911@avp-external/n", "PJSIP/pstn/sip:x@127.0.0.1:9", "1002&PJSIP/pstn", "PJSIP/1002"),
    *("1002@avp-external", "911@avp-external", "s@avp-check", "1001,1):Goto(avp-external,911,1"),
    *("1002,60,U(avp-check)", "1002^911", "1002,,x(System({run}))", "avp-external,911,1"),
    *("1002\0):System({run}", "1002\r\nX-A: 1", "1002\n):System({run}", "Application: System"),
    *("sip:911@127.0.0.1", "tel:+447700900123", "1002;phone-context=911", "1002?Replaces=a"),
    *("<?xml version='1.0'?>", "../../../../etc/passwd", "' OR 1=1 --", "%s%n%x", "{7*7}"),
)
_EVENTS: Final = (
    "Event: QueueMember\r\nQueue: sales\r\nInterface: PJSIP/1003",
    "Event: QueueMemberAdded\r\nQueue: support\r\nInterface: PJSIP/1001",
    "Event: QueueMemberRemoved\r\nQueue: sales\r\nInterface: PJSIP/1002",
    "Event: QueueMemberPause\r\nQueue: sales\r\nInterface: PJSIP/1002\r\nPaused: 1",
    "Event: Shutdown",
    "Event: FullyBooted",
    "Event: Hangup\r\nUniqueid: {victim}",
    "Event: UserEvent\r\nUserEvent: AVPFeature\r\nUniqueid: {victim}",
    "Event: BridgeLeave\r\nUniqueid: {victim}\r\nBridgeUniqueid: x",
    "Event: Hold\r\nUniqueid: {victim}",
    "Event: Rename\r\nUniqueid: {victim}\r\nNewname: PJSIP/1001-1",
    "Event: AgentConnect\r\nQueue: sales\r\nInterface: PJSIP/1001\r\nUniqueid: {victim}",
    "Event: QueueCallerJoin\r\nQueue: avp-agent-1001\r\nUniqueid: {victim}",
    "Response: Goodbye\r\nActionID: 1",
)
_LENGTHS: Final = (
    40,
    78,
    79,
    80,
    81,
    127,
    128,
    254,
    255,
    256,
    257,
    511,
    1023,
    1024,
    4095,
    4096,
    5000,
)


_DIALLED: Final = {
    AGENT: ("1002", "1003"),
    NODE: ("agent-1001", "agent-1002", "group-sales", "agent-1003", "group-support"),
}


@dataclass(frozen=True)
class Input:
    """One input. ``kind``: request (outside a call), in-call, moved (a phone answers with 3xx),
    external (the call is then transferred to a number outside, which shows the caller's), or flood
    (many at once, whose answers nobody awaits)."""

    number: int
    kind: str
    sender: str
    method: str
    parts: tuple[tuple[str, bytes], ...]
    raw: bool = False
    """Bytes above 127 are sent unchanged where they need not be escaped."""

    def get(self, place: str, default: str = "") -> bytes:
        return next((value for name, value in self.parts if name == place), default.encode())

    @property
    def dialled(self) -> bytes:
        """The user part of the request URI: an existing number if the input has none."""
        usual = _DIALLED.get(self.sender, ("800", "803", "1001", "1002"))
        return self.get("user", usual[self.number % len(usual)])

    def has(self, place: str) -> bool:
        return any(name == place for name, _ in self.parts)

    def smaller(self) -> Iterator[Input]:
        """Smaller inputs: first without one part, then with half of one, then with less."""
        for part in self.parts:
            if len(self.parts) > 1:
                yield replace(self, parts=tuple(p for p in self.parts if p != part))
        for index, (name, value) in enumerate(self.parts):
            size = len(value) // 2
            while size:
                for at in range(0, len(value), size):
                    less = value[:at] + value[at + size :]
                    if less != value:
                        parts = (*self.parts[:index], (name, less), *self.parts[index + 1 :])
                        yield replace(self, parts=parts)
                size //= 2

    def __str__(self) -> str:
        parts = " ".join(f"{name}={value!r}" for name, value in self.parts)
        raw = " raw" if self.raw else ""
        return f"input {self.number}: {self.kind} {self.sender} {self.method}{raw} {parts}"


@dataclass(frozen=True)
class Words:
    """What inputs know of the call centre that they attack."""

    run: str
    """A command with a visible effect."""
    file: str
    victim: str
    """The unique id of a channel in a call that nobody may disturb."""

    def fill(self, text: str) -> str:
        a, b = map(str, PRODUCT)
        known = {"run": self.run, "file": self.file, "victim": self.victim, "a": a, "b": b}
        for name, what in (known | {"secret": SECRET, "hit": HIT}).items():
            text = text.replace(f"{{{name}}}", what)
        return text


def make(seed: int, number: int, words: Words) -> Input:
    """The input with this number."""
    rng = Random(f"{seed}/{number}")
    kind = rng.choices(("request", "in-call", "moved", "external"), (84, 6, 7, 3))[0]
    sender = rng.choices((AGENT, TRUNK, STRANGER), (5, 4, 1))[0]
    method = rng.choice(OUTSIDE_A_CALL)
    places = list(rng.sample(PLACES, rng.choice((1, 1, 1, 2, 2, 3))))
    if kind == "request":
        often = 0.7 if sender == AGENT else 0.25
        if method in ("INVITE", "MESSAGE") and rng.random() < often and "user" not in places:
            places.append("user")
        if method == "REFER" and "refer-to" not in places:
            places.append("refer-to")
        if method == "INVITE" and rng.random() < 0.06:
            places.append("replaces")
    elif kind == "in-call":
        sender, method = rng.choice((AGENT, TRUNK)), rng.choice(IN_A_CALL)
        places = [place for place in places if place not in ("user", "to", "from")] or ["identity"]
        if method == "REFER":
            places.append("refer-to")
            if rng.random() < 0.4:  # an attended transfer, to somebody else's call
                places.append("replaces")
    elif kind == "moved":
        sender, method = AGENT, str(rng.choice(REDIRECTIONS))
        places = ["contact"]
    else:
        sender, method, places = TRUNK, "INVITE", ["from"]
        places += rng.sample(("display", "identity", "identity-display", "note"), 1)
    parts = {}
    for place in places:
        made = value(rng, words)
        if place in ("name", "replaces"):
            made = made[:60]
        parts[place] = made
    return Input(number, kind, sender, method, tuple(parts.items()), raw=rng.random() < 0.2)


def value(rng: Random, words: Words) -> bytes:
    match rng.choices(("stem", "mixed", "mutated", "long", "bytes", "event"), (6, 4, 3, 1, 2, 3))[
        0
    ]:
        case "stem":
            return words.fill(rng.choice(_STEMS)).encode()
        case "mixed":
            return b"".join(_fragment(rng, words) for _ in range(rng.randint(1, 5)))
        case "mutated":
            return _mutated(rng, rng.choice(_IDS).encode())
        case "long":
            size = rng.choice(_LENGTHS)
            text = _fragment(rng, words) or b"1"
            if rng.random() < 0.5:
                text = rng.choice((b"1", b"9", b"a", b"\xc3\xa9"))
            head = rng.choice((b"", b"+1", b"1002", _fragment(rng, words)))
            tail = rng.choice((b"", _fragment(rng, words)))
            return (head + (text * size)[: max(0, size - len(head) - len(tail))] + tail)[:5200]
        case "bytes":
            some = bytes(rng.randrange(256) for _ in range(rng.randint(1, 12)))
            return rng.choice(_IDS).encode() + rng.choice((some, rng.choice(_BYTES)))
        case _:
            return _event(rng, words)


def _event(rng: Random, words: Words) -> bytes:
    """An AMI message after the end of the one that contains it, or headers in that one."""
    body = words.fill(rng.choice(_EVENTS))
    end = rng.choice(("\r\n", "\r\n", "\r\n", "\n", "\r"))
    head = rng.choice(("1", "", "1002", "800"))
    text = rng.choice(
        (
            f"{head}\r\n\r\n{body}\r\n\r\n",
            f"{head}\r\n\r\n{body}\r\nX: ",
            f"{head}\r\n{body.partition(chr(13))[2].strip()}\r\nX: ",
            f"{head}\r\n\r\n{body}",
        )
    )
    return text.replace("\r\n", end).encode()


def _fragment(rng: Random, words: Words) -> bytes:
    match rng.randrange(6):
        case 0 | 1:
            return rng.choice(_META).encode()
        case 2:
            return rng.choice(_IDS).encode()
        case 3:
            return words.fill(rng.choice(_STEMS)).encode()
        case 4:
            return rng.choice(_WIDE).encode()
        case _:
            return rng.choice(_BYTES)


def _mutated(rng: Random, text: bytes) -> bytes:
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, len(text))
        piece = rng.choice((rng.choice(_META).encode(), rng.choice(_BYTES), text[:at], b"", b"0"))
        text = text[:at] + piece + text[at + rng.randint(0, 1) :]
    return text
