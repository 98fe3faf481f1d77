"""Foreign texts that are pieces of dialplan: none of them is executed.

The texts are in what phones dial, in what a trunk reports of the caller, and in variables that
others set. An evaluated text sets the global variable AVP_HIT.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest
import pytest_asyncio
from bed import Bed, InvitingPhone, World, backend_named, match

from tests.asterisk.conftest import open_scene
from tests.asterisk.guard import number
from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

DIALLER = "1004"
TRUNK = "caller4"

TEXTS = (
    "1002):Set(GLOBAL(AVP_HIT)=yes",
    '" & "):Set(GLOBAL(AVP_HIT)=yes',
    '1" = "1"]?x:1):Set(GLOBAL(AVP_HIT)=yes',
    "${SET(GLOBAL(AVP_HIT)=yes)}",
    "1)}${SET(GLOBAL(AVP_HIT)=yes)}",
    "1] + ${SET(GLOBAL(AVP_HIT)=yes)}",
    "1,${SET(GLOBAL(AVP_HIT)=yes)},1",
    "1&Local/hit@attack",
    "1,i,,,30)Set(GLOBAL(AVP_HIT)=yes",
    "1?attack,hit,1:attack,hit,1",
)

USUAL = [
    pytest.param(text, marks=() if n % 6 == 0 else pytest.mark.thorough)
    for n, text in enumerate(TEXTS)
]
"""What CI runs of the tests that take seconds."""

# Each enters one of our contexts with the text in a place that may be foreign.
ATTACK = """
[attack]
exten => hit,1,Set(GLOBAL(AVP_HIT)=yes)
exten => hold,1,Answer()
 same => n,Wait(5)
exten => caller_id,1,Set(TIMEOUT(absolute)=3)
 same => n,Set(AVP_CALLER_ID=${GLOBAL(RAW)})
 same => n,Set(AVP_DIVERTED_BY=${GLOBAL(RAW)})
 same => n,Goto(avp-external-leg,+12025550100,1)
exten => after,1,Set(AVP_AFTER=${GLOBAL(RAW)})
 same => n,Set(AVP_STATE=done)
 same => n,Set(QUEUE_PRIO=${GLOBAL(RAW)})
 same => n,Goto(avp-stasis,after,1)
exten => personal,1,Gosub(attack,all,1)
 same => n,Set(QUEUE_MIN_PENALTY=${GLOBAL(RAW)})
 same => n,Set(QUEUE_MAX_PENALTY=${GLOBAL(RAW)})
 same => n,Set(QUEUE_RAISE_PENALTY=${GLOBAL(RAW)})
 same => n,Goto(avp-agent-queue,1002,1)
exten => consult,1,Gosub(attack,all,1)
 same => n,Set(AVP_LEG=consult)
 same => n,Goto(avp-agent-queue,1002,1)
exten => group,1,Gosub(attack,all,1)
 same => n,Goto(avp-group-queue,sales,1)
exten => recall,1,Gosub(attack,all,1)
 same => n,Set(AVP_RETURN_QUEUE=sales)
 same => n,Goto(avp-recall,group,1)
exten => sound,1,Set(AVP_MAX_HOLD_SOUND=${GLOBAL(RAW)})
 same => n,Goto(avp-recall,hangup,1)
exten => gate,1,Set(AVP_DIALLED=${GLOBAL(RAW)})
 same => n,Goto(avp-gate,s,1)
exten => pop,1,Gosub(attack,all,1)
 same => n,Queue(sales,ib(avp-pop-headers^s^1),,,2)
exten => all,1,Set(TIMEOUT(absolute)=3)
 same => n,Set(AVP_HOLD_SECONDS=1)
 same => n,Set(MONITOR_FILENAME=${GLOBAL(RAW)})
 same => n,Set(MIXMONITOR_FILENAME=${GLOBAL(RAW)})
 same => n,Set(__AVP_EXCLUDE=${GLOBAL(RAW)})
 same => n,Set(AVP_POP=${GLOBAL(RAW)})
 same => n,Set(AVP_POP_CUSTOMER_ID=${GLOBAL(RAW)})
 same => n,Set(AVP_GROUP=${GLOBAL(RAW)})
 same => n,Set(CALLERID(num)=${GLOBAL(RAW)})
 same => n,Return()
[callers](+)
exten => 900,1,Answer()
 same => n,Set(AVP_POP={"customer_id":"4711\\r\\nX-Evil: 1\\r\\n"})
 same => n,Queue(sales,ib(avp-pop-headers^s^1))
"""
ENTRIES = (
    *("caller_id", "after", "personal", "consult", "group", "recall", "sound", "gate", "pop"),
)
CONTEXTS = ("avp-agent-queue", "avp-group-queue", "avp-external-leg")
"""Those whose extension is an id."""

PJSIP = f"""
[{TRUNK}](+type=endpoint)
auth =
trust_id_inbound = yes
[trunk]
type = identify
endpoint = {TRUNK}
match_header = X-Trunk: 1
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[tuple[Bed, InvitingPhone, InvitingPhone]]:
    world = replace(
        World(),
        extensions=ATTACK,
        pjsip=PJSIP,
        settings={
            "AVP_ACCOUNTS__ACME__EXTERNAL_CALLER_ID": "caller",
            "AVP_POP__SIP_HEADERS": "customer_id",
        },
    ).with_group("sales", strategy="linear")
    bed = Bed(world, backend=backend_named(None))
    phones = []
    try:
        await bed.start(name for name in world.accounts if name not in {DIALLER, TRUNK})
        for name in (DIALLER, TRUNK):
            ports = bed.ports.phone(world.accounts.index(name))
            phones.append(InvitingPhone(name, ports.sip, bed.ports.sip, ports.rtp[0]))
        await phones[0].start()
        await phones[1].listen()
        await bed.start_daemon()
        yield bed, phones[0], phones[1]
    finally:
        for phone in phones:
            phone.stop()
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: tuple[Bed, InvitingPhone, InvitingPhone]) -> AsyncIterator[Scene]:
    async with open_scene(office[0]) as opened:
        yield opened


@pytest.fixture
def dialler(office: tuple[Bed, InvitingPhone, InvitingPhone]) -> InvitingPhone:
    return office[1]


@pytest.fixture
def trunk(office: tuple[Bed, InvitingPhone, InvitingPhone]) -> InvitingPhone:
    return office[2]


async def hit(scene: Scene) -> str:
    return (await scene.ami.action("Getvar", Variable="GLOBAL(AVP_HIT)"))["Value"]


async def no_hit(scene: Scene) -> None:
    await scene.ami.action("Setvar", Variable="AVP_HIT", Value="")


async def quiet(scene: Scene) -> bool | None:
    return not await scene.ami.channels() or None


# --- what phones dial ------------------------------------------------------------------------

DIALLED = (
    *TEXTS,
    *("s", "", "h", "i", "t", "T", "o", "a", "e", "fax", "caller", "outside"),
    *("_XX", "_XXX", "_[0-9]X", "_[9-)0-9]X", "_XX.", "_[0-9A-Za-z]!", "_+XXX"),
    *("1002&PJSIP/1003", "1002@agents", "1002/n", "1002,1", "PJSIP/1002", "1002;x=1", "_1002"),
    *("911&PJSIP/pstn", "911 ", " 911", "9.1.1", "(911)", "+911)", "112,1"),
    *("1002\nX", "1002\r\n", "\r\n1002", "2025550100\nagi_channel: PJSIP/1001-00000000"),
    *("2" * 19, "+" + "2" * 16, "2" * 79, "2" * 200, "9", "+", "+1", "1+1", "++12", "12+"),
    *("caller1", "pstn", "2025550100@avp-external", "2025550100,60,g", "*7", "#", "*", "1*"),
    *("é1002", "1002é", "\u0661\u0660\u0660\u0662", "%31002", "1002 ", "sip:1002"),
)


@pytest.mark.parametrize("text", DIALLED)
async def test_no_channel_for_what_is_neither_an_id_nor_a_number(
    scene: Scene, dialler: InvitingPhone, text: str
) -> None:
    """404, or 401 for what no password opens; and the dialplan has not run at all."""
    await no_hit(scene)
    mark = await scene.ami.mark()
    assert await dialler.invite(quote(text, safe="+")) in {401, 404}
    await scene.ami.mark()  # everything before it has been read
    assert scene.ami.seen(match("Newchannel"), mark) == []
    assert scene.ami.seen(match("Newexten"), mark) == []
    assert await hit(scene) == ""


@pytest.mark.parametrize("text", ["1002", "10-02", "-1-0-0-2-"])
async def test_a_colleague(scene: Scene, dialler: InvitingPhone, text: str) -> None:
    await scene.phone("1002").auto_answer()
    assert await dialler.invite(text) == 200
    await scene.ami.bridged(DIALLER, "1002")
    await dialler.bye()


# --- what a trunk says -----------------------------------------------------------------------


@pytest.mark.parametrize("text", USUAL)
async def test_the_number_of_a_caller(scene: Scene, trunk: InvitingPhone, text: str) -> None:
    """With the caller's number shown to the target (EXTERNAL_CALLER_ID=caller)."""
    await no_hit(scene)
    await scene.phone("1001").auto_answer()
    caller = quote(text, safe="")
    assert await trunk.invite("800", "X-Trunk: 1\r\n", caller=caller) == 200
    await scene.ami.bridged(TRUNK, "1001")
    await scene.has_call("1001")
    wanted = {"mode": "supervised", "target": number("+12025550100")}
    answer = await scene.api("POST", "/v1/agents/1001/transfers", wanted)
    assert answer.status == 201, answer
    await scene.phone("pstn").ringing()
    assert await hit(scene) == ""
    await scene.cancel(answer.body["id"])
    # Asterisk may lose a hang-up while it bridges the two again.
    await scene.ends(answer.body["id"], "cancelled", "cancelled")
    await trunk.bye()


# --- what variables hold ---------------------------------------------------------------------


async def enters(scene: Scene, entry: str, **far_end: str) -> None:
    """Start a call that enters `ATTACK`, and wait for its first step.

    Two dozen channels in one instant would be a test of Asterisk's task processors.
    """
    mark = await scene.ami.mark()
    channel = f"Local/{entry}@attack/n"
    await scene.ami.action("Originate", Channel=channel, Async="true", **far_end)
    await scene.ami.wait(match("Newexten", Context="attack", Extension=entry), 5.0, since=mark)


@pytest.mark.parametrize("text", USUAL)
async def test_variables(scene: Scene, text: str) -> None:
    """All ways in together, because each waits for seconds. Nothing but our ids is ever entered."""
    await no_hit(scene)
    # Every AMI user receives the result of this test's Originate; the daemon warns about it.
    scene.expected.add("[error")
    await scene.ami.action("Setvar", Variable="RAW", Value=text)
    mark = await scene.ami.mark()
    for entry in ENTRIES:
        await enters(scene, entry, Application="Wait", Data="10")
    for context in CONTEXTS:
        dialled = f"+1{text}" if context == "avp-external-leg" else f"1{text}"
        await enters(scene, "hold", Context=context, Exten=dialled, Priority="1")
    assert await scene.ami.until(lambda: quiet(scene), 20.0), await scene.ami.channels()
    assert await hit(scene) == ""
    queues = {event["Queue"] for event in scene.ami.seen(match("QueueCallerJoin"), mark)}
    assert queues <= {"avp-agent-1002", "sales"}
    ran = {event["Application"] for event in scene.ami.seen(match("Newexten"), mark)}
    assert "System" not in ran


async def test_a_value_brings_no_headers_of_its_own(scene: Scene) -> None:
    await scene.phone("caller1").dial("900")
    await scene.phone("1001").ringing()
    channel = await scene.ami.channel_of("1001")
    name = channel["Channel"]
    assert await scene.ami.variable(name, "PJSIP_HEADER(read,X-Evil,1)") == ""
    log = scene.bed.directory / "log" / "full.log"

    async def logged() -> bool | None:  # by a thread of Asterisk's own
        return "4711X-Evil: 1" in log.read_text(errors="replace") or None

    assert await scene.ami.until(logged, 3.0), "without its line breaks"
