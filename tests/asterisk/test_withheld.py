"""A caller who withholds number and name: nobody is told them, by any way of a transfer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bed import Bed, InvitingPhone, World, backend_named

from tests.asterisk.conftest import open_scene
from tests.asterisk.listening import listening
from tests.asterisk.scene import FOURTH, Scene
from tests.asterisk.sip_trace import headers, the_invite, trace
from tests.asterisk.withheld import ACCOUNT, NAME, SECRET, tells

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

ON_THE_WIRE = f'P-Asserted-Identity: "{NAME}" <sip:{SECRET}@127.0.0.1>\r\nPrivacy: id\r\n'
PORTS_OF = "caller4"

_KINDS = {
    "820": "CALLERID(pres)=prohib_passed_screen",
    "821": "CALLERID(num-pres)=prohib_not_screened",
    "822": "CALLERID(name-pres)=prohib",
    "823": "CALLERID(num-pres)=unavailable",
    "824": "CALLERID(pres)=allowed",
    "825": "CALLERID(num)=anonymous",
}


def _inbound() -> str:
    lines = ["[callers](+)"]
    for number, kind in _KINDS.items():
        lines += [
            f"exten => {number},1,Answer()",
            f" same => n,Set(CALLERID(num)={SECRET})",
            f" same => n,Set(CALLERID(name)={NAME})",
            f" same => n,Set({kind})",
            " same => n,Queue(sales)",
        ]
    lines += [
        "exten => 826,1,Answer()",
        f" same => n,Set(CALLERID(num)={SECRET})",
        f" same => n,Set(CALLERID(name)={NAME})",
        " same => n,Set(CALLERID(pres)=prohib)",
        " same => n,Set(AVP_POP_PHONE=${CALLERID(num)})",
        " same => n,Set(AVP_POP_KIND=private)",
        " same => n,Queue(sales)",
    ]
    # To the group that is shown them.
    lines += [
        "exten => 827,1,Answer()",
        f" same => n,Set(CALLERID(num)={SECRET})",
        f" same => n,Set(CALLERID(name)={NAME})",
        " same => n,Set(CALLERID(pres)=prohib)",
        " same => n,Queue(support)",
    ]
    # Not by a queue.
    lines += [
        "exten => 830,1,Answer()",
        f" same => n,Set(CALLERID(num)={SECRET})",
        " same => n,Set(CALLERID(pres)=prohib)",
        " same => n,Dial(PJSIP/1001,20)",
    ]
    return "\n".join(lines) + "\n"


# Identified by a header. Asterisk takes its identity from P-Asserted-Identity.
TRUNK = """
[trunk](phone)
context = callers
trust_id_inbound = yes
[trunk]
type = identify
endpoint = trunk
match_header = X-Trunk: 1
[1002](+)
trust_id_outbound = yes
send_pai = yes
[1004](+)
trust_id_outbound = yes
send_pai = yes
[pstn](+)
send_pai = yes
trust_id_outbound = yes
"""
SETTINGS = {
    "AVP_ACCOUNTS__ACME__EXTERNAL_CALLER_ID": "caller",
    "AVP_ACCOUNTS__ACME__CALLER_ID": ACCOUNT,
    "AVP_POP__SIP_HEADERS": "phone,kind",
    "AVP_GROUPS__SUPPORT__SHOW_WITHHELD": "true",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[tuple[Bed, InvitingPhone]]:
    # The trunk sends no RTP.
    world = World(settings=SETTINGS, pjsip=TRUNK, extensions=_inbound(), rtp_timeout=120)
    for group in ("sales", "support"):
        world = world.with_group(group, strategy="linear")
    bed = Bed(world, backend=backend_named(None))
    ports = bed.ports.phone(bed.world.accounts.index(PORTS_OF))
    trunk = InvitingPhone("trunk", ports.sip, bed.ports.sip, ports.rtp[0])
    try:
        await bed.start(name for name in bed.world.accounts if name != PORTS_OF)
        await trunk.listen()
        await bed.start_daemon()
        yield bed, trunk
    finally:
        trunk.stop()
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(centre: tuple[Bed, InvitingPhone]) -> AsyncIterator[Scene]:
    if centre[0].daemon is None:
        await centre[0].start_daemon()
    async with open_scene(centre[0]) as opened:
        yield opened


async def told(scene: Scene, agent: str, *, withheld: bool) -> None:
    """Wait until the agent has a call whose caller is (not) withheld, and check what it tells."""

    async def look() -> bool | None:
        call = (await scene.agent(agent))["call"]
        known = call and (call["caller_withheld"] if withheld else call["caller"])
        return call if known else None

    call = await scene.ami.until(look, 5.0)
    assert call, await scene.agent(agent)
    assert (call["caller_withheld"], tells(call)) == (withheld, not withheld), call


async def told_although(scene: Scene, agent: str) -> None:
    """Wait until the agent is told who withholds their number."""

    async def look() -> bool | None:
        call = (await scene.agent(agent))["call"]
        return (bool(call) and call["caller_withheld"] and tells(call)) or None

    assert await scene.ami.until(look, 5.0), await scene.agent(agent)


async def outside(scene: Scene, agent: str) -> str:
    """Begin a transfer to an external number. Returns its id."""
    body = {"mode": "supervised", "target": {"kind": "number", "number": FOURTH}}
    answer = await scene.api("POST", f"/v1/agents/{agent}/transfers", body)
    assert answer.status == 201, answer
    return str(answer.body["id"])


async def test_on_the_wire_to_an_external_target(
    scene: Scene, centre: tuple[Bed, InvitingPhone]
) -> None:
    """The trunk is asked for privacy, and asserts the account's number, also after completion."""
    _, trunk = centre
    invited = asyncio.create_task(trunk.invite("800", f"X-Trunk: 1\r\n{ON_THE_WIRE}"))
    async with trace(scene, "1001") as to_alice, trace(scene, "pstn") as to_target:
        await scene.phone("1001").ringing()
        await scene.phone("1001").answer()
        assert await invited == 200
        await told(scene, "1001", withheld=True)
        transfer = await outside(scene, "1001")
        await scene.phone("pstn").ringing()
        invite = await the_invite(scene, to_target)
        assert headers(invite, "Privacy") == ["id"], invite
        assert "anonymous" in headers(invite, "From")[0], invite
        assert ACCOUNT in headers(invite, "P-Asserted-Identity")[0], invite
        await scene.phone("pstn").answer()
        await scene.reaches(transfer, "consulting")
        await scene.complete(transfer)
        await scene.ami.bridged("trunk", "pstn")
        await scene.ends(transfer, "completed", "completed")
        assert not tells(to_alice())
        assert not tells(to_target())
    for path in (f"/v1/transfers/{transfer}", "/v1/agents/1001/history", "/v1/agents/1001"):
        assert not tells((await scene.api("GET", path)).body), path
    await trunk.bye()
    await scene.gone("pstn")
    assert not tells(scene.log_of_daemon())


async def test_the_phone_of_an_agent_and_their_pop(scene: Scene) -> None:
    """Not even a phone that Asterisk trusts; nor by what the dialplan has put into the pop."""
    async with trace(scene, "1002") as to_bob:
        await scene.call("caller1", "1001", number="826")
        await told(scene, "1001", withheld=True)
        transfer = await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").answer()
        await scene.ends(transfer, "completed", "completed")
        await told(scene, "1002", withheld=True)
        await scene.hang_up("caller1")
        invite = await the_invite(scene, to_bob)
        assert headers(invite, "X-AVP-Kind") == ["private"], invite
        assert not headers(invite, "X-AVP-Phone"), invite
        assert not tells(to_bob())


@pytest.mark.parametrize(
    "mode", ["unsupervised", pytest.param("supervised", marks=pytest.mark.thorough)]
)
async def test_a_group_that_is_shown_them(scene: Scene, mode: str) -> None:
    """SHOW_WITHHELD: the API tells agents, and Asterisk phones that it trusts. Nobody outside."""
    async with trace(scene, "1004") as to_dave, trace(scene, "pstn") as to_outside:
        await scene.call("caller1", "1003", "support", number="827")
        await told_although(scene, "1003")
        transfer = await scene.transfer("1003", mode, "1004")
        await scene.phone("1004").answer()
        if mode == "supervised":
            await scene.reaches(transfer, "consulting")
            await scene.complete(transfer)
        await scene.ends(transfer, "completed", "completed")
        await told_although(scene, "1004")

        async def phone_tells() -> bool | None:
            return tells(to_dave()) or None

        assert await scene.ami.until(phone_tells, 3.0), to_dave()
        outward = await outside(scene, "1004")
        await scene.phone("pstn").answer()
        await scene.reaches(outward, "consulting")
        await scene.complete(outward)
        await scene.talking("caller1", "pstn")
        await scene.hang_up("caller1")
        assert not tells(to_outside())


@pytest.mark.thorough
async def test_the_phone_of_a_consulted_agent(scene: Scene) -> None:
    async with trace(scene, "1002") as to_bob:
        await scene.call("caller1", "1001", number="826")
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.reaches(transfer, "consulting")
        await scene.complete(transfer)
        await scene.talking("caller1", "1002")
        await scene.hang_up("caller1")
        assert not tells(to_bob())


async def test_withheld_in_the_middle_of_a_call(
    scene: Scene, centre: tuple[Bed, InvitingPhone]
) -> None:
    _, trunk = centre
    known = 'P-Asserted-Identity: "Ann" <sip:+12025550111@127.0.0.1>\r\n'
    invited = asyncio.create_task(trunk.invite("800", f"X-Trunk: 1\r\n{known}"))
    await scene.phone("1001").ringing()
    await scene.phone("1001").answer()
    assert await invited == 200
    await scene.ami.bridged("trunk", "1001")
    async with listening(scene.bed) as events:
        mark = len(events.messages)
        assert await trunk.ask_in_call("UPDATE", ON_THE_WIRE) == 200
        await told(scene, "1001", withheld=True)
        assert not any(map(tells, events.messages[mark:]))
    await trunk.bye()
    await scene.gone("1001")


@pytest.mark.thorough
@pytest.mark.parametrize("ends", ["complete", "cancel"])
async def test_an_external_target_in_a_conference(scene: Scene, ends: str) -> None:
    """Whatever bridge the parties are in."""
    async with trace(scene, "pstn") as to_outside:
        await scene.call("caller1", "1001", number="820")
        transfer = await outside(scene, "1001")
        await scene.phone("pstn").answer()
        await scene.reaches(transfer, "consulting")
        await scene.act(transfer, "swap")
        await scene.act(transfer, "conference")
        await scene.reaches(transfer, "conference")
        await scene.phone("pstn").hearing({"caller1", "1001"})
        await scene.act(transfer, ends)
        await scene.talking("caller1", "pstn" if ends == "complete" else "1001")
        await scene.hang_up("caller1")
        assert not tells(to_outside())


async def test_after_a_restart(scene: Scene) -> None:
    """In a consultation, and in a plain call."""
    await scene.call("caller1", "1001", number="820")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.reaches(transfer, "consulting")
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await scene.reaches(transfer, "consulting", within=20)
    await told(scene, "1001", withheld=True)
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon()
    await told(scene, "1002", withheld=True)
    await scene.hang_up("caller1")


@pytest.mark.parametrize(
    "number",
    ["820", "830", *(pytest.param(x, marks=pytest.mark.thorough) for x in _KINDS if x != "820")],
)
async def test_ways_to_withhold(scene: Scene, number: str) -> None:
    """The API, the pops and the events of who has the call, and who gets it."""
    async with listening(scene.bed) as events:
        await scene.call("caller1", "1001", number=number)
        await told(scene, "1001", withheld=number != "824")
        transfer = await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").answer()
        await scene.ends(transfer, "completed", "completed")
        await told(scene, "1002", withheld=number != "824")
        await scene.hang_up("caller1")
    telling = [message for message in events.messages[1:] if tells(message)]
    assert bool(telling) is (number == "824"), telling
