"""The SIP requests of `check`, against answers that a correct Asterisk does not give.

tests/asterisk/test_check_sip.py tests a real one.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from asterisk_avp.install.asterisk_conf import Conf, parse
from asterisk_avp.install.checks.model import SipTest
from asterisk_avp.install.sip_probe import try_replaces

Answers = Callable[[str], list[str]]
"""Maps a request to one or several statuses to send back."""

PHONE = """
[1001]
type = endpoint
auth = 1001
[1001]
type = auth
username = 1001
password = pw-1001
"""
CHALLENGE = 'WWW-Authenticate: Digest realm="a",nonce="b",algorithm=MD5,qop="auth"\r\n'


def conf(name: str, text: str) -> Conf:
    return parse(name, lambda wanted: [(wanted, text)] if wanted == name else [])


def answer(request: str, status: str) -> bytes:
    kept = re.findall(r"(?im)^(?:Via|From|To|Call-ID|CSeq):.*$", request)
    lines = [f"SIP/2.0 {status}", *(line.strip() for line in kept)]
    more = CHALLENGE if status.startswith("401") else ""
    return ("\r\n".join(lines) + f"\r\n{more}Content-Length: 0\r\n\r\n").encode()


class Server:
    """A server on 127.0.0.1, over UDP or TCP. Keeps the received requests."""

    def __init__(self, protocol: str, answers: Answers) -> None:
        self.protocol, self.answers = protocol, answers
        self.requests: list[str] = []
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        if protocol != "udp":
            self._socket.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        if self.protocol == "udp":
            while True:
                data, peer = self._socket.recvfrom(65535)
                if not data:
                    return
                for out in self._answers(data.decode()):
                    self._socket.sendto(out, peer)
        connection, _ = self._socket.accept()
        with connection:
            buffer = b""
            while data := connection.recv(65535):
                buffer += data
                while b"\r\n\r\n" in buffer:
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    for out in self._answers(head.decode() + "\r\n"):
                        for at in range(0, len(out), 7):  # a stream has no message boundaries
                            connection.sendall(out[at : at + 7])

    def _answers(self, request: str) -> list[bytes]:
        self.requests.append(request)
        if request.startswith(("ACK", "CANCEL")):
            return []
        return [answer(request, status) for status in self.answers(request)]

    def stop(self) -> None:
        if self.protocol == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(10)
        self._socket.close()

    def methods(self) -> list[str]:
        return [request.split()[0] for request in self.requests]


@contextmanager
def tried(protocol: str, answers: Answers, phone: str = "") -> Iterator[tuple[Server, SipTest]]:
    server = Server(protocol, answers)
    lines = f"type = transport\nprotocol = {protocol}\nbind = 127.0.0.1:{server.port}\n"
    pjsip = conf("pjsip.conf", f"[t]\n{lines}{phone}")
    try:
        names = ["1001"] if phone else []
        yield server, try_replaces(pjsip, conf("features.conf", ""), names, "127.0.0.1")
    finally:
        server.stop()


def test_a_call_that_is_answered_is_ended() -> None:
    with tried("udp", lambda _: ["100 Trying", "200 OK"]) as (server, test):
        assert [attempt.answer for attempt in test.attempts] == [200, 200]
    assert server.methods() == ["OPTIONS", *["INVITE", "ACK", "BYE"] * 2]
    assert all("Require: replaces" in x for x in server.requests if x.startswith("INVITE"))


def test_one_that_only_rings_is_cancelled() -> None:
    ring = {"OPTIONS": ["404 Not Found"], "INVITE": ["180 Ringing"]}
    with tried("udp", lambda request: ring[request.split()[0]]) as (server, test):
        assert [attempt.answer for attempt in test.attempts] == [100, 100]
    assert server.methods().count("CANCEL") == 2
    assert server.methods().count("INVITE") == 2  # a provisional answer ends the retransmissions


def test_answers_of_others_and_what_is_no_answer() -> None:
    """A server that answers for another call, then with nonsense, then correctly."""

    def answers(request: str) -> list[str]:
        return ["404 Not Found"] if request.startswith("OPTIONS") else ["401 Unauthorized"]

    server = Server("udp", answers)
    proper = server._answers

    def confused(request: str) -> list[bytes]:
        found = proper(request)
        other = [x.replace(b"Call-ID: ", b"Call-ID: x") for x in found]
        return [b"\x00\xff", b"SIP/2.0 abc\r\n\r\n", *other, *found]

    server._answers = confused  # type: ignore[method-assign]
    lines = f"type = transport\nbind = 127.0.0.1:{server.port}\n"
    try:
        test = try_replaces(conf("pjsip.conf", f"[t]\n{lines}"), conf("f", ""), [], "127.0.0.1")
    finally:
        server.stop()
    assert [attempt.answer for attempt in test.attempts] == [401, 401]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_phone_logs_in_once_for_each_request(protocol: str) -> None:
    def answers(request: str) -> list[str]:
        if request.startswith("OPTIONS"):
            known = "Authorization" in request or "avp-check" in request
            return ["200 OK"] if known else ["401 Unauthorized"]
        return ["401 Unauthorized"]

    with tried(protocol, answers, PHONE) as (server, test):
        found = [(x.sender, x.large, x.answer) for x in test.attempts]
    large = [("", False, 401), ("", True, 401), ("1001", False, 401), ("1001", True, 401)]
    assert found == large
    assert not test.untried
    invites = [x for x in server.requests if x.startswith("INVITE")]
    assert ["Authorization" in x for x in invites] == [False, False, False, True, False, True]
    assert [len(x) > 4096 for x in invites] == [False, True, False, False, True, True]
    assert all("pw-1001" not in x for x in server.requests)


def test_a_log_in_that_fails_says_nothing_of_the_invite() -> None:
    with tried("udp", lambda _: ["401 Unauthorized"], PHONE) as (_, test):
        assert [attempt.sender for attempt in test.attempts] == ["", ""]
    assert "cannot log in" in test.untried[0]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_nobody_listens(protocol: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        pjsip = conf(
            "pjsip.conf",
            f"[t]\ntype = transport\nprotocol = {protocol}\nbind = 127.0.0.1:{port}\n",
        )
        test = try_replaces(pjsip, conf("features.conf", ""), [], "127.0.0.1")
    assert test.attempts == ()
    assert len(test.untried) == 1
    assert f"{protocol} 127.0.0.1:{port}" in test.untried[0]


def test_no_transport() -> None:
    test = try_replaces(conf("pjsip.conf", ""), conf("features.conf", ""), [], "127.0.0.1")
    assert test.untried == ("pjsip.conf has no UDP, TCP or TLS transport",)
