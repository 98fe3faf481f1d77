"""sipp as callers and as agents' phones: its scenarios and processes.

sipp is Debian's package sip-tester, in a separate root file system (docker/rootfs --load).
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bed import ProcessId, Unavailable
from bed.procs import DIE_WITH_PARENT, end, exited, spawn
from bed.world import CHECKOUT

CALLERS: Final = "127.0.0.2"
AGENTS: Final = "127.0.0.3"
"""Loopback addresses, so that Asterisk can distinguish the trunk from the agents' phones."""

_NOBODY: Final = "65534"
_RATE: Final = 8000
_PACKET: Final = 160
_PORT: Final = "rtpstream_audio_port"

_SDP = """\
v=0
o=phone 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [{port}] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_HEAD = '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
_ANSWER = """\
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>
Allow: INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS
"""


def _message(first: str, headers: str, body: str = "") -> str:
    kind = "Content-Type: application/sdp\n" if body else ""
    lines = f"{first}\n{headers}{kind}Content-Length: [len]\n\n{body}"
    return f"<![CDATA[\n{lines}\n]]>"


def _reply(first: str, *, tag: bool = False, body: str = "") -> str:
    return _message(first, _ANSWER.format(tag=";tag=[pid]a[call_number]" if tag else ""), body)


def _talk(*, streams: bool) -> str:
    """The common part of both scenarios after the answer: accept re-INVITEs until the BYE.

    Asterisk sends the connected line in a re-INVITE. A phone that does not stream sends one packet
    per second: Asterisk optimises a Local channel away only when it receives sound.
    """
    begin = beat = again = ""
    if streams:
        begin = f"\n  {_play('speech.ulaw', -1)}"
    else:
        again = ' timeout="1000" ontimeout="beat"'
        beat = f'\n  <label id="beat"/>\n  {_play("beat.ulaw", 1)}\n  <nop next="talk"/>'
    return f"""{begin}
  <label id="talk"/>
  <recv request="INVITE" optional="true" next="reinvited"{again}/>
  <recv request="ACK" optional="true" next="talk"{again}/>
  <recv request="BYE" next="over"{again}/>{beat}
  <label id="reinvited"/>
  <send>{_reply("SIP/2.0 200 OK", body=_SDP.format(port=_PORT))}</send>
  <nop next="talk"/>
  <label id="over"/>
  <send>{_reply("SIP/2.0 200 OK")}</send>
"""


def _play(file: str, times: int) -> str:
    return f'<nop><action><exec rtp_stream="{file},{times},0,PCMU/8000"/></action></nop>'


def agents_scenario(name: str, answer_ms: int, *, streams: bool) -> str:
    """A phone that rings and is answered after a while; its sound is like the callers'.

    It must not echo: two such phones in one call would return each other's packets forever, as fast
    as the machine can.
    """
    sdp = _SDP.format(port=_PORT)
    return f"""{_HEAD}<scenario name="{name}">
  <recv request="INVITE"/>
  <send>{_reply("SIP/2.0 180 Ringing", tag=True)}</send>
  <recv request="CANCEL" next="cancelled" timeout="{answer_ms}" ontimeout="answer"/>
  <label id="answer"/>
  <send retrans="500">{_reply("SIP/2.0 200 OK", tag=True, body=sdp)}</send>
  <recv request="ACK"/>{_talk(streams=streams)}
  <nop next="end"/>
  <label id="cancelled"/>
  <send>{_reply("SIP/2.0 200 OK", tag=True)}</send>
  <label id="end"/>
</scenario>
"""


def callers_scenario(name: str, *, streams: bool) -> str:
    """A caller who dials the number in their line of numbers.csv and stays until hung up.

    With ``streams`` they send 50 packets per second, otherwise one.
    """
    invite = _message(
        "INVITE sip:[field0]@[remote_ip]:[remote_port] SIP/2.0",
        f"""\
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "{name}" <sip:{name}[call_number]@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:[field0]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:{name}[call_number]@[local_ip]:[local_port]>
Max-Forwards: 70
Allow: INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS
""",
        _SDP.format(port=_PORT),
    )
    ack = _message(
        "ACK [next_url] SIP/2.0",
        f"""\
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: "{name}" <sip:{name}[call_number]@[local_ip]:[local_port]>;tag=[pid]c[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
""",
    )
    return f"""{_HEAD}<scenario name="{name}">
  <send retrans="500">{invite}</send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send>{ack}</send>{_talk(streams=streams)}
</scenario>
"""


def ulaw_tone(hertz: float, seconds: float) -> bytes:
    """A tone in G.711 mu-law, ready for streaming."""
    samples = range(int(seconds * _RATE))
    return bytes(_ulaw(int(8000 * math.sin(2 * math.pi * hertz * i / _RATE))) for i in samples)


def _ulaw(sample: int) -> int:
    """One 16-bit sample by ITU-T G.711."""
    bias, clip = 0x84, 32635
    sign = 0x80 if sample < 0 else 0
    size = min(abs(sample), clip) + bias
    exponent = size.bit_length() - 8
    return ~(sign | (exponent << 4) | ((size >> (exponent + 3)) & 0x0F)) & 0xFF


def root() -> Path:
    """The root file system with sipp, built if missing. Raises `Unavailable`."""
    command = [str(CHECKOUT / "docker" / "rootfs"), "--load"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode or os.geteuid() != 0:
        raise Unavailable("no sipp: its root file system needs root; see the message above")
    return Path(done.stdout.strip())


@dataclass
class Sipp:
    """The sipp processes of one call centre. ``asterisk``: its SIP address.

    Agents' phones are at two ports from `agents_port` on: those that send sound all the time, and
    the quiet ones.
    """

    name: str
    asterisk: str
    agents_port: int
    callers_port: int
    numbers: tuple[str, ...]
    answer_ms: int = 200
    root: Path = field(default_factory=root)
    processes: dict[str, ProcessId] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.root / "srv" / self.name

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o777)
        files = {
            "agents-talk.xml": agents_scenario("agents", self.answer_ms, streams=True),
            "agents-quiet.xml": agents_scenario("agents", self.answer_ms, streams=False),
            "callers-talk.xml": callers_scenario("talker", streams=True),
            "callers-quiet.xml": callers_scenario("quiet", streams=False),
            "numbers.csv": "\n".join(["SEQUENTIAL", *self.numbers, ""]),
        }
        for file, text in files.items():
            (self.directory / file).write_text(text)
        (self.directory / "speech.ulaw").write_bytes(ulaw_tone(440.0, 8.0))
        (self.directory / "beat.ulaw").write_bytes(ulaw_tone(440.0, _PACKET / _RATE))

    def start_agents(self) -> None:
        for number, kind in enumerate(("agents-talk", "agents-quiet")):
            self._start(kind, AGENTS, self.agents_port + number, _sound(number))

    def start_callers(self, *, talk: int, quiet: int, a_second: float = 10) -> None:
        """Keep this many calls of each kind: a call that ends is replaced by another."""
        for number, (kind, calls) in enumerate((("callers-talk", talk), ("callers-quiet", quiet))):
            if calls:
                rate = max(1, round(a_second * calls / (talk + quiet)))
                words = ("-inf", "numbers.csv", "-l", str(calls), "-r", str(rate), self.asterisk)
                self._start(kind, CALLERS, self.callers_port + number, _sound(number), *words)

    def _start(
        self, kind: str, address: str, port: int, sound: tuple[str, ...], *words: str
    ) -> None:
        # High priority, like the test bed's phones: in reality they are other machines.
        command = [
            *("nice", "-n", "-10", "chroot", str(self.root), "/usr/bin/env", "-i", "-C"),
            *(f"/srv/{self.name}", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "setpriv"),
            *("--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--no-new-privs"),
            *(*DIE_WITH_PARENT[1:], "sipp", "-nostdin", "-nd", "-aa", "-i", address),
            *("-mi", address, "-p", str(port), "-sf", f"{kind}.xml", *sound, *words),
        ]
        log = self.directory / f"{kind}.log"
        self.processes[kind] = spawn(command, log=log)

    def ended(self) -> list[str]:
        """The processes that have ended unexpectedly."""
        return [kind for kind, process in self.processes.items() if exited(process) is not None]

    def errors(self) -> str:
        """The ends of the processes' logs."""
        logs = sorted(self.directory.glob("*.log"))
        return "\n".join(f"{log.stem}: {log.read_text(errors='replace')[-500:]}" for log in logs)

    def stop_callers(self) -> None:
        for kind in tuple(self.processes):
            if kind.startswith("callers"):
                self._end(kind)

    def stop(self, *, keep: bool = False) -> None:
        for kind in tuple(self.processes):
            self._end(kind)
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, kind: str) -> None:
        process = self.processes.pop(kind, None)
        if process is not None:
            end(process)


def _sound(number: int) -> tuple[str, ...]:
    """RTP ports of the first or second process at an address, outside of all other ranges."""
    first = 34000 + 10000 * number
    ports = ("-min_rtp_port", str(first), "-max_rtp_port", str(first + 9998))
    return (*ports, "-rtp_threadtasks", "100")
