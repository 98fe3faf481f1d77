"""Who muted a recording: the daemon or another program."""

from __future__ import annotations

from asterisk_avp.ami.recording import BOTH, READ, WRITE, Recordings


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
