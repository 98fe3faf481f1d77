"""Screen pops on real calls: who receives which pop, when, and what is withdrawn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Self

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from bed import Agent, Bed, Group, World, backend_named
from bed.deadlines import patiently

from asterisk_avp.pops.webhook import sign
from tests.asterisk.conftest import open_scene
from tests.asterisk.listening import listening
from tests.asterisk.scene import Scene
from tests.asterisk.sip_trace import headers, invites, trace

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SECRET = "not a secret here"

# Digits that a caller dials before 800: variables of the inbound dialplan, and its queueing.
INBOUND = r"""
[callers](+)
exten => 700,1,Answer()
 same => n,Set(AVP_POP={"customer_id":"4711","name":"J\u00fcrgen \"Ö\" Sample","vip":true})
 same => n,Set(AVP_POP_ORDER=17 & 18/b)
 same => n,Queue(sales,ib(avp-pop-headers^s^1))
 same => n,Hangup()
exten => 701,1,Answer()
 same => n,Set(__AVP_POP={"customer_id":"inherited"})
 same => n,Queue(sales,i)
 same => n,Hangup()
exten => 710,1,Answer()
 same => n,Set(AVP_POP={"customer_id":4711)
 same => n,Goto(sales,1)
exten => 711,1,Answer()
 same => n,Set(AVP_POP=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]])
 same => n,Goto(sales,1)
exten => 712,1,Answer()
 same => n,Set(AVP_POP={"customer_id":"\xff\xfe"})
 same => n,Goto(sales,1)
exten => 713,1,Answer()
 same => n,Set(AVP_POP={"customer_id":"../../\r\nX: y","half":"\ud800","n":1e999})
 same => n,Goto(sales,1)
exten => sales,1,Queue(sales,i)
 same => n,Hangup()
"""


class Receiver:
    """The address that the webhook posts to. ``status``: its answer."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = 204

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/pops", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/pops"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        signed = sign(SECRET, request.headers["X-AVP-Timestamp"], body)
        assert request.headers["X-AVP-Signature"] == signed
        if self.status < 300:
            self.keys.append(request.headers["Idempotency-Key"])
            self.events.append(json.loads(body))
        return web.Response(status=self.status)


class Screens:
    """The pop events of the agents' panels, in order."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._up = asyncio.Event()
        self._task = asyncio.create_task(self._listen())
        await self.connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        headers = {"Authorization": f"Bearer {self._bed.secrets.token}"}
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with (
                    aiohttp.ClientSession(headers=headers) as session,
                    session.ws_connect(f"{self._bed.url}/v1/events") as socket,
                ):
                    async for message in socket:
                        self._take(json.loads(message.data))
            self._up.clear()
            await asyncio.sleep(0.1)

    async def connected(self) -> None:
        """Wait until it listens to the daemon, which may have been started again."""
        await asyncio.wait_for(self._up.wait(), patiently(15))

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "snapshot":
            self._up.set()
        if event["type"] == "pop":
            self.events.append(event)
            self._changed.set()

    def told(self, agent: str | None = None) -> list[str]:
        """``1001 offered``…; for a single agent only the states."""
        if agent is not None:
            return [event["state"] for event in self.events if event["agent"] == agent]
        return [f"{event['agent']} {event['state']}" for event in self.events]

    async def call(
        self, scene: Scene, number: str, caller: str = "caller1", agent: str = "1001"
    ) -> dict[str, Any]:
        """A call that the agent answers once the pop has been offered. Returns the pop.

        The daemon reads the call's variables while the phone rings. If the agent answers earlier,
        the pop is delivered without an offer.
        """
        told = self.told()
        await scene.phone(caller).dial(number)
        await self.tell(*told, f"{agent} offered")
        await scene.phone(agent).answer()
        await scene.talking(caller, agent)
        return await self.tell(*told, f"{agent} offered", f"{agent} delivered")

    async def tell(self, *wanted: str, within: float = 10.0) -> dict[str, Any]:
        """Wait until exactly these pops were received, in this order. Returns the last pop."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patiently(within)
        while self.told() != list(wanted):
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - loop.time())
            except TimeoutError:
                raise AssertionError(f"{self.told()}, not {list(wanted)}") from None
        return self.events[-1]["pop"]  # type: ignore[no-any-return]


def world() -> World:
    return replace(
        World(),
        agents=tuple(
            Agent(str(1001 + i), name) for i, name in enumerate(("Alice", "Bob", "Carol"))
        ),
        groups=(
            Group("sales", ("1001", "1002", "1003"), number="800", strategy="linear"),
            Group("support", ("1003",), number="801"),
            # Its phones ring for a short time: they are not answered.
            Group("brief", ("1001", "1002"), number="802", strategy="linear", timeout=5),
        ),
        extensions=INBOUND,
        settings={
            "AVP_SESSION__RING_SECONDS": "8",
            "AVP_GROUPS__SALES__POP_URL": "https://crm.example/c/{customer_id}?order={order}",
            "AVP_GROUPS__SUPPORT__POP_URL": "https://crm.example/case/{case}",
            "AVP_POP__SIP_HEADERS": "customer_id,order,name",
        },
        wrapuptime=1,
        max_hold_seconds=20,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[tuple[Bed, Receiver]]:
    receiver = Receiver()
    await receiver.start()
    try:
        async with Bed(world(), backend=backend_named(None)) as bed:
            await bed.start_daemon(
                {"AVP_WEBHOOK__URL": receiver.url, "AVP_WEBHOOK__SECRET": SECRET}
            )
            yield bed, receiver
    finally:
        await receiver.stop()


@pytest.fixture
def receiver(office: tuple[Bed, Receiver]) -> Receiver:
    office[1].events.clear()
    office[1].keys.clear()
    return office[1]


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: tuple[Bed, Receiver]) -> AsyncIterator[Scene]:
    async with open_scene(office[0]) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def screens(scene: Scene) -> AsyncIterator[Screens]:
    async with Screens(scene.bed) as opened:
        yield opened


async def pop_of(scene: Scene, agent: str) -> dict[str, Any]:
    """The pop of the agent's call, once the API shows that call."""

    async def look() -> dict[str, Any] | None:
        return (await scene.agent(agent))["call"]  # type: ignore[no-any-return]

    call = await scene.ami.until(look, 3.0)
    assert call is not None, await scene.agent(agent)
    return call["pop"]  # type: ignore[no-any-return]


async def invited(scene: Scene, sent: Callable[[], list[str]]) -> str:
    """The first INVITE to a phone, once Asterisk has logged it."""

    async def look() -> str | None:
        return next(iter(invites(sent())), None)

    found = await scene.ami.until(look, 3.0)
    assert found is not None, sent()
    return found


# --- calls of a group ------------------------------------------------------------------------


async def test_a_call_of_the_group(scene: Scene, screens: Screens, receiver: Receiver) -> None:
    """Offered while it rings, kept when answered; the same by webhook and in the API."""
    await scene.phone("caller1").dial("700")
    await scene.phone("1001").ringing()
    pop = await screens.tell("1001 offered")
    assert pop["data"] == {
        "customer_id": "4711",
        "name": 'Jürgen "Ö" Sample',
        "order": "17 & 18/b",
        "vip": True,
    }
    known = dict.fromkeys(("number", "name", "number_formatted"), "caller1")
    assert pop["caller"] == {**known, "withheld": False}
    assert (pop["group"], pop["transfers"], pop["note"]) == ("sales", [], "")
    assert pop["url"] == "https://crm.example/c/4711?order=17%20%26%2018%2Fb"
    await scene.phone("1001").answer()
    await screens.tell("1001 offered", "1001 delivered")
    await scene.talking("caller1", "1001")
    assert (await pop_of(scene, "1001"))["data"] == pop["data"]
    channel = await scene.ami.channel_of("caller1")
    assert pop["id"] == channel["Uniqueid"]

    async def received() -> bool | None:
        return receiver.events == screens.events or None

    assert await scene.ami.until(received, 3), receiver.events
    assert len(set(receiver.keys)) == 2
    await scene.hang_up("1001")
    await scene.gone("caller1")
    await scene.talks_with("1001", None)  # the daemon knows, and takes nothing back
    await screens.tell("1001 offered", "1001 delivered")


async def test_not_answered(scene: Scene, screens: Screens) -> None:
    """Withdrawn from an agent who does not answer, offered to the next; a caller who hangs up is
    gone."""
    await scene.phone("caller1").dial("802")
    await scene.phone("1001").ringing()
    await scene.phone("1002").ringing(within=8)
    await screens.tell("1001 offered", "1001 withdrawn", "1002 offered")
    await scene.hang_up("caller1")
    await screens.tell("1001 offered", "1001 withdrawn", "1002 offered", "1002 withdrawn")
    assert screens.events[-1]["pop"]["data"] == screens.events[0]["pop"]["data"] != {}


async def test_nothing_set(scene: Scene, screens: Screens) -> None:
    """Caller, group and waiting time justify a pop; without its values there is no address."""
    await scene.pause("1001")
    await scene.pause("1002")
    await scene.pause("1003")
    await scene.phone("caller1").dial("sales")
    await scene.waits("sales", "caller1")
    entered = time.time()

    async def has_waited() -> bool | None:
        return time.time() - entered > 2.2 or None

    assert await scene.ami.until(has_waited, 3)
    await scene.pause("1001", paused=False)
    await screens.tell("1001 offered")
    await scene.phone("1001").answer()
    pop = await screens.tell("1001 offered", "1001 delivered")
    assert (pop["data"], pop["url"], pop["group"]) == ({}, None, "sales")
    assert 2 <= pop["waited_seconds"] <= patiently(6)


async def test_a_call_by_no_queue(scene: Scene, screens: Screens) -> None:
    await scene.direct_call("caller1", "1001")
    assert await pop_of(scene, "1001") == {}
    assert screens.told() == []


# --- supervised ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [pytest.param("700", marks=pytest.mark.thorough), "701"])
async def test_supervised_completed(scene: Scene, screens: Screens, number: str) -> None:
    """The target receives it at completion and not before, even if variables are inherited."""
    before = (await screens.call(scene, number))["data"]
    transfer = await scene.transfer("1001", "supervised", "1002", notes="wants a refund")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    assert screens.told("1002") == []
    assert await pop_of(scene, "1002") == {}
    assert (await pop_of(scene, "1001"))["data"] == before
    await scene.complete(transfer)
    pop = await screens.tell("1001 offered", "1001 delivered", "1002 delivered")
    await scene.talking("caller1", "1002")
    assert pop["data"] == before
    assert pop["note"] == "wants a refund"
    [moved] = pop["transfers"]
    assert (moved["from"], moved["from_name"], moved["mode"]) == ("1001", "Alice", "supervised")
    assert await pop_of(scene, "1002") == pop
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.talks_with("1002", None)
    assert screens.told("1001") == ["offered", "delivered"], "nobody takes it back"
    assert screens.told("1002") == ["delivered"]


@pytest.mark.parametrize("number", ["700", pytest.param("701", marks=pytest.mark.thorough)])
async def test_supervised_cancelled(scene: Scene, screens: Screens, number: str) -> None:
    await screens.call(scene, number)
    transfer = await scene.transfer("1001", "supervised", "1002", notes="never mind")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.cancel(transfer)
    await scene.talking("caller1", "1001")
    await scene.ends(transfer, "cancelled", "cancelled")
    assert screens.told() == ["1001 offered", "1001 delivered"]
    assert (await pop_of(scene, "1001"))["transfers"] == []
    assert await scene.variable("caller1", "AVP_HISTORY_1_1") == ""


async def test_conference(scene: Scene, screens: Screens) -> None:
    """Being in a conference of three is not completion."""
    await screens.call(scene, "700")
    transfer = await scene.transfer("1001", "supervised", "1002")
    await scene.phone("1002").answer()
    await scene.consulting(transfer, "caller1", "1001", "1002")
    await scene.act(transfer, "conference")
    await scene.hear_one_another("caller1", "1001", "1002")
    assert screens.told("1002") == []
    await scene.hang_up("1001")
    await screens.tell("1001 offered", "1001 delivered", "1002 delivered")
    await scene.talking("caller1", "1002")


# --- unsupervised, and what survives ---------------------------------------------------------


async def test_unsupervised_to_a_busy_agent(scene: Scene, screens: Screens) -> None:
    """With the call: when it rings for them."""
    await screens.call(scene, "800", "caller2")
    await screens.call(scene, "700", agent="1002")
    screens.events.clear()
    transfer = await scene.transfer("1002", "unsupervised", "1001", notes="order 17")
    await scene.reaches(transfer, "waiting")
    assert screens.told() == []
    await scene.hang_up("caller2")
    await scene.phone("1001").ringing(within=5)
    pop = await screens.tell("1001 offered")
    assert (pop["data"]["customer_id"], pop["note"]) == ("4711", "order 17")
    await scene.phone("1001").answer()
    await scene.talking("caller1", "1001")
    await screens.tell("1001 offered", "1001 delivered")


async def test_unsupervised_not_answered(scene: Scene, screens: Screens) -> None:
    await screens.call(scene, "700")
    screens.events.clear()
    await scene.transfer("1001", "unsupervised", "1002")
    await scene.phone("1002").ringing()
    await screens.tell("1002 offered")
    await screens.tell("1002 offered", "1002 withdrawn", "1002 offered", within=12)
    await scene.phone("1002").reject()
    await scene.hang_up("caller1")


async def test_two_transfers_and_a_restart(
    scene: Scene, screens: Screens, receiver: Receiver
) -> None:
    """The daemon is killed between them and after them; no pop is sent twice."""
    await screens.call(scene, "700")
    first = await scene.transfer("1001", "unsupervised", "1002", notes="first ☎")
    await screens.tell("1001 offered", "1001 delivered", "1002 offered")
    await scene.phone("1002").answer()
    await scene.talking("caller1", "1002")
    await scene.ends(first, "completed", "completed")
    await kill(scene, receiver, 1)
    await screens.connected()
    pop = await pop_of(scene, "1002")
    assert pop["data"]["customer_id"] == "4711"
    assert [moved["note"] for moved in pop["transfers"]] == ["first ☎"]
    await scene.agent_is("1003", "available")
    second = await scene.transfer("1002", "supervised", "1003", notes="second")
    await scene.phone("1003").answer()
    await scene.consulting(second, "caller1", "1002", "1003")
    await scene.complete(second)
    await scene.talking("caller1", "1003")
    await scene.ends(second, "completed", "completed")
    told = ["1001 offered", "1001 delivered", "1002 offered", "1002 delivered", "1003 delivered"]
    pop = await screens.tell(*told)
    assert [moved["note"] for moved in pop["transfers"]] == ["first ☎", "second"]
    assert [moved["from"] for moved in pop["transfers"]] == ["1001", "1002"]
    await kill(scene, receiver, 2)
    await screens.connected()
    again = await pop_of(scene, "1003")
    assert again | {"waited_seconds": 0} == pop | {"waited_seconds": 0}
    await screens.tell(*told)
    await scene.hang_up("caller1")
    await scene.gone("1003")


async def kill(scene: Scene, receiver: Receiver, transfers: int) -> None:
    """And restart it, as soon as the call's history is on its channel."""

    async def noted() -> str | None:
        return await scene.variable("caller1", f"AVP_HISTORY_{transfers}_1") or None

    assert await scene.ami.until(noted, 3)
    await scene.bed.stop_daemon(kill=True)
    await scene.bed.start_daemon({"AVP_WEBHOOK__URL": receiver.url, "AVP_WEBHOOK__SECRET": SECRET})


# --- hostile, and other ways to show it ------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("710", "not JSON"),
        ("711", "not a JSON object"),
        pytest.param("712", "not JSON", marks=pytest.mark.thorough),
        pytest.param("713", "a number that is too large", marks=pytest.mark.thorough),
    ],
)
async def test_what_is_not_a_pop(scene: Scene, screens: Screens, number: str, reason: str) -> None:
    """It is omitted, with a log line that repeats none of it; the call continues."""
    mark = len(scene.log_of_daemon())
    pop = await screens.call(scene, number)
    assert (pop["data"], pop["url"]) == ({}, None)
    line = next(x for x in scene.log_of_daemon(mark).splitlines() if "pop_variable_ignored" in x)
    assert f"reason='{reason}'" in line, line
    assert "4711" not in line
    await scene.talking("caller1", "1001")


async def test_headers_for_softphones(scene: Scene) -> None:
    """In the INVITE of a call that is the agent's if they answer."""
    async with trace(scene, "1001") as to_alice, trace(scene, "1002") as to_bob:
        await scene.call("caller1", "1001", number="700")
        await scene.transfer("1001", "unsupervised", "1002")
        await scene.phone("1002").answer()
        await scene.talking("caller1", "1002")
        for sent in (to_alice, to_bob):
            invite = await invited(scene, sent)
            assert headers(invite, "X-AVP-Customer-Id") == ["4711"]
            assert headers(invite, "X-AVP-Order") == ["17 & 18/b"]
            assert headers(invite, "X-AVP-Name") == ['Jrgen "" Sample'], "ASCII only"


@pytest.mark.parametrize("number", [pytest.param("700", marks=pytest.mark.thorough), "701"])
async def test_a_consult_shows_nothing_of_the_call(scene: Scene, number: str) -> None:
    """The target's phone shows the transferor until completion, and then the caller."""
    await scene.call("caller1", "1001", number=number)
    async with trace(scene, "1002") as to_bob:
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        assert "Alice" in headers(await invited(scene, to_bob), "From")[0]
        before = to_bob()
        for message in before:
            assert "X-AVP" not in message
            assert "caller1" not in message
        await scene.complete(transfer)
        await scene.talking("caller1", "1002")

        async def shown() -> list[str] | None:
            after = [headers(m, "P-Asserted-Identity") for m in to_bob()[len(before) :]]
            return next((x for x in reversed(after) if x), None)

        async def caller() -> bool | None:
            found = await shown()
            return (found is not None and "caller1" in found[0]) or None

        assert await scene.ami.until(caller, 3), to_bob()[len(before) :]


async def test_a_receiver_in_trouble_holds_nobody_up(
    scene: Scene, screens: Screens, receiver: Receiver
) -> None:
    """Calls, transfers and panels continue; it gets everything in order once it works."""
    receiver.status = 503
    try:
        await screens.call(scene, "700")
        transfer = await scene.transfer("1001", "supervised", "1002", notes="a note")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
        await screens.tell("1001 offered", "1001 delivered", "1002 delivered")
        await scene.talking("caller1", "1002")
        assert receiver.events == []
    finally:
        receiver.status = 204

    async def received() -> bool | None:
        return len(receiver.events) >= 3 or None

    assert await scene.ami.until(received, 15), receiver.events
    assert receiver.events == screens.events
    assert len(set(receiver.keys)) == 3


# --- members of the form Local/<agent>@agents/n ----------------------------------------------


class LocalWorld(World):
    def render_agents(self) -> str:
        lines = super().render_agents()
        return lines.replace(",60,i)", ",60,ib(avp-pop-headers^s^1))")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def local_office() -> AsyncIterator[Bed]:
    fields = {name: getattr(world(), name) for name in World.__dataclass_fields__}
    async with Bed(LocalWorld(**fields | {"local_members": True})) as bed:
        await bed.start_daemon()
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def local_scene(local_office: Bed) -> AsyncIterator[Scene]:
    async with open_scene(local_office) as opened:
        yield opened


async def test_local_members(local_scene: Scene) -> None:
    """The same, and the phone behind the Local channel gets the headers, except in a consult."""
    scene = local_scene
    async with (
        Screens(scene.bed) as screens,
        trace(scene, "1001") as to_alice,
        trace(scene, "1002") as to_bob,
    ):
        await screens.call(scene, "700")
        assert headers(await invited(scene, to_alice), "X-AVP-Customer-Id") == ["4711"]
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        assert screens.told("1002") == []
        await invited(scene, to_bob)
        assert not any("X-AVP" in message for message in to_bob())
        await scene.complete(transfer)
        await screens.tell("1001 offered", "1001 delivered", "1002 delivered")
        await scene.talking("caller1", "1002")
        assert (await pop_of(scene, "1002"))["data"]["customer_id"] == "4711"


# --- a panel that comes later ----------------------------------------------------------------


async def test_a_snapshot_while_the_phone_rings(scene: Scene, screens: Screens) -> None:
    """The pop that is offered at that moment, to the agent's own panel and to integrations."""
    await scene.phone("caller1").dial("800")
    await screens.tell("1001 offered")
    (offered,) = screens.events
    call = offered["pop"]["id"]
    expected = {**offered, "call": call}
    for agent, pops in (("1001", [expected]), ("1002", []), (None, [expected])):
        async with listening(scene.bed, agent) as panel:
            assert panel.snapshot["pops"] == pops
    await scene.phone("1002").auto_answer()
    await scene.phone("1001").reject()
    await scene.talking("caller1", "1002")
    for agent in ("1001", None):
        async with listening(scene.bed, agent) as panel:
            assert panel.snapshot["pops"] == []
