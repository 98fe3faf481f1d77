"""AMI on the wire: bytes in, messages out, and the check of headers that we send.

panoramisk decodes each TCP segment separately and drops what does not decode, so that a multi-byte
character split over two segments is lost. It also drops the last header of a message if its value
is empty. `FrameReader` collects bytes up to the blank line that ends a message and then decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from asterisk_avp.ami.integrity import beginning_defect, defect, repeated_defect
from asterisk_avp.core.model.errors import AmiHeaderError, AsteriskUnavailable

Headers = Mapping[str, str | Sequence[str]]

BANNER = "Asterisk Call Manager/"

#: Asterisk reads a line into `char inbuf[1025]`, line end included. It discards a message with a
#: longer line and parses the rest as another message (main/manager.c, get_input).
MAX_LINE_BYTES = 1022
#: AST_MAX_MANHEADERS of include/asterisk/manager.h; Asterisk refuses a message with more.
MAX_HEADER_LINES = 128
#: A longer message is not AMI; this bounds our memory.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_MAX_BANNER_BYTES = 256
_NOTHING: Mapping[str, str] = MappingProxyType({})

_END_OF_MESSAGE = b"\r\n\r\n"
_EVENT = b"Event: "
_ACTION_ID = b"\r\nActionID:"
_STATUS, _VARIABLES = "Status", "Variable"
_ENTERED, _SWAP = b"BridgeEnter", b"\r\nSwapUniqueid:"
"""Of all channels that enter bridges, only those matter that replace another channel."""


class NotAmi(AsteriskUnavailable):
    """The peer at this address does not speak AMI."""


class CheckedHeaders(dict[str, str | list[str]]):
    """Headers that are safe to write to AMI. Do not change them."""


def check_headers(headers: Headers) -> CheckedHeaders:
    """Return a copy of the headers that is safe to write to AMI. Raises `AmiHeaderError`.

    The error names the header but never contains the value, which may be a secret.
    """
    if isinstance(headers, CheckedHeaders):
        return headers
    checked = CheckedHeaders()
    lines = 0
    for name, value in headers.items():
        _check_name(name)
        if isinstance(value, str):
            _check_value(name, value)
            checked[name] = value
            lines += 1
        else:
            values = list(value)
            for item in values:
                _check_value(name, item)
            checked[name] = values
            lines += len(values)
    # The client adds two lines: Action and ActionID.
    if lines + 2 > MAX_HEADER_LINES:
        raise AmiHeaderError(f"{lines} AMI header lines; Asterisk takes {MAX_HEADER_LINES - 2}")
    return checked


@lru_cache(maxsize=256)
def _check_name(name: str) -> None:
    if not name or not name.isascii() or not name.isprintable() or ":" in name or " " in name:
        raise AmiHeaderError(f"not an AMI header name: {name!r}")
    if name.lower() in {"action", "actionid"}:
        raise AmiHeaderError(f"{name} is set by the client and cannot be passed as a header")


def _check_value(name: str, value: str) -> None:
    # Values come from JSON and channel variables, so check the type at run time: None or a dict
    # would be written as text.
    if not isinstance(value, str):
        raise AmiHeaderError(f"the value of AMI header {name} is a {type(value).__name__}")
    # Asterisk ends a line at a bare LF as well as at CR LF. It keeps a bare CR, but other software
    # on the path may not.
    if "\r" in value or "\n" in value or "\0" in value:
        raise AmiHeaderError(f"the value of AMI header {name} contains CR, LF or NUL")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        raise AmiHeaderError(f"the value of AMI header {name} is not valid Unicode") from None
    if len(name) + 2 + size > MAX_LINE_BYTES:
        raise AmiHeaderError(
            f"AMI header {name} makes a line of {len(name) + 2 + size} bytes; "
            f"Asterisk discards lines over {MAX_LINE_BYTES}"
        )


OnDefect = Callable[[str, str], None]
"""Called for a message that Asterisk cannot have written, with the event's name, if any, and the
defect; never with the text, which an attacker may have chosen."""


def parse_message(block: str) -> dict[str, str]:
    r"""Parse one message into a dict, with header names as Asterisk wrote them.

    The values of a repeated header (`ChanVariable`, `Output`) are joined by line feeds, in order.
    `FrameReader` leaves no other line feed in a value, so `value.split("\n")` returns the separate
    values. Lines without a colon are ignored.
    """
    return _parse(block)[0]


def _parse(block: str) -> tuple[dict[str, str], Collection[str]]:
    """The message, and the names of its repeated headers."""
    headers = [line.split(": ", 1) for line in block.split("\r\n")]
    try:
        message = dict(headers)
    except ValueError:  # a line without a colon and a space
        message = {}
    if not message or ":" in "".join(message):
        headers = [*_headers(block)]
        message = dict(headers)
    if len(message) == len(headers):
        return message, ()
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        repeated.setdefault(name, []).append(value)
    repeated = {name: values for name, values in repeated.items() if len(values) > 1}
    for name, values in repeated.items():
        message[name] = "\n".join(values)
    return message, repeated.keys()


def _headers(block: str) -> Iterator[list[str]]:
    """Name and value of each header, also where they are not as Asterisk itself writes them."""
    for line in block.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            # Asterisk writes "Name: value", but UserEvent passes on the dialplan's text, which is
            # often "Name:value".
            yield [name, value.removeprefix(" ")]


def name_of_unwanted(block: bytes, wanted: Collection[bytes]) -> bytes:
    """The name of an event that need not be parsed; empty for every other message.

    Asterisk writes an event's name first (main/manager.c, ``manager_event_sessionsva``). An event
    with an ActionID is part of a response.
    """
    if not block.startswith(_EVENT):
        return b""
    name = block[len(_EVENT) :].partition(b"\r\n")[0]
    if name in wanted and not (name == _ENTERED and _SWAP not in block):
        return b""
    return b"" if _ACTION_ID in block else name


class FrameReader:
    """Split the byte stream of one connection into messages.

    Only the name is read of events that are not in ``wanted`` (None: all are wanted), because
    Asterisk reports every channel and device unless its filters keep them away. Messages that
    Asterisk cannot have written are passed to ``on_defect``, if given, and dropped
    (`asterisk_avp.ami.integrity`).
    """

    def __init__(
        self, wanted: Collection[str] | None = None, on_defect: OnDefect | None = None
    ) -> None:
        self._wanted = None if wanted is None else frozenset(name.encode() for name in wanted)
        self._on_defect = on_defect
        self._buffer = b""
        #: Protocol version from the banner, None until it has arrived.
        self.version: str | None = None

    def feed(self, data: bytes) -> list[Mapping[str, str]]:
        """Add received bytes; return the messages that are now complete.

        Raises `NotAmi` if the stream cannot be AMI.
        """
        buffer = self._buffer + data if self._buffer else data
        if self.version is None:
            buffer = self._take_banner(buffer)
        end = buffer.rfind(_END_OF_MESSAGE)
        if end < 0:
            self._buffer = buffer
            if len(buffer) > MAX_MESSAGE_BYTES:
                raise NotAmi(f"{len(buffer)} bytes without the end of an AMI message")
            return []
        self._buffer = buffer[end + len(_END_OF_MESSAGE) :]
        return [
            message
            for block in buffer[:end].split(_END_OF_MESSAGE)
            if (message := self._read(block)) and ("Event" in message or "Response" in message)
        ]

    def _read(self, read: bytes) -> Mapping[str, str]:
        if self._wanted is not None:
            name = name_of_unwanted(read, self._wanted)
            if name:
                return {"Event": _text(name)}
        block = _text(read)
        if self._on_defect is None:
            return parse_message(block)
        problem = beginning_defect(block)
        if problem:
            self._on_defect("", problem)
            return _NOTHING
        message, repeated = _parse(block)
        if repeated and message.get("Event") == _STATUS:
            # Values of channel variables can have several lines, as JSON often does. Of the
            # channel's own headers, the first occurrence is Asterisk's.
            message = {
                name: value if name == _VARIABLES else value.partition("\n")[0]
                for name, value in message.items()
            }
            repeated = ()
        problem = repeated_defect(message, repeated) if repeated else ""
        if problem and "Event" not in message:
            # A response whose variable contains a header. Deliver it, so that the action does not
            # time out, with the first occurrence of each header, which is Asterisk's.
            self._on_defect("", problem)
            return {name: value.partition("\n")[0] for name, value in message.items()}
        problem = problem or defect(block, message)
        if problem:
            self._on_defect(message.get("Event", ""), problem)
            return _NOTHING
        return message

    def _take_banner(self, buffer: bytes) -> bytes:
        """Read the banner, the only line without a blank line after it."""
        line, line_end, rest = buffer.partition(b"\r\n")
        if not line_end and len(line) <= _MAX_BANNER_BYTES:
            return buffer
        greeting = line.decode("latin-1")
        if not greeting.startswith(BANNER):
            raise NotAmi(f"not an AMI greeting: {greeting[:40]!r}")
        self.version = greeting.removeprefix(BANNER).strip()
        return rest


def _text(read: bytes) -> str:
    text = read.decode("utf-8", "replace")
    lines = text.count("\r\n")
    if text.count("\n") == lines == text.count("\r"):
        return text
    return _without_bare_line_ends(text)


def _without_bare_line_ends(text: str) -> str:
    """Replace every CR and LF outside a CR LF pair with a space.

    A channel variable may contain one, which Asterisk writes unescaped; it would look like a
    repeated header (see `parse_message`).
    """
    return "\r\n".join(line.replace("\r", " ").replace("\n", " ") for line in text.split("\r\n"))
