"""Who muted a recording: the daemon or another program."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.ami.recording import BOTH, READ, WRITE, Recordings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages.effects import SetVariables
from asterisk_avp.core.messages.facts import RecordingMuted
from asterisk_avp.core.model.features import ConsultRecording, Features
from asterisk_avp.core.model.world import Group
from asterisk_avp.service.inbox import Message
from asterisk_avp.service.recordings import RecordingWatch


def test_what_others_have_muted_is_not_ours() -> None:
    book = Recordings()
    assert book.not_muted_by_others("c") == BOTH
    for ours in (READ, WRITE, BOTH):
        book.mute_changed("c", ours, muted=True)
    assert book.not_muted_by_others("c") == BOTH
    book.mute_changed("c", "read", muted=True)
    assert book.not_muted_by_others("c") == WRITE
    assert book.not_muted_by_others("c", READ) == ""
    assert book.not_muted_by_others("d") == BOTH
    book.mute_changed("c", "Both", muted=True)
    assert book.not_muted_by_others("c") == ""
    book.mute_changed("c", "write", muted=False)
    assert book.not_muted_by_others("c") == WRITE
    book.retain(["c"])
    assert book.not_muted_by_others("c") == WRITE
    book.gone("c")
    assert book.not_muted_by_others("c") == BOTH
    book.mute_changed("c", "both", muted=True)
    book.retain(["d"])
    assert book.not_muted_by_others("c") == BOTH


@pytest.mark.parametrize("wanted", ConsultRecording)
def test_a_recording_that_others_have_muted_is_not_restarted(wanted: ConsultRecording) -> None:
    """The dialplan restarts it, so it is told; where nothing restarts there is nothing to tell."""
    told: list[str] = []

    def post(message: Message) -> None:
        assert isinstance(message, Outcome)
        for _, effect in message.effects:
            assert isinstance(effect, SetVariables)
            assert effect.channel == "c"
            told.append(effect.variables["AVP_RECORDING_MUTED"])

    group = Group("sales", "sales", "Sales", features=Features(consult_recording=wanted))
    world = SimpleNamespace(groups={"sales": group})
    engine = cast("TransferEngine", SimpleNamespace(world=world))
    watch = RecordingWatch(engine, Recordings(), cast("AmiReader", None), post)
    for direction, muted in (("both", True), ("read", False), (BOTH, True), ("write", False)):
        watch.handle(RecordingMuted("c", direction, muted=muted))
    expected = ["yes", "yes", "yes", ""]
    assert told == (expected if wanted is ConsultRecording.RESTART else [])
