"""A transfer as the engine keeps it: the session with the times that its views need."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from asterisk_avp.core.engine.holds import HoldMusic
from asterisk_avp.core.model.world import CallerOutcome
from asterisk_avp.core.transfer.hearing import hearing
from asterisk_avp.core.transfer.session import Session, Times
from asterisk_avp.core.transfer.spec import Sound


@dataclass(slots=True)
class Record:
    """A session with the times that its views need, in Unix seconds."""

    session: Session
    started: float
    since: float
    music_since: float | None = None
    """Since when the caller hears music without a pause; None: none, or nobody wrote it down."""
    caller_outcome: CallerOutcome | None = None
    """What has become of the caller; None while the transfer runs."""
    caller_keyed: bool = False
    """Whether the caller has pressed a key while they waited in the target's queue."""
    fourth_rings: bool = False
    """Whether the phone of a colleague who is asked as fourth party rings."""
    dial_status: str = ""
    """DIALSTATUS of the last attempt to reach an external number (`core.engine.queue_events`)."""
    hold_music: HoldMusic = field(default_factory=HoldMusic)

    @classmethod
    def adopted(cls, session: Session, now: float) -> Record:
        """Of a transfer that an earlier daemon began, with the times that it wrote down."""
        times = session.times
        if times is None:
            return cls(session, now, now)
        music = times.music_since if _hears_music(session) else None
        return cls(
            session,
            min(times.started, now),
            min(times.since, now),
            None if music is None else min(music, now),
        )

    def became(self, session: Session, now: float) -> Session:
        """Take what a step has made of the session, note when it was, and return it with that."""
        before = self.session
        if session.state is not before.state:
            self.since = now
        if not _hears_music(session):
            self.music_since = None
        elif not _hears_music(before):
            self.music_since = now
        times = Times(self.started, self.since, self.music_since)
        self.session = session if session.times == times else replace(session, times=times)
        return self.session


def _hears_music(session: Session) -> bool:
    return hearing(session)["caller"] is Sound.MUSIC
