"""The SIP requests of `asterisk-avp check`: does Asterisk refuse an INVITE with Replaces?

The requests cannot take over a call: the Replaces header names a dialog that does not exist. An
Asterisk that ignores the header would treat the request as a new call; `Require: replaces` (RFC
3891 section 3) makes it refuse the request. A request that is answered anyway is ended at once.

The probe first sends as a sender without an account, then as an agent's phone with its password
from pjsip.conf. It sends the latter only if an OPTIONS shows that the log-in works; otherwise a 401
would say nothing about the INVITE.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.model import Attempt, SipTest
from asterisk_avp.install.checks.sip import (
    SipAccount,
    SipAddress,
    account,
    pickup_extension,
    transports,
    untried_transports,
)

LARGE: Final = 4200
"""Bytes added to the header. Asterisk's header match copies the header into a buffer of PATH_MAX,
4096 bytes, and skips a header that does not fit (res_pjsip_endpoint_identifier_ip.c,
header_identify_match_check)."""
_SECONDS: Final = 3.0
_FIRST_REPEAT_SECONDS: Final = 0.5
"""T1 of RFC 3261: over UDP, a request is retransmitted after T1, 2*T1, and so on."""
_MOST_BYTES: Final = 65535
_UNAUTHORIZED: Final = 401
_OK: Final = 200
_FAILURE: Final = 300
_NOT_FOUND: Final = 404
_STRANGER: Final = "avp-check"


def try_replaces(pjsip: Conf, features: Conf, names: list[str], host: str) -> SipTest:
    """Probe each transport. ``names``: the agents' endpoints; ``host``: Asterisk's host.

    Blocks for a few seconds per unanswered request.
    """
    addresses = transports(pjsip, host)
    untried = [
        f"transport [{name}]: WebSockets are not tested" for name in untried_transports(pjsip)
    ]
    if not addresses:
        untried.append("pjsip.conf has no UDP, TCP or TLS transport")
    dialled = pickup_extension(features)
    phone = account(pjsip, names)
    if phone is None and names:
        untried.append("pjsip.conf has no password of an agent's phone for the log-in")
    attempts: list[Attempt] = []
    for address in addresses:
        try:
            with Client(address) as client:
                attempts += _attempts(client, dialled, phone, untried)
        except OSError as error:
            untried.append(f"{address}: {error.strerror or error}")
    return SipTest(tuple(attempts), tuple(untried))


def _attempts(
    client: Client, dialled: str, phone: SipAccount | None, untried: list[str]
) -> Iterator[Attempt]:
    address = str(client.address)
    if client.request("OPTIONS", "", SipAccount(_STRANGER)) is None:
        untried.append(f"{address}: no answer")
        return

    def invite(sender: SipAccount | None, number: str, size: int) -> Attempt:
        padding = f";x={'y' * size}" if size else ""
        replaces = (
            f"Replaces: {secrets.token_hex(8)}@avp.invalid;to-tag={secrets.token_hex(4)}"
            f";from-tag={secrets.token_hex(4)}{padding}\r\nRequire: replaces\r\n"
        )
        answer = client.request("INVITE", number, sender or SipAccount(_STRANGER), replaces)
        return Attempt(address, sender.endpoint if sender else "", number, size > 0, answer)

    if dialled:
        yield invite(None, dialled, 0)
        yield invite(None, dialled, LARGE)  # an endpoint `anonymous` may let it through
    if phone is None:
        return
    login = client.request("OPTIONS", "", phone)
    if login is None or not (login < _FAILURE or login == _NOT_FOUND):
        untried.append(
            f"{address}: [{phone.endpoint}] cannot log in with its password in pjsip.conf"
            f" ({login or 'no answer'})"
        )
        return
    if dialled:
        yield invite(phone, dialled, 0)
    # Without pickupexten, dial a colleague: Asterisk refuses an unknown extension before it
    # examines the header.
    yield invite(phone, dialled or phone.endpoint, LARGE)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    head: str

    def header(self, name: str) -> str:
        """The first header of that name, or an empty string."""
        return next(iter(self.headers(name)), "")

    def headers(self, name: str) -> list[str]:
        found = re.findall(rf"(?im)^{name}[ \t]*:[ \t]*(.*?)\r?$", self.head)
        return [str(value) for value in found]


class Client:
    """Sends requests outside of a dialog, one at a time, from a socket of its own."""

    def __init__(self, address: SipAddress) -> None:
        self.address = address
        self._socket = self._connected()
        self._buffer = b""
        host, self._port = self._socket.getsockname()[:2]
        self._host = f"[{host}]" if ":" in host else host

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _connected(self) -> socket.socket:
        address = self.address
        if address.protocol == "udp":
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
            family, kind, number, _, place = found[0]
            connected = socket.socket(family, kind, number)
            connected.connect(place)
            return connected
        connected = socket.create_connection((address.host, address.port), timeout=_SECONDS)
        if address.protocol == "tls":
            # The certificate does not matter here: the probe only asks for a refusal.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context.wrap_socket(connected, server_hostname=address.host)
        return connected

    def request(self, method: str, user: str, sender: SipAccount, more: str = "") -> int | None:
        """Send a request, log in if challenged, and return the final status (see `Attempt`)."""
        call = f"{secrets.token_hex(8)}@{self._host}"
        tag, credentials = secrets.token_hex(4), ""
        where = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        uri = f"sip:{_escaped(user) + '@' if user else ''}{where}:{self.address.port}"
        transport = self.address.protocol
        status: int | None = None
        for number in (1, 2):
            branch = f"z9hG4bK{secrets.token_hex(8)}"

            def message(
                kind: str, extra: str, to: str = "", branch: str = branch, number: int = number
            ) -> bytes:
                return (
                    f"{kind} {uri} SIP/2.0\r\n"
                    f"Via: SIP/2.0/{transport.upper()} {self._host}:{self._port}"
                    f";rport;branch={branch}\r\n"
                    "Max-Forwards: 70\r\n"
                    f"From: <sip:{_escaped(sender.endpoint)}@{where}>;tag={tag}\r\n"
                    f"To: {to or f'<{uri}>'}\r\n"
                    f"Call-ID: {call}\r\nCSeq: {number} {kind}\r\n"
                    f"Contact: <sip:{_escaped(sender.endpoint)}@{self._host}:{self._port}"
                    f";transport={transport}>\r\n"
                    f"User-Agent: asterisk-avp check\r\n{extra}Content-Length: 0\r\n\r\n"
                ).encode()

            status, answer = self._exchange(message(method, credentials + more), call, number)
            if answer is None:
                if status is not None and method == "INVITE":
                    self._send(message("CANCEL", ""))
                return status
            if method == "INVITE":
                self._send(message("ACK", "", answer.header("To")))
                if status is not None and _OK <= status < _FAILURE:
                    bye_branch = f"z9hG4bK{secrets.token_hex(8)}"
                    self._send(message("BYE", "", answer.header("To"), bye_branch, number + 1))
            if status != _UNAUTHORIZED or not sender.username:
                return status
            credentials = _login(sender, method, uri, answer.headers("WWW-Authenticate"))
            if not credentials:
                return status
        return status

    def _exchange(self, text: bytes, call: str, number: int) -> tuple[int | None, _Answer | None]:
        """The status and the final answer; 100 and None if only provisional answers came."""
        datagrams = self.address.protocol == "udp"
        end = time.monotonic() + _SECONDS
        repeat = _FIRST_REPEAT_SECONDS if datagrams else _SECONDS
        status: int | None = None
        self._send(text)
        again = time.monotonic() + repeat
        while (now := time.monotonic()) < end:
            answer = self._received(min(end, again) - now)
            if answer is None:
                if datagrams and status is None and time.monotonic() >= again:
                    self._send(text)
                if time.monotonic() >= again:
                    repeat *= 2
                    again = time.monotonic() + repeat
                continue
            if answer.header("Call-ID") != call or not answer.header("CSeq").startswith(
                f"{number} "
            ):
                continue
            if answer.status >= _OK:
                return answer.status, answer
            status = 100
        return status, None

    def _send(self, text: bytes) -> None:
        # If nobody listens, the ICMP error of an earlier datagram is raised here.
        with contextlib.suppress(ConnectionRefusedError, BrokenPipeError, ConnectionResetError):
            self._socket.sendall(text)

    def _received(self, seconds: float) -> _Answer | None:
        """The next answer, or None if none arrives within ``seconds``."""
        end = time.monotonic() + seconds
        while True:
            if (complete := self._complete()) is not None:
                return complete
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self._socket.recv(_MOST_BYTES)
            except (TimeoutError, ConnectionError):
                data = b""
                time.sleep(max(0.0, min(0.05, end - time.monotonic())))
            self._buffer = data if self.address.protocol == "udp" else self._buffer + data
            if not data and time.monotonic() >= end:
                return None

    def _complete(self) -> _Answer | None:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        text = head.decode(errors="replace")
        length = re.search(r"(?im)^(?:Content-Length|l)[ \t]*:[ \t]*(\d+)", text)
        size = int(length[1]) if length else 0
        if self.address.protocol != "udp" and len(rest) < size:
            return None
        self._buffer = b"" if self.address.protocol == "udp" else rest[size:]
        status = re.match(r"SIP/2\.0 (\d{3})", text)
        return _Answer(int(status[1]), text) if status else _Answer(0, "")


def _escaped(user: str) -> str:
    """Escape the user part of a SIP URI (RFC 3261 section 25.1)."""
    plain = "-_.!~*'()&=+$,;?/"
    return "".join(
        x
        if x.isascii() and (x.isalnum() or x in plain)
        else "".join(f"%{b:02X}" for b in x.encode())
        for x in user
    )


def _login(sender: SipAccount, method: str, uri: str, challenges: list[str]) -> str:
    """The Authorization header for the first supported challenge (RFC 8760), or an empty string."""
    for challenge in challenges:
        parameters = {
            name.lower(): quoted or plain
            for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)
        }
        algorithm = parameters.get("algorithm", "MD5")
        digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}.get(algorithm.upper())
        if digest is None or (algorithm.upper() != "MD5" and not sender.password):
            continue

        def hashed(text: str, digest: object = digest) -> str:
            return digest(text.encode()).hexdigest()  # type: ignore[operator, no-any-return]

        realm, nonce = parameters.get("realm", ""), parameters.get("nonce", "")
        secret = hashed(f"{sender.username}:{realm}:{sender.password}")
        if not sender.password:
            secret = sender.md5
        cnonce = secrets.token_hex(8)
        parts = [nonce, "00000001", cnonce, "auth"] if "qop" in parameters else [nonce]
        response = hashed(":".join([secret, *parts, hashed(f"{method}:{uri}")]))
        qop = f', qop=auth, nc=00000001, cnonce="{cnonce}"' if "qop" in parameters else ""
        opaque = f', opaque="{parameters["opaque"]}"' if "opaque" in parameters else ""
        return (
            f'Authorization: Digest username="{sender.username}", realm="{realm}",'
            f' nonce="{nonce}", uri="{uri}", response="{response}",'
            f" algorithm={algorithm}{qop}{opaque}\r\n"
        )
    return ""
