"""What one channel writes on another one is not deleted before somebody has read it."""

from __future__ import annotations

from pathlib import Path

DIALPLAN = Path(__file__).resolve().parents[2] / "dialplan" / "asterisk_avp.conf"


def test_how_a_partner_has_ended_is_never_deleted() -> None:
    """The partner's handler writes it while the caller's channel looks for it.

    Deleted at any moment, a dead phone's cause could be lost, and the caller was hung up.
    tests/asterisk/test_partner_races.py runs every order of the two.
    """
    text = DIALPLAN.read_text(encoding="utf-8")
    assert "SET(AVP_ENDED=" in text
    assert "Set(AVP_ENDED=" not in text


def test_two_partners_of_the_same_second_are_two() -> None:
    """What has been read once is told by its text: texts of two channels differ."""
    lines = DIALPLAN.read_text(encoding="utf-8").splitlines()
    written = [line for line in lines if "SET(AVP_ENDED=" in line]
    assert written
    assert all("_${UNIQUEID})" in line for line in written)


def test_a_group_waits_once_for_all_its_trunks() -> None:
    """Each trunk that is cut would add to the caller's silence."""
    contexts = DIALPLAN.read_text(encoding="utf-8").split("\n[")
    begins = {text.split("]")[0] for text in contexts if "Set(AVP_LOOKS=6)" in text}
    assert begins == {"avp-node-pass"}
    (fork,) = (text for text in contexts if text.startswith("avp-node-fork]"))
    assert "Gosub(avp-node-reach" in fork
    assert "avp-node-pass" not in fork
    (reach,) = (text for text in contexts if text.startswith("avp-node-reach]"))
    assert "Set(AVP_LOOKS=$[${AVP_LOOKS} - 1])" in reach
