"""The phone's own hold key during a transfer: nobody is in silence, and no music stays."""

from __future__ import annotations

import pytest

from tests.asterisk.scene import Scene
from tests.asterisk.test_conference import conference, consult_of_three, four, states, swapped

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]


async def hold(scene: Scene, transfer: str, name: str) -> None:
    """The phone's key is pressed, and the API says so of its party."""
    await scene.phone(name).hold_quietly()
    await told(scene, transfer, name, on_hold=True)


async def told(scene: Scene, transfer: str, name: str, *, on_hold: bool) -> None:
    party = {"caller1": "caller", "pstn": "party-4"}.get(name, name)

    async def look() -> bool | None:
        return ((await states(scene, transfer))[party] == "on_hold") is on_hold or None

    assert await scene.ami.until(look, 3.0), await states(scene, transfer)


async def resume(scene: Scene, transfer: str, name: str) -> None:
    await scene.phone(name).resume()
    await told(scene, transfer, name, on_hold=False)


async def hear(scene: Scene, **heard: set[str]) -> None:
    """By the name of the phone, after an underscore. Steady, so that no music is left."""
    for name, what in heard.items():
        await scene.phone(name.removeprefix("_")).hearing(what, steady=0.8)


async def test_a_conference_with_a_target_on_hold(scene: Scene) -> None:
    """Once transferor and caller heard music while they talked, and it never ended."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await hold(scene, transfer, "1002")
    await hear(scene, _1001={"music"}, _1002=set(), caller1={"music"})
    assert (await scene.agent("1002"))["call"]["on_hold"] is True
    await scene.act(transfer, "conference")
    await hear(scene, _1001={"caller1"}, caller1={"1001"}, _1002=set())
    await hold(scene, transfer, "1001")  # only the caller is left
    await hear(scene, caller1={"music"})
    await resume(scene, transfer, "1001")
    await hear(scene, _1001={"caller1"}, caller1={"1001"})
    await resume(scene, transfer, "1002")
    await scene.hear_one_another("caller1", "1001", "1002")


@pytest.mark.thorough
async def test_the_agent_swaps_while_on_hold(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await hold(scene, transfer, "1001")
    for action in ("swap", "swap", "swap"):
        await scene.act(transfer, action)
        await hear(scene, caller1={"music"}, _1002={"music"})
    await resume(scene, transfer, "1001")
    await scene.hear_one_another("caller1", "1001")
    await scene.on_music("1002")


async def test_completed_to_a_target_on_hold(scene: Scene) -> None:
    """The caller hears music until the target resumes, in Asterisk's own bridge."""
    transfer = await scene.consult("caller1", "1001", "1002")
    await hold(scene, transfer, "1002")
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.plain("caller1", "1002")
    await hear(scene, caller1={"music"})
    assert (await scene.agent("1002"))["call"]["on_hold"] is True
    await scene.phone("1002").resume()
    await scene.hear_one_another("caller1", "1002")
    await hear(scene, caller1={"1002"}, _1002={"caller1"})


@pytest.mark.thorough  # once in 17 runs the caller went on hearing music: not explained yet
async def test_the_call_was_on_hold_before_its_transfer(scene: Scene) -> None:
    """As most agents do it: hold, and then the panel's button."""
    await scene.call("caller1", "1001")
    await scene.phone("1001").hold()
    await hear(scene, caller1={"music"})
    transfer = await scene.transfer("1001", "supervised", "1002")
    await told(scene, transfer, "1001", on_hold=True)
    await scene.phone("1002").answer()
    await scene.reaches(transfer, "consulting")
    await hear(scene, caller1={"music"}, _1002={"music"})
    await scene.cancel(transfer)
    await scene.ends(transfer, "cancelled", "cancelled")
    await hear(scene, caller1={"music"})
    await scene.phone("1001").resume()
    await scene.talking("caller1", "1001")


@pytest.mark.thorough
async def test_a_new_daemon_knows_who_is_on_hold(scene: Scene) -> None:
    transfer = await scene.consult("caller1", "1001", "1002")
    await hold(scene, transfer, "1002")
    await scene.bed.stop_daemon(kill=True)
    try:
        await scene.phone("1001").hold()  # which no event will tell
        await scene.phone("1002").resume()
    finally:
        await scene.bed.start_daemon()
    await told(scene, transfer, "1001", on_hold=True)
    await told(scene, transfer, "1002", on_hold=False)
    await hear(scene, _1002={"music"}, caller1={"music"})
    await scene.act(transfer, "conference")
    await hear(scene, _1002={"caller1"}, caller1={"1002"})
    await resume(scene, transfer, "1001")
    await scene.hear_one_another("caller1", "1001", "1002")


@pytest.mark.parametrize(
    ("holder", "leaves", "hears"),
    [
        ("1001", "1002", "caller1"),  # the caller is back with the transferor
        pytest.param("caller1", "1002", "1001", marks=pytest.mark.thorough),
        pytest.param("1002", "1001", "caller1", marks=pytest.mark.thorough),  # with the target
    ],
)
async def test_a_new_daemon_brings_somebody_together_with_a_phone_on_hold(
    scene: Scene, holder: str, leaves: str, hears: str
) -> None:
    """Neither of the two has been told by an event; at the end nobody is in silence."""
    await scene.consult("caller1", "1001", "1002")
    await scene.bed.stop_daemon(kill=True)
    try:
        await scene.phone(holder).hold()
        await scene.hang_up(leaves)
    finally:
        await scene.bed.start_daemon()
    await scene.plain(holder, hears)
    await hear(scene, **{f"_{hears}": {"music"}})
    await scene.hang_up(hears)
    await scene.gone(holder)


PHONES = {"transferor": "1001", "caller": "caller1", "target": "1002", "fourth": "pstn"}


async def as_told(scene: Scene, transfer: str, holder: str = "") -> None:
    """All hear what the API says; after the end, whoever is left hears the other, or music.

    A phone on hold may play what comes, or not: baresip does after Asterisk's next re-INVITE.
    """
    body = (await scene.api("GET", f"/v1/transfers/{transfer}")).body
    if body["ended_reason"] is None:
        phones = PHONES | {p["role"]: "pstn" for p in body["parties"] if p["id"] == "party-4"}
        expected = {
            phones[party["role"]]: {phones.get(what, what) for what in party["hears"]}
            for party in body["parties"]
            if party["state"] not in ("on_hold", "gone")
        }
    else:
        one, other = (name for name in PHONES.values() if scene.phone(name).live)
        expected = {
            name: {"music"} if partner == holder else {partner}
            for name, partner in ((one, other), (other, one))
            if name != holder
        }
    for name, heard in expected.items():
        await scene.phone(name).hearing(heard, within=5.0, steady=0.8)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("begin", "who", "action", "after"),
    [
        ("consult", "1002", "swap", "swapped"),
        ("consult", "1002", "cancel", "cancelled"),
        ("consult", "1001", "cancel", "cancelled"),
        ("consult", "1001", "conference", "conference"),
        ("consult", "caller1", "cancel", "cancelled"),
        ("consult", "caller1", "conference", "conference"),
        ("consult", "caller1", "swap", "swapped"),
        ("swapped", "caller1", "swap", "consulting"),
        ("swapped", "caller1", "conference", "conference"),
        ("swapped", "1001", "cancel", "cancelled"),
        ("swapped", "1001", "complete", "completed"),
        ("swapped", "1002", "swap", "consulting"),
        ("swapped", "1002", "complete", "completed"),
        ("conference", "1002", "complete", "completed"),
        ("conference", "1002", "cancel", "cancelled"),
        ("conference", "1001", "complete", "completed"),
        ("four", "1002", "complete", "conference"),
        ("three", "1002", "conference", "conference"),
        ("three", "1001", "swap", "swapped"),
        ("three", "pstn", "1002 hangs up", "consulting"),
        ("four", "1001", "1002 hangs up", "conference"),
    ],
)
async def test_moved_while_on_hold(
    scene: Scene, begin: str, who: str, action: str, after: str
) -> None:
    transfer = await BEGINNINGS[begin](scene)
    await hold(scene, transfer, who)
    if action.endswith("hangs up"):
        await scene.hang_up("1002")
    else:
        await scene.act(transfer, action)
    await scene.reaches(transfer, after)
    await as_told(scene, transfer, who)
    if scene.phone(who).live:
        await scene.phone(who).resume()
        await as_told(scene, transfer)


async def consult(scene: Scene) -> str:
    return await scene.consult("caller1", "1001", "1002")


BEGINNINGS = {
    "consult": consult,
    "swapped": swapped,
    "conference": conference,
    "four": four,
    "three": consult_of_three,
}
