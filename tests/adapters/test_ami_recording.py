"""Who muted a recording: the daemon or another program."""

from __future__ import annotations

from asterisk_avp.ami.recording import BOTH, READ, WRITE, Recordings


def test_what_others_have_muted_is_not_ours() -> None:
    book = Recordings()
    assert book.left_to_us("c") == BOTH
    for ours in (READ, WRITE, BOTH):
        book.told("c", ours, muted=True)
    assert book.left_to_us("c") == BOTH
    book.told("c", "read", muted=True)
    assert book.left_to_us("c") == WRITE
    assert book.left_to_us("c", READ) == ""
    assert book.left_to_us("d") == BOTH
    book.told("c", "Both", muted=True)
    assert book.left_to_us("c") == ""
    book.told("c", "write", muted=False)
    assert book.left_to_us("c") == WRITE
    book.only(["c"])
    assert book.left_to_us("c") == WRITE
    book.gone("c")
    assert book.left_to_us("c") == BOTH
    book.told("c", "both", muted=True)
    book.only(["d"])
    assert book.left_to_us("c") == BOTH
