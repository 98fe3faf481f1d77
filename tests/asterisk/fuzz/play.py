"""Send an input of any kind, and wait for Asterisk's final answer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any, Final

import aiohttp

from . import message
from .centre import AGENTS, OUTSIDE, Centre
from .inputs import AGENT, NODE, STRANGER, TRUNK, Input
from .message import Dialog
from .phone import BUSY, OK, Incoming, Phone, Reply, status
from .trunk import IMPOSTORS

AT_ONCE: Final = 12
_WAITS_IN: Final = frozenset({"Playback", "Queue", "Dial", "Read", "Wait", "Stasis", "Hangup"})
_SOON: Final = 1.0
"""How long something optional may take."""
_FLOOD: Final = 200
_RUNG: Final = 0.4


async def play(centre: Centre, batch: list[Input]) -> dict[str, Input]:
    """Send all. Returns the inputs by Call-ID. Those without a call run in parallel."""
    calls: dict[str, Input] = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def one(what: Input) -> None:
        async with free:
            await _request(centre, what, calls)

    await asyncio.gather(*(one(what) for what in batch if what.kind == "request"))
    for what in batch:
        if what.kind == "flood":
            await _flood(centre, what)
        elif what.kind == "in-call":
            await _in_call(centre, what, calls)
        elif what.kind == "moved":
            await _moved(centre, what, calls)
        elif what.kind == "external":
            await _external(centre, what, calls)
    return calls


def _sender(centre: Centre, what: Input) -> Phone:
    names = {AGENT: "1001", TRUNK: "trunk", STRANGER: "stranger"}
    return centre.phones[names.get(what.sender, what.sender)]


def _replaces(centre: Centre, what: Input) -> bytes:
    return centre.replaces[what.number % len(centre.replaces)]


async def _request(centre: Centre, what: Input, calls: dict[str, Input]) -> None:
    phone = _sender(centre, what)
    dialog = message.opening(what, phone.line)
    more = message.headers(what, phone.line, _replaces(centre, what))
    calls[dialog.call_id] = what
    if what.method != "INVITE":
        answer = await phone.ask(what.method, dialog, more=more)
        phone.forget(dialog)
    else:
        answer = await _invite(centre, phone, dialog, more, what.sender)
    centre.answered += bool(answer)
    if what.sender in IMPOSTORS and (
        200 <= status(answer) < 300 or dialog.call_id in centre.events.protocol.values()
    ):
        centre.wrong.append(f"no node, and believed: {what}: {answer[:60]!r}")


async def _flood(centre: Centre, what: Input) -> None:
    """Many requests at once; then Asterisk answers one again."""
    phone = _sender(centre, what)
    for _ in range(_FLOOD):
        dialog = message.opening(what, phone.line)
        phone.send(message.request(what.method, dialog, phone.line, sdp=what.method == "INVITE")[0])
    other = centre.phones["caller1"]
    dialog = dialog_with(other, "", "caller1")
    if not await other.ask("OPTIONS", dialog, tries=8):
        centre.wrong.append(f"nothing is answered after {what}")
    other.forget(dialog)


async def _invite(centre: Centre, phone: Phone, dialog: Dialog, more: bytes, sender: str) -> bytes:
    """Call, and hang up once the dialplan waits. Returns the answer."""
    # A node is answered by an agent only.
    answer = await _call(phone, dialog, more, cancel=sender == NODE)
    if 200 <= status(answer) < 300:
        call = dialog.call_id
        await centre.events.until(
            lambda: centre.events.busy_in.get(call) in _WAITS_IN or call in centre.events.ended,
            _SOON,
        )
        if sender != AGENT and centre.events.busy_in.get(call) == "Queue":
            await _rung(centre)
        await phone.ask("BYE", dialog, tries=3)
    phone.forget(dialog)
    return answer


async def _call(phone: Phone, dialog: Dialog, more: bytes, *, cancel: bool = False) -> bytes:
    """``cancel``: once Asterisk is at it, after a moment."""
    loop, once = asyncio.get_running_loop(), []

    def working(answer: bytes) -> None:
        if cancel and not once:
            once.append(loop.call_later(_RUNG, phone.cancel, dialog, answer))

    return await phone.ask("INVITE", dialog, more=more, sdp=True, within=12.0, provisional=working)


async def _rung(centre: Centre) -> None:
    """Wait until an agent's phone rings, if it will."""
    waits = [asyncio.ensure_future(centre.phones[a].rung.wait()) for a in AGENTS[:2]]
    done, waiting = await asyncio.wait(waits, timeout=_RUNG, return_when=asyncio.FIRST_COMPLETED)
    for wait in (*done, *waiting):
        wait.cancel()


async def connected(
    centre: Centre, caller: Phone, dialog: Dialog, more: bytes, agent: str
) -> Incoming | None:
    """The caller talks to the agent. Returns the call at the agent's phone."""
    phone = centre.phones[agent]
    phone.reply, before = (lambda _invite: OK), len(phone.calls)
    try:
        answer = await _call(caller, dialog, more)
    finally:
        phone.reply = lambda _invite: BUSY
    if not 200 <= status(answer) < 300 or len(phone.calls) == before:
        return None
    call = phone.calls[-1]
    protocol = centre.events.protocol
    await centre.events.until(
        lambda: any(protocol.get(name) == call.call_id for name, _ in centre.events.entered),
        _SOON,
    )
    return call


def dialog_with(phone: Phone, number: str, who: str) -> Dialog:
    what = Input(0, "request", TRUNK, "INVITE", (("user", number.encode()), ("from", who.encode())))
    return message.opening(what, phone.line)


async def _in_call(centre: Centre, what: Input, calls: dict[str, Input]) -> None:
    """A caller from the trunk, or another node, talks to 1002, and one of the two sends more."""
    node = NODE in centre.phones
    trunk = centre.phones[NODE if node else "trunk"]
    dialog = dialog_with(trunk, "agent-1002" if node else "1002", "+12025550177")
    calls[dialog.call_id] = what
    # Without the ids of its call, what a node sends is a caller like any other.
    ids = (
        b"X-AVP-Call: avp-20400-1796086028.676\r\nX-AVP-Transfer: 864471413ba2\r\n" if node else b""
    )
    call = await connected(centre, trunk, dialog, ids, "1002")
    if call is not None:
        calls[call.call_id] = what
        phone, said = trunk, dialog
        if what.sender == AGENT:
            phone, said = centre.phones["1002"], call.dialog
        more = message.headers(what, phone.line, _replaces(centre, what))
        sdp = what.method in ("INVITE", "UPDATE") and not (node and what.number % 3 == 0)
        await phone.ask(what.method, said, more=more, sdp=sdp, within=3.0)
        if what.method == "REFER":  # this may take the far end away
            await centre.events.until(lambda: call.call_id in centre.events.ended, _RUNG)
        phone.forget(said)
    await trunk.ask("BYE", dialog, tries=2)
    trunk.forget(dialog)


async def _moved(centre: Centre, what: Input, calls: dict[str, Input]) -> None:
    """The phone of 1002 answers 302, for a call from the queue or to its own number."""
    caller, phone = centre.phones["caller1"], centre.phones["1002"]
    more = message.moved_to(what, phone.line)
    phone.reply = lambda _invite: Reply(f"{what.method} Moved", more)
    phone.rung.clear()
    before = len(phone.calls)
    dialog = dialog_with(caller, ("803", "1002", "800")[what.number % 3], "caller1")
    dialog.local = dialog.local.replace(b"@127.0.0.2", b"@127.0.0.1")
    calls[dialog.call_id] = what
    try:
        asking = asyncio.ensure_future(_call(caller, dialog, b""))
        rung = asyncio.ensure_future(phone.rung.wait())
        await asyncio.wait({asking, rung}, timeout=2.5)
        rung.cancel()
        for call in phone.calls[before:]:
            calls[call.call_id] = what
            await centre.events.until(lambda c=call: c.call_id in centre.events.ended, _SOON)
        if 200 <= status(await asking) < 300:
            await caller.ask("BYE", dialog, tries=3)
    finally:
        phone.reply = lambda _invite: BUSY
        caller.forget(dialog)


async def _external(centre: Centre, what: Input, calls: dict[str, Input]) -> None:
    """1001 consults an external party about a caller from the trunk: the outgoing call has the
    caller's number."""
    trunk = centre.phones["trunk"]
    asked = replace(what, kind="request", parts=(("user", b"1001"), *what.parts))
    dialog = message.opening(asked, trunk.line)
    calls[dialog.call_id] = what
    more = message.headers(what, trunk.line, b"")
    call = await connected(centre, trunk, dialog, more, "1001")
    if call is not None:
        calls[call.call_id] = what
        before = len(centre.phones["pstn"].calls)
        centre.phones["pstn"].rung.clear()
        body = {"mode": "supervised", "target": {"kind": "number", "number": OUTSIDE}}
        code, transfer = await api(centre, "POST", "/v1/agents/1001/transfers", body)
        if code == 201:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(4):
                    await centre.phones["pstn"].rung.wait()
            for one in centre.phones["pstn"].calls[before:]:
                calls[one.call_id] = what
            # A BYE at the moment when Asterisk bridges the two again may be lost.
            await centre.bed.ami.until(lambda: _over(centre, transfer["id"]), 4.0)
    await trunk.ask("BYE", dialog, tries=2)
    trunk.forget(dialog)


async def _over(centre: Centre, transfer: str) -> bool | None:
    _, told = await api(centre, "GET", f"/v1/transfers/{transfer}")
    return told.get("ended_reason") is not None or None


async def api(centre: Centre, method: str, path: str, body: object = None) -> tuple[int, Any]:
    url = centre.bed.url + path
    headers = {"Authorization": f"Bearer {centre.bed.secrets.token}"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
        session.request(method, url, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()
