"""The content of a MixMonitor recording: who is audible, in sequence, and for how long."""

from __future__ import annotations

from array import array
from pathlib import Path

from bed import Bed
from bed.audio import FRAME, SAMPLES, Labels

from tests.asterisk.scene import Scene

LEAST_SECONDS = 0.3
"""A shorter part is the transition between two, or sound that a busy machine delayed."""

MOVED_SECONDS = 1.5
"""So long a caller may be recorded alone when they are moved: music, or a pause of the recording,
begins after they have left their partner, and ends before the next one is there."""

ALONE: Labels = frozenset({"caller1"})
NOBODY = ALONE | {"music", "silence"}
"""The sound where the caller talks to nobody."""


def sequence(runs: list[tuple[Labels, float]]) -> list[Labels]:
    """What sounded in turn, from what sounded for how long.

    Left out: what is shorter than `LEAST_SECONDS`, and the caller alone, for less than
    `MOVED_SECONDS`, where music or a pause begins or ends.
    """
    kept: list[tuple[Labels, float]] = []
    for labels, seconds in runs:
        if seconds < LEAST_SECONDS:
            continue
        before = kept.pop()[1] if kept and kept[-1][0] == labels else 0.0
        kept.append((labels, before + seconds))
    parts: list[Labels] = []
    for at, (labels, seconds) in enumerate(kept):
        beside = [*kept[max(0, at - 1) : at], *kept[at + 1 : at + 2]]
        waits = any(other <= NOBODY for other, _ in beside)
        moved = labels == ALONE and seconds < MOVED_SECONDS and waits
        if not moved and parts[-1:] != [labels]:
            parts.append(labels)
    return parts


def said(*parts: str) -> list[Labels]:
    """``said("caller1 1001", "caller1 music")``: what sounds together, one after the other."""
    return [frozenset(part.split()) for part in parts]


class Recording:
    """One recording (mono, 8 kHz), even while it grows."""

    def __init__(self, bed: Bed, name: str) -> None:
        self.path: Path = bed.directory / "spool" / "monitor" / name
        self._tones = bed.tones
        self._frames: list[Labels] = []
        """Frames that have been analysed: each costs time, and a test checks often."""

    def frames(self) -> list[Labels]:
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        begin = data.find(b"data") + 8
        samples = array("h")
        samples.frombytes(data[begin : begin + (len(data) - begin & ~1)])
        known = len(self._frames) * SAMPLES
        for at in range(known, len(samples) - SAMPLES + 1, SAMPLES):
            self._frames.append(self._tones.labels(samples[at : at + SAMPLES]))
        return self._frames

    @property
    def seconds(self) -> float:
        return len(self.frames()) * FRAME

    def parts(self) -> list[Labels]:
        """The sequence of sounds, without the transitions between two (`sequence`)."""
        runs: list[tuple[Labels, int]] = []
        for labels in self.frames():
            if runs and runs[-1][0] == labels:
                runs[-1] = (labels, runs[-1][1] + 1)
            else:
                runs.append((labels, 1))
        return sequence([(labels, count * FRAME) for labels, count in runs])

    def together(self, *names: str) -> float:
        """How many seconds all of these sound at once."""
        return sum(set(names) <= labels for labels in self.frames()) * FRAME


async def recording_of(scene: Scene, caller: str) -> Recording:
    """The recording that ``MixMonitor(${UNIQUEID}.wav)`` makes of a caller."""
    channel = await scene.ami.channel_of(caller)
    return Recording(scene.bed, f"{channel['Uniqueid']}.wav")


def matches(parts: list[Labels], *expected: str) -> bool:
    """Whether the recording consists of these, one after the other.

    ``?`` marks one that may be too short to be there, ``again`` one who was called again.

    Debian's Asterisk 22.10.1 (with a patch to translate.c, for lost packets) treats the packets of
    a new phone as late ones of the previous phone if their numbers are smaller, and omits them from
    the recording, but not from the call. So only the caller's first partner is sure to be in it;
    for later partners it is enough that the caller is recorded. They may also be in it from some
    moment on only: a busy phone begins to send late.
    """
    wanted = said(*expected)
    first = next(part for part in wanted if part - NOBODY)

    def rest(at: int, want: int) -> bool:
        """Whether the parts from ``at`` on match the expected ones from ``want`` on."""
        if want == len(wanted):
            return at == len(parts)
        optional = "?" in wanted[want]
        if optional and rest(at, want + 1):
            return True
        if at == len(parts):
            return False
        label = wanted[want] - {"?", "again"}
        later = label != first or "again" in wanted[want]
        alone = parts[at] == ALONE and bool(label - NOBODY) and later
        # Two of those, one after the other, are one part.
        return (parts[at] == label or alone) and (
            rest(at + 1, want + 1) or (alone and (rest(at, want + 1) or rest(at + 1, want)))
        )

    return rest(0, 0)
