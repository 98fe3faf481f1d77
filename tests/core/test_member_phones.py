"""The phones of members that are not phones themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from asterisk_avp.core.model.world import ConfiguredAgent
from asterisk_avp.core.pbx.member_phones import PhoneIndex, PhoneSearch, is_phone, place_of

FREEPBX = {
    "HINT(1001@ext-local)": "PJSIP/1001&Custom:DND1001,CustomPresence:1001",
    "DB(AMPUSER/1001/device)": "1001&2001",
    "DB(DEVICE/1001/dial)": "PJSIP/1001",
    "DB(DEVICE/1001/user)": "1001",
    "DB(DEVICE/2001/dial)": "SIP/2001",
    "DB(DEVICE/2001/user)": "1001",
}
LOCAL = "Local/1001@from-queue/n"


def found(
    interface: str, state_interface: str, asterisk: Mapping[str, str]
) -> tuple[tuple[str, ...], list[str]]:
    """The phones, and what Asterisk was asked."""
    search, asked = PhoneSearch(interface, state_interface), []
    for _ in range(2):
        asked += search.questions()
        search.learn(asterisk)
    assert search.questions() == ()
    return search.phones(), asked


@pytest.mark.parametrize(
    ("interface", "state_interface", "asterisk", "phones"),
    [
        ("PJSIP/1001", "", FREEPBX, ("PJSIP/1001",)),
        ("PJSIP/1001", "hint:1001@ext-local", FREEPBX, ("PJSIP/1001",)),
        (LOCAL, "PJSIP/1001", {}, ("PJSIP/1001",)),
        (LOCAL, "hint:1001@ext-local", FREEPBX, ("PJSIP/1001", "SIP/2001")),
        (LOCAL, "", FREEPBX, ("PJSIP/1001", "SIP/2001")),
        ("Local/1001@agents/n", "", {"HINT(1001@agents)": "IAX2/desk"}, ("IAX2/desk",)),
        (LOCAL, "hint:1001@ext-local", {}, ()),
        (LOCAL, "Custom:queue1001", {}, ()),
        # The user is 1001, and their phone has another number.
        (
            LOCAL,
            "hint:1001@ext-local",
            {
                "HINT(1001@ext-local)": "PJSIP/99&PJSIP/98",
                "DB(AMPUSER/1001/device)": "99&98",
                "DB(DEVICE/99/dial)": "PJSIP/99",
                "DB(DEVICE/98/dial)": "PJSIP/98",
            },
            ("PJSIP/99", "PJSIP/98"),
        ),
        # A device that somebody else has logged in on since.
        (
            LOCAL,
            "",
            {
                "DB(AMPUSER/1001/device)": "99",
                "DB(DEVICE/99/dial)": "PJSIP/99",
                "DB(DEVICE/99/user)": "1002",
            },
            (),
        ),
    ],
)
def test_phones(
    interface: str, state_interface: str, asterisk: Mapping[str, str], phones: tuple[str, ...]
) -> None:
    assert found(interface, state_interface, asterisk)[0] == phones


def test_a_phone_needs_no_question() -> None:
    assert found("PJSIP/1001", "hint:1001@ext-local", FREEPBX)[1] == []


def test_what_is_asked() -> None:
    _, asked = found(LOCAL, "hint:1001@ext-local", FREEPBX)
    assert set(asked) == {*FREEPBX, "HINT(1001@from-queue)"}
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    "text",
    ["1001)@ext", "1001@ext)&${X}", "1&2@ext", "1001@ext,x", "", "1001", "@", "a@b@c"],
)
def test_nothing_else_is_put_into_a_function(text: str) -> None:
    search = PhoneSearch(f"Local/{text}/n", f"hint:{text}")
    assert all("(" not in q[5:] and ")" not in q[:-1] for q in search.questions())
    assert all("$" not in q and "," not in q and "&" not in q for q in search.questions())


def test_devices_are_clean_and_not_too_many() -> None:
    listed = "&".join([*(str(n) for n in range(100)), "x)(y"])
    search = PhoneSearch(LOCAL, "")
    search.learn({"DB(AMPUSER/1001/device)": "x)&" + listed})
    assert len(search.questions()) == 2 * 16
    assert not any("x" in q for q in search.questions())


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        ("PJSIP/1001", True),
        ("SIP/ann-b", True),
        ("Local/1001@agents", False),
        ("Local/1001", False),
        ("Custom:DND1001", False),
        ("PJSIP/1001/sip:x@y", False),
        ("PJSIP/a b", False),
        ("", False),
    ],
)
def test_is_phone(interface: str, expected: bool) -> None:
    assert is_phone(interface) is expected


def test_place() -> None:
    assert place_of(LOCAL) == "1001@from-queue"
    assert place_of("local/1001@from-queue") == "1001@from-queue"
    assert place_of("PJSIP/1001") == ""


def test_whose_phone_it_is() -> None:
    index = PhoneIndex()
    index.configure([ConfiguredAgent("1003", interface="Local/x@y/n", phones=("PJSIP/3",))])
    index.member("PJSIP/1001", "1001")
    assert index.found("1002", ("PJSIP/99", "PJSIP/98"))
    assert not index.found("1002", ("PJSIP/99", "PJSIP/98"))
    known = ("Local/x@y", "PJSIP/3", "PJSIP/1001", "PJSIP/99", "PJSIP/5")
    assert [index.agent_of(x) for x in known] == ["1003", "1003", "1001", "1002", ""]
    assert index.found("1001", ("PJSIP/98", "PJSIP/3"))
    assert index.agent_of("PJSIP/98") == "1001"
    assert index.agent_of("PJSIP/3") == "1003", "the administrator's word counts first"
    # The other one logs out of it later than the new one was seen on it.
    assert index.found("1002", ("PJSIP/99",))
    assert index.agent_of("PJSIP/98") == "1001"
    assert index.interfaces_of("1002") == {"PJSIP/99"}
    assert index.interfaces_of("1003") == {"Local/x@y/n", "PJSIP/3"}
    assert index.found("1002", ())
    assert index.agent_of("PJSIP/99") == ""
