"""The checks of the random histories: each fault is detected, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bed import Event

from tests.asterisk.happenings import Happening
from tests.asterisk.histories import may_end
from tests.asterisk.picture import Line, Picture

T = "0123456789ab"
HOLD, CONSULT = f"avp-{T}-hold", f"avp-{T}-consult"
LOCAL = "Local/1002@avp-agent-queue-00000001"


def line(name: str, application: str, bridge: str = "", state: str = "Up", id_: str = "") -> Line:
    return Line(name, id_ or f"u-{name}", state, application, bridge)


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


def transfer(state: str = "consulting", **more: Any) -> dict[str, Any]:
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
            {"id": "1002", "role": "target", "state": "talking"},
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
    entries=(Event({"Queue": "sales", "Channel": "PJSIP/caller1-00000001"}),),
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
        (replace(TALK, members=tuple(member("1001")[:1])), "1001's personal queue does not follow"),
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


def test_what_a_phone_on_hold_hears_is_its_own_doing() -> None:
    assert wrong(replace(TALK, heard=heard(caller1={"music"}, a1001=set())), "1001") == ""


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
