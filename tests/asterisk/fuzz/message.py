"""An input as bytes on the wire, escaped only as far as its place requires."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import Final

from .inputs import AGENT, NODE, Input

_WORD: Final = f"{string.ascii_letters}{string.digits}-_.!~*'+".encode()
_PLAIN: Final = frozenset(_WORD + b"()")
_NAME: Final = frozenset(_WORD + b"%`")
_ASCII: Final = 0x7F
#: Methods that need more than the common headers, and bodies for them.
_MORE: Final = {
    "SUBSCRIBE": b"Event: dialog\r\nAccept: application/dialog-info+xml\r\nExpires: 60\r\n",
    "PUBLISH": b"Event: presence\r\nExpires: 60\r\n",
    "NOTIFY": b"Event: refer\r\nSubscription-State: active\r\n",
    "INFO": b"Info-Package: dtmf\r\n",
}
_BODIES: Final = {
    "MESSAGE": (b"text/plain", b"hello"),
    "INFO": (b"application/dtmf-relay", b"Signal=5\r\nDuration=100\r\n"),
    "NOTIFY": (b"message/sipfrag;version=2.0", b"SIP/2.0 200 OK\r\n"),
    "PUBLISH": (b"application/pidf+xml", b"<?xml version='1.0'?><presence/>"),
}


@dataclass
class Dialog:
    """The constants of the requests of one dialog, or of one request outside a dialog."""

    local: bytes
    """Our From, with its tag."""
    remote: bytes
    target: bytes
    call_id: str = field(default_factory=lambda: f"f{secrets.token_hex(8)}")
    number: int = 0


@dataclass(frozen=True)
class Line:
    """The address that a message is sent from."""

    account: str
    host: str
    port: int
    proxy: int


def user(value: bytes, *, raw: bool = False) -> bytes:
    """The user part of a SIP URI. ``raw``: bytes above 127 remain."""
    return b"".join(
        bytes((byte,)) if byte in _PLAIN or (raw and byte > _ASCII) else b"%%%02X" % byte
        for byte in value
    )


def quoted(value: bytes) -> bytes:
    """A display name, without characters that no escape allows in a header (RFC 3261, 25.1)."""
    text = value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def line(value: bytes) -> bytes:
    return value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")


def opening(what: Input, of: Line) -> Dialog:
    """The dialog, or the lone transaction, that this input begins."""
    raw = what.raw
    server = f"127.0.0.1:{of.proxy}".encode()
    account = of.account.encode()
    from_user = account if what.sender == AGENT else user(what.get("from", of.account), raw=raw)
    shown = quoted(what.get("display")) + b" " if what.has("display") else b""
    tag = secrets.token_hex(5).encode()
    dialled = user(what.dialled, raw=raw)
    target = b"sip:" + dialled + b"@" + server if dialled else b"sip:" + server
    to = b"sip:" + user(what.get("to"), raw=raw) + b"@" + server if what.has("to") else target
    ours = shown + b"<sip:" + from_user + b"@" + of.host.encode() + b">;tag=" + tag
    return Dialog(local=ours, remote=b"<" + to + b">", target=target)


def request(
    method: str, dialog: Dialog, of: Line, *, more: bytes = b"", sdp: bool = False, via: bytes = b""
) -> tuple[bytes, bytes]:
    """A request of that dialog, and its Via. An ACK or a CANCEL has the Via of another one."""
    us = f"{of.host}:{of.port}".encode()
    via = via or b"SIP/2.0/UDP " + us + b";rport;branch=z9hG4bK" + secrets.token_hex(8).encode()
    kind, body = _BODIES.get(method, (b"", b""))
    if sdp:
        kind, body = b"application/sdp", offer(of)
    kind = b"Content-Type: " + kind + b"\r\n" if body else b""
    text = (
        method.encode() + b" " + dialog.target + b" SIP/2.0\r\n"
        b"Via: " + via + b"\r\nMax-Forwards: 70\r\n"
        b"From: " + dialog.local + b"\r\nTo: " + dialog.remote + b"\r\n"
        b"Call-ID: " + dialog.call_id.encode() + b"\r\n"
        b"CSeq: " + str(dialog.number).encode() + b" " + method.encode() + b"\r\n"
    )
    if b"\r\nContact:" not in b"\r\n" + more and method not in ("ACK", "CANCEL", "BYE"):
        text += b"Contact: <sip:" + of.account.encode() + b"@" + us + b">\r\n"
    text += more + kind + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    return text, via


def headers(what: Input, of: Line, replaces: bytes) -> bytes:
    """The headers that the input adds. ``replaces``: the dialog of a call that it targets."""
    raw, server, host = what.raw, f"127.0.0.1:{of.proxy}".encode(), of.host.encode()
    text = b"" if not what.has("contact") or what.kind == "moved" else _contact(what, of)
    for place, name in (
        ("identity", b"P-Asserted-Identity"),
        ("party", b"Remote-Party-ID"),
        ("diversion", b"Diversion"),
    ):
        shown = f"{place}-display"
        if what.has(place) or what.has(shown):
            display = quoted(what.get(shown)) + b" " if what.has(shown) else b""
            number = user(what.get(place, "+12025550199"), raw=raw)
            text += name + b": " + display + b"<sip:" + number + b"@" + host + b">"
            text += b";party=calling;privacy=off\r\n" if place == "party" else b"\r\n"
    for place, name in (("refer-to", b"Refer-To"), ("referred-by", b"Referred-By")):
        if what.has(place):
            text += name + b": <sip:" + user(what.get(place), raw=raw) + b"@" + server
            if place == "refer-to" and what.kind == "in-call" and what.has("replaces"):
                text += b"?Replaces=" + user(replaces)
            text += b">\r\n"
    if what.has("name") or what.has("note"):
        name = bytes(byte for byte in what.get("name", "Note") if byte in _NAME) or b"Note"
        text += b"X-" + name + b": " + line(what.get("note", "1")) + b"\r\n"
    for place, said in what.parts:
        if place.startswith("x-"):  # of a node
            text += b"X-AVP-" + place[2:].encode() + b": " + line(said) + b"\r\n"
    if what.sender == NODE and not what.has("x-Hold"):
        text += b"X-AVP-Hold: 2\r\n"
    if what.has("replaces") and what.kind != "in-call":
        # Asterisk does not examine a header of 4,095 bytes; docs/security.md has the firewall.
        pad = b";x=" + user(what.get("replaces")) * (1 + 90 * (what.number % 2))
        pad = pad[: 4000 - len(replaces)]
        text += (b"Replaces: ", b"REPLACES : ", b"Replaces:\r\n ")[what.number % 3]
        text += replaces + pad + b"\r\n"
    return text + _MORE.get(what.method, b"")


def moved_to(what: Input, of: Line) -> bytes:
    """The Contact of a 3xx answer."""
    return _contact(what, of)


def offer(of: Line) -> bytes:
    """SDP. Nobody listens at its address, and nothing is sent from there."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {of.host}\r\ns=-\r\nc=IN IP4 {of.host}\r\nt=0 0\r\n"
        "m=audio 9 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\n"
    ).encode()


def _contact(what: Input, of: Line) -> bytes:
    number = user(what.get("contact"), raw=what.raw)
    where = f"@{of.host}:{of.port}" if what.kind != "moved" else "@127.0.0.1"
    return b"Contact: <sip:" + number + where.encode() + b">\r\n"
