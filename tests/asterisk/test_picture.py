"""The checks of the random histories: each fault is detected, and nothing else is."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bed import Call, Event
from bed.audio import RATE, Ear, Tones

from tests.asterisk.happenings import Happening
from tests.asterisk.histories import may_end
from tests.asterisk.picture import Line, Picture
from tests.asterisk.silence import Silences, in_calls
from tests.asterisk.sip_trace import sent_to_others
from tests.asterisk.withheld import SECRET, tells

T = "0123456789ab"
HOLD, CONSULT = f"avp-{T}-hold", f"avp-{T}-consult"
LOCAL = "Local/1002@avp-agent-queue-00000001"


def line(name: str, application: str, bridge: str = "", state: str = "Up", id_: str = "") -> Line:
    return Line(name, id_ or f"u-{name}", state, application, bridge)


def on_a_break_there(agent: str) -> list[Event]:
    """Only in their own queue."""
    group, own = member(agent)
    return [group, Event({**own, "Paused": "1"})]


def member(agent: str, status: str = "2", queue: str = "") -> list[Event]:
    """In the group's queue and the agent's own."""
    return [
        Event(
            {
                "Queue": name,
                "Name": agent,
                "Location": f"PJSIP/{agent}",
                "Status": status,
                "Paused": "0",
                "InCall": "0",
            }
        )
        for name in (queue or "sales", f"avp-agent-{agent}")
    ]


def waits(caller: str, position: int = 1) -> Event:
    return Event(
        {"Queue": "sales", "Channel": f"PJSIP/{caller}-00000001", "Position": str(position)}
    )


def transfer(state: str = "consulting", **more: Any) -> dict[str, Any]:
    target = state if state in {"waiting", "ringing"} else "talking"
    return {
        "id": T,
        "agent": "1001",
        "caller": "caller1",
        "state": state,
        "target": {"kind": "agent", "id": "1002"},
        "ended_reason": None,
        "parties": [
            {"id": "1001", "role": "transferor", "state": "talking"},
            {"id": "caller", "role": "caller", "state": "holding"},
            {"id": "1002", "role": "target", "state": target},
        ],
        **more,
    }


def heard(**phones: set[str]) -> dict[str, frozenset[str]]:
    return {
        name.removeprefix("a"): frozenset(w.removeprefix("a") for w in what)
        for name, what in phones.items()
    }


CONSULTATION = Picture(
    lines=(
        line("PJSIP/caller1-00000001", "Stasis", HOLD),
        line("PJSIP/1001-00000002", "Stasis", CONSULT),
        line(f"{LOCAL};1", "Stasis", CONSULT, id_=f"avp-{T}-leg"),
        line(f"{LOCAL};2", "Queue", "b1", id_=f"avp-{T}-leg-queue"),
        line("PJSIP/1002-00000003", "AppQueue", "b1"),
    ),
    members=(*member("1001"), *member("1002")),
    entries=(),
    transfers=(transfer(),),
    agents={name: {"state": "talking"} for name in ("1001", "1002")},
    details={"1001": {"call": None}, "1002": {"call": {"caller": "1001"}}},
    calls=dict.fromkeys(("caller1", "1001", "1002"), ("established",)),
    heard=heard(caller1={"music"}, a1001={"a1002"}, a1002={"a1001"}),
)
TALK = Picture(
    lines=(
        line("PJSIP/caller1-00000001", "Queue", "b"),
        line("PJSIP/1001-00000002", "AppQueue", "b"),
    ),
    members=tuple(member("1001")),
    entries=(),
    transfers=(),
    agents={"1001": {"state": "talking"}},
    details={"1001": {"call": {"caller": "caller1"}}},
    calls={"caller1": ("established",), "1001": ("established",)},
    heard=heard(caller1={"a1001"}, a1001={"caller1"}),
)
WAITS = Picture(
    lines=(line("PJSIP/caller1-00000001", "Queue"),),
    members=tuple(member("1001")),
    entries=(waits("caller1"),),
    transfers=(),
    agents={"1001": {"state": "talking"}},
    details={},
    calls={"caller1": ("established",), "1001": ()},
    heard=heard(caller1={"music"}),
)


def wrong(picture: Picture, *held: str) -> str:
    return "; ".join(picture.wrong({"caller1"}, set(held)))


def test_all_is_well() -> None:
    assert wrong(CONSULTATION) == wrong(TALK) == ""
    assert CONSULTATION.company("1001") == {"1002"}
    assert CONSULTATION.company("caller1") == set()


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (
            replace(CONSULTATION, heard=CONSULTATION.heard | heard(caller1=set())),
            "caller1 hears nothing",
        ),
        (
            replace(CONSULTATION, heard=CONSULTATION.heard | heard(caller1={"music", "a1002"})),
            "caller1 hears ['1002'], and is connected with []",
        ),
        (
            replace(CONSULTATION, heard=CONSULTATION.heard | heard(a1001={"music"})),
            "1001 hears ['music'], not ['1002']",
        ),
        (replace(CONSULTATION, transfers=()), f"PJSIP/caller1-00000001 is left with {HOLD}"),
        (
            replace(
                CONSULTATION,
                lines=(
                    replace(CONSULTATION.lines[0], bridge="b2", context="elsewhere"),
                    *CONSULTATION.lines[1:],
                ),
            ),
            f"transfer {T} runs, its call is elsewhere",
        ),
        (
            replace(CONSULTATION, transfers=(transfer("completing"),)),
            f"transfer {T} is still completing",
        ),
        (
            replace(CONSULTATION, transfers=(transfer(caller="caller2"),)),
            f"transfer {T}, consulting, without its caller",
        ),
        (
            replace(CONSULTATION, transfers=(transfer("ringing"), transfer("waiting"))),
            "2 transfers wait for 1002",
        ),
        (
            replace(TALK, agents={"1001": {"state": "available"}}),
            "1001 is talking and told to be available",
        ),
        (
            replace(TALK, details={"1001": {"call": {"caller": "caller2"}}}),
            "1001 talks with {'caller1'}, told to talk with caller2",
        ),
        (
            replace(TALK, members=tuple(on_a_break_there("1001"))),
            "1001's personal queue does not follow",
        ),
        (
            replace(TALK, lines=(*TALK.lines, line("PJSIP/caller2-00000009", "Stasis"))),
            "PJSIP/caller2-00000009 is in Stasis and in no bridge",
        ),
        (
            replace(
                WAITS, members=tuple(member("1001", "1")), agents={"1001": {"state": "available"}}
            ),
            "PJSIP/caller1-00000001 waits in sales while ['1001'] are free",
        ),
    ],
)
def test_what_is_wrong(picture: Picture, said: str) -> None:
    assert said in wrong(picture)


def test_whose_partner_has_just_left_has_not_come_to_rest() -> None:
    """Even if they have put the call on hold, and would not miss anything."""
    alone = (line("PJSIP/caller1-00000001", "Wait"),)
    left = replace(
        TALK,
        lines=alone,
        members=(),
        agents={},
        details={},
        calls={"caller1": ("established",)},
        heard=heard(caller1=set()),
    )
    assert wrong(left, "caller1") == "caller1 is between two places"


def test_who_logs_out_while_it_rings_is_rung_on() -> None:
    """app_queue does so, and offers the call to nobody else meanwhile."""
    rung = line("PJSIP/1002-00000009", "AppQueue", state="Ringing")
    free = replace(
        WAITS,
        members=tuple(member("1001", "1")),
        agents={"1001": {"state": "available"}, "1002": {"state": "offline"}},
    )
    assert "1001" in wrong(free)
    assert wrong(replace(free, lines=(*free.lines, rung))) == ""


@pytest.mark.parametrize(
    ("other", "said"),
    [
        # The transferor is not offered the call while another member may come.
        (member("1002"), ""),
        # Nobody else comes, and those behind would wait, too.
        ([Event({**each, "Paused": "1"}) for each in member("1002")], "caller1-00000001 waits in"),
        # Another is free as well, and then the next one is offered to the transferor.
        (member("1002", "1"), "caller1-00000001 waits in sales while ['1002'] are free"),
        (member("1002", "1"), "caller2-00000001 waits in sales while ['1001', '1002'] are free"),
    ],
)
def test_who_is_not_offered_their_own_call(other: list[Event], said: str) -> None:
    free = replace(
        WAITS,
        members=(*member("1001", "1"), *other),
        entries=(waits("caller1"), waits("caller2", 2)),
        agents={"1001": {"state": "available"}},
        excluded={"PJSIP/caller1-00000001": "1001"},
    )
    found = wrong(free)
    assert said in found
    assert bool(said) is bool(found), found


def test_a_local_channel_is_left_while_both_ends_hold() -> None:
    """No audio comes, with which Asterisk would optimise it away."""
    joined = replace(
        CONSULTATION,
        lines=(
            line("PJSIP/caller1-00000001", "Stasis", "b2"),
            line(f"{LOCAL};1", "Stasis", "b2", id_=f"avp-{T}-leg"),
            *CONSULTATION.lines[3:],
        ),
        members=tuple(member("1002")),
        transfers=(),
        agents={"1002": {"state": "talking"}},
        details={},
        calls=dict.fromkeys(("caller1", "1002"), ("established",)),
        heard=heard(caller1=set(), a1002=set()),
    )
    assert f"{LOCAL};1 is left with avp-{T}-leg" in wrong(joined, "1002")
    assert wrong(joined, "caller1", "1002") == ""


@pytest.mark.parametrize(
    ("holder", "heard_by", "said"),
    [
        ("1001", {"caller1": {"music"}, "a1001": set()}, ""),
        ("1001", {"caller1": {"music"}, "a1001": {"caller1"}}, ""),  # it does as it likes
        ("1001", {"caller1": set(), "a1001": set()}, "caller1 hears nothing"),
        ("1001", {"caller1": {"a1001"}}, "caller1 hears ['1001'], and is connected with ['1001']"),
        ("1001", {"caller1": {"ringback"}}, "caller1 hears ['ringback'], and ['1001'] hold"),
        ("caller1", {"caller1": set(), "a1001": {"music"}}, ""),
        ("caller1", {"caller1": set(), "a1001": set()}, ""),  # Asterisk connected them
        ("", {"caller1": {"music", "a1001"}}, "caller1 hears ['1001', 'music'], not ['1001']"),
    ],
)
def test_who_talks_to_a_phone_on_hold(
    holder: str, heard_by: dict[str, set[str]], said: str
) -> None:
    found = wrong(replace(TALK, heard=TALK.heard | heard(**heard_by)), *filter(None, [holder]))
    assert said in found
    assert bool(said) is bool(found), found


def test_the_others_of_a_conference_hear_each_other() -> None:
    three = replace(
        TALK,
        lines=(*TALK.lines, line("PJSIP/pstn-00000003", "Stasis", "b")),
        calls=dict.fromkeys(("caller1", "1001", "pstn"), ("established",)),
        heard=heard(caller1={"pstn"}, pstn={"caller1"}, a1001=set()),
    )
    assert wrong(three, "1001") == ""
    assert "caller1 hears ['pstn'], not ['1001', 'pstn']" in wrong(three)


@pytest.mark.parametrize(
    ("something", "does"),
    [
        ({"caller": SECRET}, True),
        (f"<sip:{SECRET.removeprefix('+')}@127.0.0.1>", True),
        ([{"pop": {"phone": "(202) 555-0177"}}], True),
        ("Secret Person", True),
        ({"caller": None, "caller_withheld": True, "number": "+12025550199"}, False),
    ],
)
def test_what_tells_a_number(something: object, does: bool) -> None:
    assert tells(something) is does


def test_what_asterisk_sends_to_others() -> None:
    log = (
        "<--- Transmitting SIP request (9 bytes) to UDP:127.0.0.1:{} --->\r\n"
        "INVITE sip:a\r\nFrom: b\r\n\r\nbody\r\n"
        "<--- Received SIP request (9 bytes) from UDP:127.0.0.1:{} --->\r\nBYE sip:a\r\n\r\n"
        "<--- Transmitting SIP response (9 bytes) to UDP:127.0.0.1:{} --->\r\nSIP/2.0 200\r\n\r\n"
    )
    invite, ok = "INVITE sip:a\nFrom: b\n", "SIP/2.0 200\n"
    assert sent_to_others(log.format(1, 3, 2), 3) == [invite, ok]
    assert sent_to_others(log.format(3, 1, 1), 3) == [ok]


def hears(*sounds: tuple[float, float]) -> Ear:
    """A phone that has heard a tone in these seconds, from 1,000 on, and silence until 1,020."""
    ear = Ear(Path("nowhere"), range(0), Tones({}))
    ear.tapped = True
    tone = array("h", [6000, -6000])
    for i in range(20 * 50):
        at, end = i / 50, (i + 1) / 50
        loud = any(first <= at < last for first, last in sounds)
        if loud or i % 2:  # in silence, packets come, or do not
            ear.take(1, 1, tone * (RATE // 100) if loud else array("h", bytes(320)), 1000 + end)
    return ear


def test_silence_is_measured() -> None:
    (span,) = hears((0, 2), (14, 20)).silences(1000, 1019.9)
    assert span == pytest.approx((1002, 1014), abs=0.09)
    assert hears((0, 20)).silences(1000, 1019.9) == []
    assert len(hears((0, 2), (8, 8.06), (14, 20)).silences(1000, 1019.9)) == 1, "a click is none"
    assert len(hears((0, 2), (8, 8.3), (14, 20)).silences(1000, 1019.9)) == 2
    (span,) = hears().silences(1000, 1019.9)
    assert span == pytest.approx((1000, 1019.9), abs=0.09)


def test_silence_is_too_long_without_a_reason() -> None:
    silences = Silences(10)
    assert silences.of("1001", [(1000, 1009), (1020, 1031)]) == [(1020, 1031)]
    silences.excuse([], 1021)
    silences.excuse(["1001"], 1022)
    silences.excuse(["1001"], 1023)
    silences.excuse([], 1025)
    assert silences.of("1001", [(1020, 1031)]) == []
    assert silences.of("1002", [(1020, 1031)]) == [(1020, 1031)]
    assert silences.of("1001", [(1005, 1036)]) == [(1005, 1021), (1025, 1036)]
    assert silences.longest == 16


def test_only_a_call_can_be_silent() -> None:
    calls = [
        Call("1", "", False, "outgoing", 1000),
        Call("2", "", False, "closed", 1000, ended=1002),
        Call("3", "", False, "closed", 1003, answered=1004, ended=1006),
        Call("4", "", False, "established", 1007, answered=1008),
    ]
    assert [*in_calls(calls, 1005, 1012)] == [(1005, 1006), (1008, 1012)]


def hangs_up(*names: str) -> list[Happening]:
    return [Happening("", lambda: None, frozenset({name})) for name in names]  # type: ignore[arg-type, return-value]


def test_whose_call_may_end() -> None:
    assert may_end("caller1", TALK, hangs_up("caller1"), set())
    assert may_end("caller1", TALK, hangs_up("1001"), set())
    assert not may_end("caller1", TALK, (), set())
    assert not may_end("caller1", TALK, hangs_up("1002"), set())
    assert not may_end("caller1", CONSULTATION, hangs_up("1001", "1002"), set())
    assert not may_end("caller1", WAITS, hangs_up("1001"), set())
    assert may_end("caller1", WAITS, (), {"caller1"})
