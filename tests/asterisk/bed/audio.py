"""What a phone hears, with times: recordings read while they grow, and tones told apart.

Each phone sends a tone of its own, music on hold is a pair of tones, and so are the tones a
telephone network makes.  A recording is cut into frames of 40 ms on the wall clock's grid, and
each frame is labelled with the names of what sounds in it.  Pure Python: a frame costs about
0.3 ms, and only frames that somebody asks about are analysed.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import socket
import struct
import threading
import time
import wave
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import mul
from pathlib import Path
from typing import BinaryIO

RATE = 8000
FRAME = 0.04
SAMPLES = int(RATE * FRAME)

#: Phones' tones. Spaced so that neither a neighbour's leakage nor the sums and differences that
#: a clipped mix makes fall on another's; away from DTMF and the network's tones.
PHONE_TONES = (
    1160,
    1700,
    1900,
    2080,
    2360,
    2780,
    2940,
    3080,
    3180,
    3300,
    1400,
    2560,
    2240,
    1800,
    2460,
    2660,
    1050,
    1550,
)
MUSIC = (550, 650)
NETWORK_TONES: dict[str, tuple[int, ...]] = {
    "music": MUSIC,
    "ringback": (440, 480),
    "busy": (480, 620),
    "dialtone": (350, 440),
}

Labels = frozenset[str]
#: What a part of another sound may be taken for.
_SCRAPS: Labels = frozenset({*NETWORK_TONES, "speech"} - {"music"})
SILENCE: Labels = frozenset({"silence"})

_FULL = 32768.0
_NOISE = 8  # the largest sample of silence: A-law has no zero
_QUIET = 0.003  # RMS below which a frame is silence (-50 dB of full scale)
_AUDIBLE = 0.01  # a tone's least amplitude
_RELATIVE = 0.12  # … and its least share of the strongest tone's amplitude
_CLICK = 0.1  # seconds; a shorter sound is none that anybody understands
_STEADY = 0.28  # seconds, 7 frames; what the network plays, and a word, lasts longer at a time
_PROMPT = 0.8  # all prompts that the dialplan plays have more seconds of speech
_PURE = 0.5  # the share of a frame's power that tones must explain, else it is speech

_WINDOW = [0.5 - 0.5 * math.cos(2 * math.pi * (i + 0.5) / SAMPLES) for i in range(SAMPLES)]
_GAIN = 2 / sum(_WINDOW)
_POWER = sum(w * w for w in _WINDOW)


#: Each tone's amplitude: five of them together do not clip, so that a mix adds no others.
_LEVEL = 6000


def write_music(path: Path) -> None:
    """The test bed's music on hold, as a file that loops without a click."""
    _write(path, MUSIC, 10)


def write_tone(path: Path, tone: int, seconds: int, rate: int = RATE, channels: int = 1) -> None:
    """A phone's tone. At its end baresip, which does not loop, hangs up."""
    _write(path, (tone,), seconds, rate, channels)


def write_warble(path: Path, tone: int, seconds: int) -> None:
    """The tone of a phone with GSM: every other 50 ms are lower.

    A GSM decoder predicts each packet from the ones before. Asterisk makes a new one when a party
    has another partner. In the middle of a steady tone it has nothing to predict from, and the
    packets add next to nothing: it stays at -50 dB for good. It decodes speech, which changes, at
    once, and so this.
    """
    cycle = _cycle((tone,))
    half = len(cycle) // 2
    _write_cycle(path, cycle[:half] + _cycle((tone * 3 // 4,))[half:], seconds)


def tone_ulaw(tone: int) -> bytes:
    """100 ms of a phone's tone as PCMU, to be repeated."""
    codes = range(256)
    return bytes(min(codes, key=lambda c: abs(_ULAW[c] - sample)) for sample in _cycle((tone,)))


def _cycle(pair: Iterable[int], rate: int = RATE) -> array[int]:
    # All tones are multiples of 10 Hz, so that 100 ms are whole cycles of each.
    period = range(rate // 10)
    steps = [2 * math.pi * f / rate for f in pair]
    return array("h", (round(_LEVEL * sum(math.sin(s * i) for s in steps)) for i in period))


def _write(
    path: Path, pair: Iterable[int], seconds: int, rate: int = RATE, channels: int = 1
) -> None:
    cycle = _cycle(pair, rate)
    cycle = array("h", (sample for sample in cycle for _ in range(channels)))
    _write_cycle(path, cycle, seconds, rate, channels)


def _write_cycle(
    path: Path, cycle: array[int], seconds: int, rate: int = RATE, channels: int = 1
) -> None:
    """100 ms of sound, repeated."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(cycle.tobytes() * (10 * seconds))


def quiet(samples: array[int]) -> bool:
    """Whether a frame of SAMPLES samples is silence."""
    return sum(map(mul, samples, samples)) / SAMPLES < (_QUIET * _FULL) ** 2


def cut(samples: array[int]) -> bool:
    """Whether sound begins, ends or pauses in a frame, and at least half of it is the pause."""
    sounds = bytes(abs(sample) > _NOISE for sample in samples)
    return max(map(len, sounds.split(b"\1"))) >= SAMPLES // 2


class Tones:
    """Names for what sounds in a frame."""

    def __init__(self, phones: dict[str, int]) -> None:
        self.names = {**NETWORK_TONES, **{name: (f,) for name, f in phones.items()}}
        self._tables = {}
        for f in sorted({f for pair in self.names.values() for f in pair}):
            angle = 2 * math.pi * f / RATE
            self._tables[f] = (
                [w * math.cos(angle * i) for i, w in enumerate(_WINDOW)],
                [w * math.sin(angle * i) for i, w in enumerate(_WINDOW)],
            )

    def labels(self, samples: array[int]) -> Labels:
        """The names audible in one frame of SAMPLES samples; never empty."""
        if quiet(samples):
            return SILENCE
        amplitudes = {
            f: _GAIN * math.hypot(sum(map(mul, samples, cos)), sum(map(mul, samples, sin)))
            for f, (cos, sin) in self._tables.items()
        }
        least = max(_AUDIBLE * _FULL, _RELATIVE * max(amplitudes.values()))
        found = {
            name for name, pair in self.names.items() if all(amplitudes[f] >= least for f in pair)
        }
        explained = sum(
            amplitudes[f] ** 2 / 2 for f in {f for name in found for f in self.names[name]}
        )
        windowed = sum((s * w) ** 2 for s, w in zip(samples, _WINDOW, strict=True)) / _POWER
        if not found or explained < _PURE * windowed:
            # A little of a tone, before or after a gap, sounds like anything.
            return SILENCE if cut(samples) else frozenset({"speech"})
        return frozenset(found)


class Track:
    """One stream of sound: samples with the wall-clock time at which they came in.

    While nothing comes there are no samples, and that is silence.
    """

    KEEP = 900.0
    JITTER = 0.08

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: list[float] = []
        self._chunks: list[array[int]] = []
        self._end = 0.0

    def add(self, samples: array[int], end: float) -> None:
        """Samples whose last one came in at `end`."""
        with self._lock:
            start = end - len(samples) / RATE
            # Packets are a little early or late; such gaps are not gaps.
            if start < self._end + self.JITTER:
                start = max(self._end, start - self.JITTER)
            self._starts.append(start)
            self._chunks.append(samples)
            self._end = start + len(samples) / RATE
            if self._starts[0] < end - 2 * self.KEEP:
                keep = bisect_left(self._starts, end - self.KEEP)
                del self._starts[:keep], self._chunks[:keep]

    def sounds(self, since: float, until: float) -> bool:
        """Whether it has samples between two times."""
        with self._lock:
            return bool(self._starts) and self._starts[0] < until and since < self._end

    def frame(self, start: float) -> array[int] | None:
        """The SAMPLES samples from `start` on, gaps as zeroes; None where there is nothing."""
        with self._lock:
            if not self._starts or start >= self._end or start + FRAME <= self._starts[0]:
                return None
            out = array("h", bytes(2 * SAMPLES))
            filled = 0
            index = max(0, bisect_right(self._starts, start) - 1)
            for at, chunk in zip(self._starts[index:], self._chunks[index:], strict=True):
                offset = round((at - start) * RATE)
                if offset >= SAMPLES:
                    break
                first = max(0, offset)
                last = min(SAMPLES, offset + len(chunk))
                if last > first:
                    out[first:last] = chunk[first - offset : last - offset]
                    filled += last - first
            return out if filled else None


class Recording(Track):
    """A recording that baresip makes, read while it grows.

    baresip writes what each RTP packet carries at once and unbuffered, so the time at which the
    file grew is the time at which the phone heard it. But baresip 1.1 does not go on recording a
    call that it has held and resumed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file: BinaryIO = path.open("rb")
        self._header = b""
        self._rest = b""
        self._position = 0
        self._step = 1
        """Of how many samples one is taken: of all channels, and of higher rates."""

    def close(self) -> None:
        self._file.close()

    def poll(self) -> None:
        """Take in what was written since the last poll."""
        if os.fstat(self._file.fileno()).st_size < self._position:
            # A call that began within the same second has the same file name.
            self._file.seek(0)
            self._position, self._header, self._rest, self._step = 0, b"", b"", 1
        data = self._file.read()
        self._position += len(data)
        data = self._rest + self._strip_header(data)
        whole = len(data) - len(data) % (2 * self._step)
        self._rest = data[whole:]
        if whole:
            samples = array("h")
            samples.frombytes(data[:whole])
            self.add(samples[:: self._step], time.time())

    def _strip_header(self, data: bytes) -> bytes:
        if self._header == b"data":
            return data
        self._header += data
        at = self._header.find(b"data")
        if at < 0 or len(self._header) < at + 8:
            return b""
        channels, rate = struct.unpack_from("<HI", self._header, self._header.find(b"fmt ") + 10)
        self._step = channels * rate // RATE
        data, self._header = self._header[at + 8 :], b"data"
        return data


class Ear:
    """Everything one phone hears, whichever call it came by."""

    #: A frame is final when its last packet has surely been read.
    SETTLE = 0.12

    def __init__(
        self, directory: Path, ports: range, tones: Tones, *, decoded: bool = False
    ) -> None:
        self.directory = directory
        self.decoded = decoded
        """Heard by the phone's recordings, because we do not decode what it receives."""
        self.ports = ports
        self.tones = tones
        self.recordings: dict[Path, Recording] = {}
        self._streams: dict[tuple[int, int], Track] = {}
        self._cache: dict[int, Labels] = {}
        self.tapped = False
        #: Whether the recordings are read. Half of a test run's time went into reading those of
        #: all calls so far fifty times a second, for nobody where the wire is tapped.
        self.recording = True
        self._lock = threading.Lock()
        self._closed = False

    def poll(self) -> None:
        """Read the phone's own recordings. Called by the listener's thread."""
        with self._lock:
            if not self._closed:
                self._poll()

    def _poll(self) -> None:
        for path in self.directory.glob("*-dec.wav"):
            recording = self.recordings.get(path)
            if recording is None:
                try:
                    self.recordings[path] = recording = Recording(path)
                except OSError:
                    continue
            recording.poll()

    def take(self, port: int, source: int, samples: array[int], at: float) -> None:
        """What an RTP packet to one of the phone's ports carried."""
        track = self._streams.get((port, source))
        if track is None:
            self._streams[port, source] = track = Track()
        track.add(samples, at)

    def close(self) -> None:
        """Stop listening; the other phones' ears are not disturbed."""
        with self._lock:
            self._closed = True
        for recording in self.recordings.values():
            recording.close()

    def _labels(self, index: int) -> Labels:
        known = self._cache.get(index)
        if known is not None:
            return known
        tracks = self._streams if self.tapped else self.recordings
        labels = self._label(list(tracks.values()), index * FRAME)
        if (index + 1) * FRAME < time.time() - self.SETTLE:
            self._cache[index] = labels
        return labels

    def _label(self, tracks: Iterable[Track], start: float) -> Labels:
        found: set[str] = set()
        for track in tracks:
            samples = track.frame(start)
            if samples is not None:
                found |= self.tones.labels(samples)
        return frozenset(found - SILENCE) or SILENCE

    def frames(self, since: float, until: float) -> list[Labels]:
        """The labels of every whole frame between two wall-clock times."""
        return [self._labels(i) for i in _grid(since, until)]

    def silences(self, since: float, until: float) -> list[tuple[float, float]]:
        """(start, end) of what was silent in turn. A click does not end a silence.

        The frames' labels would say the same, and cost a hundred times as much.
        """
        everything = list((self._streams if self.tapped else self.recordings).values())
        tracks = [track for track in everything if track.sounds(since, until)]
        grid = _grid(since, until)
        frames = ((track.frame(i * FRAME) for track in tracks) for i in grid)
        silent = [all(sound is None or quiet(sound) for sound in each) for each in frames]
        found: list[tuple[float, float]] = []
        for i, is_silent in zip(grid, silent, strict=True):
            start, end = i * FRAME, (i + 1) * FRAME
            if is_silent and found and start - found[-1][1] <= _CLICK:
                found[-1] = (found[-1][0], end)
            elif is_silent:
                found.append((start, end))
        return found

    def recorded(self, since: float, until: float) -> list[Labels]:
        """The same from the phone's own recordings, to compare; set `recording` before."""
        tracks = list(self.recordings.values())
        return [self._label(tracks, i * FRAME) for i in _grid(since, until)]

    def onset(self, labels: Labels, until: float, most: float = 10.0) -> float:
        """Since when, up to `most` seconds back, these sounded that sound just before `until`.

        As in `spans`, a blip of one frame is none. It looks back no further than it has to:
        frames are costly, and every `hears` asks this.
        """
        grid = _grid(until - most, until)
        first = grid.stop
        for i in reversed(grid):
            if self._labels(i) == labels:
                first = i
            elif first - i > 1:
                break
        return first * FRAME

    def heard(self, since: float, until: float, least: float = 0.12) -> set[str]:
        """What sounded for at least `least` seconds in all between two wall-clock times."""
        frames = self.frames(since, until)
        names: set[str] = set().union(*frames)
        return {n for n in names if sum(n in f for f in frames) * FRAME >= least - 1e-9}

    def understood(self, since: float, until: float) -> set[str]:
        """The same without silence, and without what was too short for a tone of the network, or
        for a prompt.

        Where sound has a gap, as on a busy machine, the part of it in a frame is like no tone, or
        like one of the network's: music that begins or ends in a frame often is.
        """
        frames = self.frames(since, until)
        found = self.heard(since, until) - SILENCE
        short = {n for n in found & _SCRAPS if longest(n, frames) < _STEADY}
        if "speech" in found - self.heard(since, until, least=_PROMPT):
            short.add("speech")
        return found - short

    def spans(self, since: float, until: float) -> list[tuple[float, float, Labels]]:
        """(start, end, labels) of what sounded in turn, without blips of a single frame."""
        first = _grid(since, until).start
        out: list[tuple[float, float, Labels]] = []
        frames = self.frames(since, until)
        for i, labels in enumerate(frames):
            blip = 0 < i < len(frames) - 1 and frames[i - 1] == frames[i + 1]
            use = frames[i - 1] if blip else labels
            start = (first + i) * FRAME
            if out and out[-1][2] == use:
                out[-1] = (out[-1][0], start + FRAME, use)
            else:
                out.append((start, start + FRAME, use))
        return out


def longest(name: str, frames: Iterable[Labels]) -> float:
    """For how many seconds at a time this sounded at most."""
    runs = "".join("x" if name in labels else " " for labels in frames).split()
    return max(map(len, runs), default=0) * FRAME


def _grid(since: float, until: float) -> range:
    return range(math.ceil(since / FRAME), math.floor(until / FRAME))


def describe(spans: Iterable[tuple[float, float, Labels]], zero: float) -> str:
    """Spans as a line for people: `+0.0s silence, +1.2s music, …`."""
    return ", ".join(f"+{start - zero:.2f}s {'+'.join(sorted(what))}" for start, _, what in spans)


def _ulaw(code: int) -> int:
    code = ~code & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def _alaw(code: int) -> int:
    code ^= 0x55
    magnitude = ((code & 0x0F) << 4) + 8
    if exponent := (code & 0x70) >> 4:
        magnitude = (magnitude + 0x100) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


_ULAW = [_ulaw(code) for code in range(256)]
#: The samples of each code (ITU-T G.711), by payload type (RFC 3551).
_DECODED = {0: _ULAW, 8: [_alaw(code) for code in range(256)]}
_ETH_P_IP = 0x0800
_ETH_P_ALL = 0x0003
_LEAST = 28  # bytes of an IPv4 and a UDP header
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER
_TIMESTAMPNS = 35  # SO_TIMESTAMPNS, and SCM_TIMESTAMPNS of the message
_RECEIVE_BUFFER = 8 << 20


def _udp_filter(first: int, last: int) -> bytes:
    """A kernel packet filter: IPv4 UDP to these ports, so that other tests' calls cost nothing."""
    program = (
        (0x30, 0, 0, 9),  # the protocol …
        (0x15, 0, 5, socket.IPPROTO_UDP),  # … is UDP
        (0xB1, 0, 0, 0),  # past the IP header …
        (0x48, 0, 0, 2),  # … the destination port
        (0x35, 0, 2, first),
        (0x25, 1, 0, last),
        (0x06, 0, 0, 0xFFFF),  # take it
        (0x06, 0, 0, 0),  # leave it
    )
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


class Listener(threading.Thread):
    """Hears for all phones of an instance, whatever the test is busy with.

    As root it reads the RTP packets that reach the phones' ports, with the kernel's time stamps,
    so that a stalled test process changes no time. Otherwise it reads the phones' recordings
    every 20 ms, which as root it does only for an ear with `recording` set.

    `wire` is the interface on which the packets come in; None where the phones are in containers:
    there each packet is seen once where it leaves the host by the container's own interface.
    """

    PERIOD = 0.02

    def __init__(self, ports: range, wire: str | None = "lo") -> None:
        super().__init__(name="listener", daemon=True)
        self._wire = wire
        self._ears: list[Ear] = []
        self._by_port: dict[int, Ear] = {}
        self._ending = threading.Event()
        self._socket = self._open(ports, wire)

    @property
    def taps(self) -> bool:
        return self._socket is not None

    @staticmethod
    def _open(ports: range, wire: str | None) -> socket.socket | None:
        # What goes out is shown only to those who ask for all protocols, at once and everywhere;
        # else nothing comes in before `run` names the interface.
        protocol = socket.htons(_ETH_P_ALL) if wire is None else 0
        try:
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, protocol)
        except (PermissionError, AttributeError):
            return None
        text = _udp_filter(ports.start, ports.stop - 1)
        code = ctypes.create_string_buffer(text, len(text))
        program = struct.pack("HP", len(code) // 8, ctypes.addressof(code))
        tap.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
        tap.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        for option in (33, socket.SO_RCVBUF):  # SO_RCVBUFFORCE, else what we may have
            with contextlib.suppress(OSError):
                tap.setsockopt(socket.SOL_SOCKET, option, _RECEIVE_BUFFER)
                break
        tap.settimeout(Listener.PERIOD)
        return tap

    def add(self, ear: Ear) -> None:
        ear.tapped = self.taps and not ear.decoded
        ear.recording = not ear.tapped
        self._ears = [*self._ears, ear]
        self._by_port.update(dict.fromkeys(ear.ports, ear))

    def run(self) -> None:
        if self._socket is not None and self._wire is not None:
            self._socket.bind((self._wire, _ETH_P_IP))
        next_poll = 0.0
        while not self._ending.is_set():
            if self._socket is None:
                self._ending.wait(self.PERIOD)
            else:
                self._receive(self._socket)
            if time.monotonic() >= next_poll:
                next_poll = time.monotonic() + self.PERIOD
                for ear in self._ears:
                    if ear.recording:
                        ear.poll()

    def _receive(self, tap: socket.socket) -> None:
        try:
            packet, ancillary, _, address = tap.recvmsg(2048, 64)
        except TimeoutError:
            return
        # On the loopback, and between containers, every packet is seen going out and coming in.
        leaving = address[2] == socket.PACKET_OUTGOING
        if leaving != (self._wire is None) or len(packet) < _LEAST or packet[0] >> 4 != 4:
            return
        if packet[9] != socket.IPPROTO_UDP:
            return
        if self._wire is None and not address[0].startswith("veth"):
            return
        udp = (packet[0] & 0x0F) * 4
        port = packet[udp + 2] << 8 | packet[udp + 3]
        ear = self._by_port.get(port)
        rtp = packet[udp + 8 :]
        if ear is None or len(rtp) < 12 or rtp[0] >> 6 != 2:
            return
        decoded = _DECODED.get(rtp[1] & 0x7F)
        if decoded is None:
            return
        header = 12 + 4 * (rtp[0] & 0x0F)
        if rtp[0] & 0x10:
            header += 4 + 4 * int.from_bytes(rtp[header + 2 : header + 4])
        at = time.time()
        for _, kind, data in ancillary:
            if kind == _TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                at = seconds + nanoseconds / 1e9
        samples = array("h", [decoded[code] for code in rtp[header:]])
        ear.take(port, int.from_bytes(rtp[8:12]), samples, at)

    def stop(self) -> None:
        self._ending.set()
        if self.is_alive():
            self.join()
        if self._socket is not None:
            self._socket.close()
