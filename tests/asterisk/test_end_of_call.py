"""The `h` of the administrator's context runs once at the end of a call, transferred or not.

Wherever the call ends: in a queue of ours, in Stasis, in a plain bridge without dialplan, after a
hang-up of either side, with and without the daemon.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from bed import Bed, backend_named, match, party

from tests.asterisk import transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]
THOROUGH = pytest.mark.thorough

DIALPLAN = """
[callers](+)
include => endings
exten => 820,1,Answer()
 same => n,Set(ORDER=4711)
 same => n,Queue(sales,i)
 same => n,Hangup()
exten => 821,1,Answer()
 same => n,Set(ORDER=4711)
 same => n,Set(AVP_AFTER=survey,s,1)
 same => n,Queue(sales,i)
 same => n,Hangup()
exten => 822,1,Goto(elsewhere,822,1)

[endings]
exten => h,1,NoOp()
 same => n,Set(ORDER=${ORDER} over)
 same => n,UserEvent(CallEnds,Order: ${ORDER},Id: ${UNIQUEID})

; A pattern that also catches h.
[elsewhere]
exten => _.,1,Answer()
 same => n,Gosub(subroutine,s,1)
 same => n,Queue(sales,i)
 same => n,Hangup()
exten => _[h],1,UserEvent(CallEnds,Order: 4711 over,Id: ${UNIQUEID})

[subroutine]
exten => s,1,Set(ORDER=4711)
 same => n,Return()
exten => h,1,UserEvent(CallEnds,Order: not this one)

[survey]
exten => s,1,Set(ORDER=1)
 same => n,Wait(0.1)
 same => n,Hangup()
exten => h,1,UserEvent(SurveyEnds,Order: ${ORDER})

[robot]
exten => s,1,Wait(30)
exten => h,1,UserEvent(RobotEnds)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    made = replace(transfer_button.world(), extensions=DIALPLAN, max_hold_seconds=6)
    returning = {"AVP_ENTERPRISE__MAX_HOLD_ACTION": "return"}
    made = replace(made, settings={**made.settings, **returning})
    async with Bed(made, backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: Bed) -> AsyncIterator[Scene]:
    if centre.daemon is None:
        await centre.start_daemon()
    async with open_scene(centre) as opened:
        yield opened
        if centre.daemon is None:
            await centre.start_daemon()


async def consulting(scene: Scene, agent: str, target: str) -> str:
    transfer = await scene.transfer(agent, "supervised", target)
    await scene.phone(target).answer()
    await scene.consulting(transfer, "caller1", agent, target)
    return transfer


async def cancelled(scene: Scene) -> str:
    transfer = await consulting(scene, "1001", "1002")
    await scene.cancel(transfer)
    return "1001"


async def completed(scene: Scene) -> str:
    transfer = await consulting(scene, "1001", "1002")
    await scene.complete(transfer)
    return "1002"


async def completed_and_again(scene: Scene) -> str:
    """From where AMI Bridge has left the caller."""
    await completed(scene)
    await scene.talking("caller1", "1002")
    await scene.has_call("1002")
    transfer = await consulting(scene, "1002", "1005")
    await scene.complete(transfer)
    return "1005"


async def unsupervised(scene: Scene) -> str:
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").answer(within=8)
    return "1002"


async def unsupervised_and_completed(scene: Scene) -> str:
    await unsupervised(scene)
    await scene.talking("caller1", "1002")
    await scene.has_call("1002")
    transfer = await consulting(scene, "1002", "1005")
    await scene.complete(transfer)
    return "1005"


async def to_a_group(scene: Scene) -> str:
    await scene.transfer("1001", "unsupervised", "support", "group")
    await scene.phone("1003").answer(within=8)
    return "1003"


async def back_after_the_longest_hold(scene: Scene) -> str:
    """Nobody answers; the caller returns to the transferor."""
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    await scene.phone("1001").answer(within=12)
    return "1001"


async def waiting(scene: Scene) -> str:
    """In the target's queue, in no bridge."""
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    return "1002"


async def swapped(scene: Scene) -> str:
    transfer = await consulting(scene, "1001", "1002")
    await scene.act(transfer, "swap")
    await scene.reaches(transfer, "swapped")
    return "1001"


async def conference(scene: Scene) -> str:
    transfer = await consulting(scene, "1001", "1002")
    await scene.act(transfer, "conference")
    await scene.reaches(transfer, "conference")
    await scene.hang_up("1001")
    return "1002"


async def refused_by_the_button(scene: Scene) -> str:
    """The phone's REFER is answered in Stasis. It hangs up, and another member gets the call."""
    await scene.phone("1001").transfer("1003")
    await scene.phone("1002").answer(within=8)
    return "1002"


async def nothing(_: Scene) -> str:
    return "1001"


How = Callable[[Scene], Awaitable[str]]


def ends(scene: Scene, kind: str = "CallEnds") -> list[tuple[str, str]]:
    """The channels that ran it, and a variable of theirs; not the other caller's."""
    events = scene.ami.seen(match("UserEvent", UserEvent=kind), scene.since)
    ran = [(party(event["Channel"]), event.get("Order", "")) for event in events]
    return [(name, order) for name, order in ran if name != "caller2"]


async def all_over(scene: Scene) -> None:
    """Wait until nothing is left that could run an `h`, and its events have come."""
    await scene.ami.assert_clean()
    await scene.ami.mark()  # an event may come after a list that is read later


async def ended_once(scene: Scene) -> None:
    """The `h` ran, once, on the caller's channel, with the call's own variables."""
    await all_over(scene)
    assert ends(scene) == [("caller1", "4711 over")]


@pytest.mark.parametrize("who", ["caller", "agent"])
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(nothing, marks=THOROUGH),
        cancelled,
        completed,
        pytest.param(completed_and_again, marks=THOROUGH),
        unsupervised,
        pytest.param(unsupervised_and_completed, marks=THOROUGH),
        pytest.param(to_a_group, marks=THOROUGH),
        pytest.param(back_after_the_longest_hold, marks=THOROUGH),
        pytest.param(swapped, marks=THOROUGH),
        pytest.param(conference, marks=THOROUGH),
        refused_by_the_button,
    ],
)
async def test_once(scene: Scene, how: How, who: str) -> None:
    await scene.call("caller1", "1001", number="820")
    last = await how(scene)
    await scene.talking("caller1", last)
    await scene.hang_up("caller1" if who == "caller" else last)
    if who == "agent" and how is swapped:
        last = "1002"  # who was waiting has the caller now
        await scene.talking("caller1", last)
        await scene.hang_up(last)
    await scene.gone("caller1", last)
    await ended_once(scene)


@pytest.mark.parametrize(
    "state",
    ["ringing", "consulting", "queued", pytest.param("in the group's queue", marks=THOROUGH)],
)
async def test_the_caller_does_not_wait_any_longer(scene: Scene, state: str) -> None:
    await scene.call("caller1", "1001", number="820")
    if state in ("ringing", "consulting"):
        transfer = await scene.transfer("1001", "supervised", "1002")
        if state == "consulting":
            await scene.phone("1002").answer()
        await scene.reaches(transfer, state)
    elif state == "queued":
        await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").ringing()
    else:
        await scene.transfer("1001", "unsupervised", "support", "group")
        await scene.phone("1003").ringing()
    await scene.hang_up("caller1")
    await scene.gone("caller1", "1001", "1002", "1003")
    await ended_once(scene)


@pytest.mark.parametrize(
    ("how", "who"),
    [
        (completed, "caller1"),
        pytest.param(completed, "1002", marks=THOROUGH),
        pytest.param(cancelled, "caller1", marks=THOROUGH),
        pytest.param(unsupervised, "1002", marks=THOROUGH),
        pytest.param(swapped, "caller1", marks=THOROUGH),
    ],
)
async def test_without_a_daemon(scene: Scene, how: How, who: str) -> None:
    await scene.call("caller1", "1001", number="820")
    last = await how(scene)
    await scene.talking("caller1", last)
    await scene.bed.stop_daemon(kill=True)
    await scene.hang_up(who)
    await scene.gone("caller1", last, within=12)
    await scene.bed.start_daemon()  # which removes the bridges of the one that was killed
    await ended_once(scene)


@pytest.mark.parametrize("who", ["1002", pytest.param("caller1", marks=THOROUGH)])
async def test_the_context_that_the_call_continues_in_has_its_own(scene: Scene, who: str) -> None:
    """AVP_AFTER: the call ends in that context, if it comes to it."""
    await scene.call("caller1", "1001", number="821")
    await completed(scene)
    await scene.talking("caller1", "1002")
    await scene.hang_up(who)
    await scene.gone("caller1", "1002")
    await all_over(scene)
    if who == "1002":
        assert (ends(scene), ends(scene, "SurveyEnds")) == ([], [("caller1", "1")])
    else:
        assert (ends(scene), ends(scene, "SurveyEnds")) == ([("caller1", "4711 over")], [])


@pytest.mark.thorough
@pytest.mark.parametrize("how", [completed, pytest.param(unsupervised, marks=THOROUGH)])
async def test_another_program_takes_the_caller(scene: Scene, how: How) -> None:
    """Its context has its own."""
    await scene.call("caller1", "1001", number="820")
    last = await how(scene)
    await scene.talking("caller1", last)
    caller = (await scene.ami.channel_of("caller1"))["Channel"]
    there = {"Context": "robot", "Exten": "s", "Priority": "1"}
    await scene.ami.action("Redirect", Channel=caller, **there)
    await scene.gone(last)
    await scene.hang_up("caller1")
    await all_over(scene)
    assert (ends(scene), ends(scene, "RobotEnds")) == ([], [("caller1", "")])


@pytest.mark.thorough
@pytest.mark.parametrize("how", [nothing, completed, unsupervised])
async def test_the_context_of_the_queue_counts(scene: Scene, how: How) -> None:
    """Not that of the call's first number, nor of a subroutine."""
    await scene.call("caller1", "1001", number="822")
    last = await how(scene)
    await scene.talking("caller1", last)
    await scene.hang_up("caller1")
    await scene.gone(last)
    await ended_once(scene)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "how",
    [waiting, *(pytest.param(x, marks=THOROUGH) for x in (completed, cancelled, unsupervised))],
)
async def test_another_program_bridges_the_caller(scene: Scene, how: How) -> None:
    """Where the bridge ends, no dialplan may be left to run it."""
    await scene.call("caller1", "1001", number="820")
    last = await how(scene)
    if how is not waiting:
        await scene.talking("caller1", last)
    await scene.call("caller2", "1003", group="support")
    channels = [(await scene.ami.channel_of(name))["Channel"] for name in ("caller1", "1003")]
    await scene.ami.action("Bridge", Channel1=channels[0], Channel2=channels[1], Tone="no")
    await scene.talking("caller1", "1003")
    await scene.gone(last)
    await scene.hang_up("caller1")
    await scene.gone("1003", "caller2")
    await ended_once(scene)
