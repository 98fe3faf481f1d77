"""Several transfers of one agent on real calls, and what becomes of callers who were handed over.

The bar has the controls of the call that is shown, whoever began its transfer; every other transfer
is a strip. Neither offers what the core would refuse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from bed import Bed, backend_named
from playwright.async_api import Locator, expect

from tests.asterisk import guard, transfer_button
from tests.asterisk.conftest import open_scene
from tests.asterisk.scene import Scene
from tests.asterisk.transfer_button import press
from tests.panel.agent_page import AgentPage

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OpenPanel = Callable[..., Awaitable[AgentPage]]
ALICE, BOB, ERIN, CAROL, DAVE = "1001", "1002", "1005", "1003", "1004"

INBOUND = """
[callers](+)
exten => _2X.,1,Set(AVP_MAX_HOLD=2)
 same => n,Goto(4${EXTEN:1},1)
exten => _4X.,1,Set(CALLERID(name)=Joan Sample)
 same => n,Set(CALLERID(num)=+12025550143)
 same => n,Goto(${EXTEN:1},1)
"""
"""Whoever dials 4800 is Joan Sample in sales; with 2800, she waits for nobody longer than 2 s."""
JOAN, NUMBER = "Joan Sample", "(202) 555-0143"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    """Sales has Alice, Bob and Erin; support has Carol and Dave."""
    world = replace(
        transfer_button.world(),
        members="dynamic",
        max_hold_seconds=60,
        extensions=INBOUND,
        settings={
            "AVP_SESSION__RING_SECONDS": "15",
            "AVP_GROUPS__SALES__EMPTY_GROUP_SECONDS": "1",
        },
    )
    async with Bed(world, backend=backend_named(None)) as started:
        await guard.start_daemon(started)
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(office) as opened:
        yield opened


# --- page and API agree --------------------------------------------------------------------------

SHOWN = """() => {
    const does = (one) => [...one.querySelectorAll("[data-do=command]:enabled")]
        .map((button) => button.dataset.value).sort();
    const running = document.querySelector("#running");
    return {
        bar: running && [running.dataset.transfer, does(running)],
        strips: [...document.querySelectorAll(".strip[data-key^=other-]")]
            .map((one) => [one.dataset.key.slice("other-".length), does(one)]).sort(),
    };
}"""
IN_THE_BAR = ("complete", "swap", "conference", "cancel")
IN_A_STRIP = ("complete", "cancel")


async def agrees(alice: AgentPage, scene: Scene) -> dict[str, Any]:
    """Wait until bar and strips show Alice's transfers with what the API allows now; what is shown.

    The bar has the transfer of her call.
    """

    async def wanted() -> dict[str, Any]:
        call = (await scene.agent(ALICE))["call"]
        shown = call["transfer"]["id"] if call and call["transfer"] else None
        mine = [
            one
            for one in (await scene.api("GET", f"/v1/transfers?agent={ALICE}")).body
            if one["agent"] == ALICE and one["ended_reason"] is None
        ]

        def does(one: dict[str, Any], of: tuple[str, ...]) -> list[str]:
            return sorted(what for what in of if what in one["actions"])

        bar = [[one["id"], does(one, IN_THE_BAR)] for one in mine if one["id"] == shown]
        strips = [[one["id"], does(one, IN_A_STRIP)] for one in mine if one["id"] != shown]
        return {"bar": bar[0] if bar else None, "strips": sorted(strips)}

    seen: list[Any] = []

    async def look() -> dict[str, Any] | None:
        before, shown, after = await wanted(), await alice.page.evaluate(SHOWN), await wanted()
        seen[:] = [shown, after]
        return shown if before == shown == after else None

    found = await scene.ami.until(look, 8.0)
    assert found is not None, f"page, API: {seen}"
    return found


def strip_of(alice: AgentPage, caller: str) -> Locator:
    return alice.strips.filter(has_text=caller)


async def handed_over(scene: Scene, open_panel: OpenPanel) -> AgentPage:
    """Alice has sent caller1 to Bob, who talks to caller2, and has caller3 now."""
    alice = await signed_in(scene, open_panel)
    await scene.call("caller1", ALICE)
    await scene.call("caller2", BOB)
    await alice.choose("agent", BOB)
    await alice.button("Transfer").click()
    await expect(strip_of(alice, "caller1")).to_contain_text("to Bob")
    await scene.agent_is(ALICE, "available")
    await scene.call("caller3", ALICE)
    await expect(alice.call).to_contain_text("caller3")
    shown = await agrees(alice, scene)
    assert shown["bar"] is None
    ((_, does),) = shown["strips"]
    assert does == []
    return alice


async def test_a_transfer_begun_by_keys_or_the_api_is_in_the_bar(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """While another one waits as a strip; and the page can take it back and complete it."""
    alice = await handed_over(scene, open_panel)
    await scene.press(ALICE, "*7")
    await expect(alice.running).to_contain_text("the target that you key in")
    await alice.party("caller3", "hears music")
    shown = await agrees(alice, scene)
    assert shown["bar"][1] == ["cancel"]
    await scene.press(ALICE, f"{ERIN}#")
    await scene.phone(ERIN).ringing()
    await expect(alice.running).to_contain_text("Calling Erin")
    await alice.party("You", "hear ringing")
    await agrees(alice, scene)
    await scene.phone(ERIN).answer()
    await alice.party("You", "hear Erin")
    shown = await agrees(alice, scene)
    assert shown["bar"][1] == sorted(IN_THE_BAR)
    await alice.button("Back to the caller").click()
    await scene.talking("caller3", ALICE)
    await expect(alice.running).to_have_count(0)
    await expect(strip_of(alice, "caller1")).to_be_visible()
    await scene.agent_is(ERIN, "available")
    await scene.transfer(ALICE, "supervised", ERIN)
    await scene.phone(ERIN).answer()
    await alice.party("You", "hear Erin")
    await alice.button("To the caller").click()
    await alice.party("You", "hear caller3")
    await scene.hear_one_another("caller3", ALICE)
    await agrees(alice, scene)
    await alice.button("Complete").click()
    await scene.talking("caller3", ERIN)
    await expect(alice.call).to_contain_text("No call")
    shown = await agrees(alice, scene)
    assert len(shown["strips"]) == 1
    await scene.hang_up("caller1")  # who waits is lost to nobody
    await expect(alice.strips).to_have_count(0)
    await expect(alice.history).to_contain_text("Caller hung up")
    await expect(lost(alice)).to_have_count(0)
    assert alice.console_errors == []


@pytest.mark.thorough
async def test_a_transfer_by_the_phones_button_is_a_second_strip(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """Blind; then attended, while the target's phone still rings."""
    alice = await handed_over(scene, open_panel)
    await press(scene, ALICE, ERIN)
    await scene.gone(ALICE)
    await expect(strip_of(alice, "caller3")).to_contain_text("to Erin")
    shown = await agrees(alice, scene)
    assert (shown["bar"], [does for _, does in shown["strips"]]) == (None, [[], []])
    await scene.phone(ERIN).answer()
    await scene.talking("caller3", ERIN)
    await expect(strip_of(alice, "caller3")).to_have_count(0)
    await scene.hang_up("caller3")
    for agent in (ALICE, ERIN):
        await scene.agent_is(agent, "available")
    await scene.call("caller4", ALICE)
    phone = scene.phone(ALICE)
    first = phone.call
    await phone.hold(first)
    await scene.on_music("caller4")
    second = await phone.dial(ERIN)
    await scene.phone(ERIN).ringing()
    await agrees(alice, scene)
    await scene.bed.attended_transfer(phone, first, second)
    await scene.gone(ALICE)
    await expect(strip_of(alice, "caller4")).to_contain_text("to Erin")
    await agrees(alice, scene)
    await scene.rung_again(ERIN)
    await scene.talking("caller4", ERIN)
    await expect(strip_of(alice, "caller4")).to_have_count(0)
    await expect(strip_of(alice, "caller1")).to_be_visible()
    shown = await agrees(alice, scene)
    assert len(shown["strips"]) == 1
    assert alice.console_errors == []


@pytest.mark.thorough
async def test_the_strip_of_a_call_that_is_not_shown_has_its_buttons(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """Alice consults Bob about one call, and a second one comes on her phone."""
    alice = await signed_in(scene, open_panel)
    transfer = await scene.consult("caller1", ALICE, BOB)
    await alice.party("You", "hear Bob")
    await scene.phone("caller2").dial(ALICE)
    await scene.phone(ALICE).answer()
    choice = alice.page.locator("input[name=call]")
    await expect(choice).to_have_count(2)
    await agrees(alice, scene)
    await alice.page.locator("fieldset.calls label", has_text="caller2").click()
    await expect(alice.call.locator(".caller")).to_contain_text("caller2")
    await expect(alice.running).to_have_count(0)
    strip = strip_of(alice, "caller1")
    actions = (await scene.reaches(transfer, "consulting"))["actions"]
    for what, name in (("complete", "Complete"), ("cancel", "Take back")):
        await expect(strip.get_by_role("button", name=name)).to_have_count(int(what in actions))
    await strip.get_by_role("button", name="Complete").click()
    await scene.ends(transfer, "completed", "completed")
    await scene.hear_one_another("caller1", BOB)
    await scene.hear_one_another("caller2", ALICE)
    await expect(alice.strips).to_have_count(0)
    await expect(alice.call).to_contain_text("caller2")
    assert alice.console_errors == []


# --- callers who were lost -----------------------------------------------------------------------


def lost(alice: AgentPage) -> Locator:
    return alice.page.get_by_role("alert", name="A caller whom you transferred")


async def signed_in(scene: Scene, open_panel: OpenPanel) -> AgentPage:
    """Alice's page, from which she has dismissed the notices of the tests before."""
    alice = await open_panel(scene.bed.url, ALICE)
    past = (await scene.api("GET", f"/v1/agents/{ALICE}/transfers")).body
    for one in past:
        await expect(alice.page.locator(f"[data-key=past-{one['id']}]")).to_have_count(1)
    while left := await lost(alice).count():
        await lost(alice).first.get_by_role("button", name="Dismiss").click()
        await expect(lost(alice)).to_have_count(left - 1)
    return alice


async def told(alice: AgentPage, what: str, *, call_back: bool = True) -> None:
    """In red, and nothing else."""
    await expect(lost(alice)).to_contain_text(what)
    await expect(lost(alice).get_by_text(f"Call back: {NUMBER}")).to_have_count(int(call_back))


async def waits_in_vain(scene: Scene, open_panel: OpenPanel, *, busy: bool = True) -> AgentPage:
    """Alice has sent Joan, who waits for 2 s, to Bob, who talks or refuses."""
    alice = await signed_in(scene, open_panel)
    await alice.alert_by("Title", "Icon")
    await scene.call("caller1", ALICE, number="2800")
    if busy:
        await scene.call("caller2", BOB)
    await alice.choose("agent", BOB)
    await alice.button("Transfer").click()
    await scene.gone(ALICE)
    return alice


@pytest.mark.thorough
async def test_a_caller_who_was_disconnected(scene: Scene, open_panel: OpenPanel) -> None:
    """Said in red until it is dismissed: after a reload, and beside the next call."""
    alice = await waits_in_vain(scene, open_panel)
    said = f"{JOAN} was disconnected: Bob did not take the call in time."
    await told(alice, said)
    await alice.alerts("lost")
    await expect(alice.call).to_contain_text("No call")
    await scene.gone("caller1", within=8)
    await alice.page.reload()
    await alice.live()
    await told(alice, said)
    await scene.call("caller3", ALICE)
    await expect(alice.call).to_contain_text("caller3")
    await told(alice, said)
    await alice.alerts("lost")
    await lost(alice).get_by_role("button", name="Dismiss").click()
    await expect(lost(alice)).to_have_count(0)
    await alice.alerts("")
    await alice.page.reload()
    await alice.live()
    await expect(alice.history).to_contain_text("Not completed: waited too long")
    await expect(lost(alice)).to_have_count(0)
    assert alice.console_errors == []


@pytest.mark.thorough
async def test_a_target_who_refuses_until_it_is_too_late(
    scene: Scene, open_panel: OpenPanel
) -> None:
    await scene.phone(BOB).do_not_disturb()
    try:
        alice = await waits_in_vain(scene, open_panel, busy=False)
        await told(alice, f"{JOAN} was disconnected: Bob did not take the call in time.")
    finally:
        await scene.phone(BOB).do_not_disturb(False)


async def test_a_caller_who_comes_back(scene: Scene, open_panel: OpenPanel) -> None:
    async with guard.settings(scene.bed, 'groups.sales.max_hold_action = "return"'):
        alice = await waits_in_vain(scene, open_panel)
        await told(alice, f"{JOAN} comes back to you: Bob did not take the call.", call_back=False)
        await scene.phone(ALICE).answer()
        await scene.talking("caller1", ALICE)
        await expect(alice.call).to_contain_text(JOAN)


@pytest.mark.thorough
async def test_a_caller_who_is_back_in_the_queue(scene: Scene, open_panel: OpenPanel) -> None:
    """Whoever is free gets the call next; here only Alice is."""
    await scene.log_out(ERIN)
    await scene.agent_is(ERIN, "offline")
    async with guard.settings(scene.bed, 'groups.sales.max_hold_action = "group"'):
        alice = await waits_in_vain(scene, open_panel)
        await told(alice, f"{JOAN} is back in the queue: Bob did not take the call.")
        await scene.phone(ALICE).answer()
        await scene.talking("caller1", ALICE)


@pytest.mark.thorough
async def test_the_group_empties_while_the_caller_waits(
    scene: Scene, open_panel: OpenPanel
) -> None:
    """Long before the maximum hold time; once more the max-hold action, here to hang up."""
    alice = await signed_in(scene, open_panel)
    await scene.log_out(DAVE)
    await scene.agent_is(DAVE, "offline")
    await scene.call("caller2", CAROL, "support")
    await scene.call("caller1", ALICE, number="4800")
    await alice.choose("group", "support")
    await alice.button("Transfer").click()
    await expect(strip_of(alice, JOAN)).to_contain_text("to support")
    await scene.waits("support", "caller1")
    await scene.log_out(CAROL)
    await told(alice, f"{JOAN} was disconnected: nobody in support took the call.")
    await expect(alice.strips).to_have_count(0)
    await scene.gone("caller1", within=8)
    await scene.talking("caller2", CAROL)


@pytest.mark.thorough
async def test_a_target_who_declines_the_consult(scene: Scene, open_panel: OpenPanel) -> None:
    """The caller is back with Alice, so nothing is lost, and the card says why."""
    alice = await signed_in(scene, open_panel)
    await scene.call("caller1", ALICE)
    await scene.transfer(ALICE, "supervised", BOB)
    await scene.phone(BOB).reject()
    await expect(alice.call).to_contain_text("Transfer to Bob: not completed, declined.")
    await scene.talking("caller1", ALICE)
    await expect(lost(alice)).to_have_count(0)
    await expect(alice.running).to_have_count(0)
    assert alice.console_errors == []


# --- another daemon ------------------------------------------------------------------------------


@pytest.mark.thorough
async def test_the_countdown_goes_on_after_the_daemon_was_killed(
    scene: Scene, open_panel: OpenPanel
) -> None:
    alice = await handed_over(scene, open_panel)
    until = strip_of(alice, "caller1").locator("time[data-until]")
    before = await until.get_attribute("data-until")
    assert before
    await scene.bed.stop_daemon(kill=True)
    await alice.not_live()
    await guard.start_daemon(scene.bed)
    await alice.live()
    await expect(until).to_have_attribute("data-until", before)
    await expect(alice.call).to_contain_text("caller3")
    await agrees(alice, scene)
    await scene.hang_up("caller2")
    await scene.rung_again(BOB)
    await scene.talking("caller1", BOB)
    await expect(alice.strips).to_have_count(0)
    assert alice.console_errors == []
