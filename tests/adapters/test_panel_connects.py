"""A panel that connects costs no more among many agents and transfers than among few.

The daemon's own API serves a panel over real sockets. What it does for it is counted as steps of
its own code, not timed. The event loop and the HTTP server also take steps for the time that
passes. The panel is in another thread, which is not counted.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest
import requests
from scripted_transfer_service import bearer
from websockets.sync.client import connect

import asterisk_avp
from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.server import serve
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.service.daemon import Daemon
from tests.config.test_settings import CONNECTIONS, NOWHERE
from tests.core.world import NOW, call, member, request

GROUPS, COLLEAGUES = 12, 10
OTHERS = GROUPS - 1
ME = "2000"
OWN = str(Path(asterisk_avp.__file__).parent)
FEW, MANY = 40, 1200
TRANSFERS = 50
ONE_CLIENT = {
    "AVP_ACCOUNTS__ACME__CONTRACTED": "true",
    **{f"AVP_GROUPS__G{n:02d}__QUEUE": f"g{n:02d}" for n in range(GROUPS)},
    **{f"AVP_GROUPS__G{n:02d}__ACCOUNT": "acme" for n in range(GROUPS)},
}
TWO_CLIENTS = {
    **ONE_CLIENT,
    "AVP_ACCOUNTS__OTHER__CONTRACTED": "true",
    **{f"AVP_GROUPS__G{n:02d}__ACCOUNT": "other" for n in range(6, GROUPS)},
}


async def daemon_of(agents: int, settings: dict[str, str], transfers: int = 0) -> Daemon:
    """The first agents are colleagues in one group, the others are in two others each."""
    daemon = Daemon(Settings.load(CONNECTIONS | settings, NOWHERE))
    engine = daemon._engine
    for n in range(agents):
        own = [0] if n < COLLEAGUES else [1 + n % OTHERS, 1 + (n + 1) % OTHERS]
        for group in own:
            engine.fact(member(str(2000 + n), f"g{group:02d}"), NOW)
    for n in range(transfers):
        first = COLLEAGUES + 2 * OTHERS * n
        transferor, target = str(2000 + first), str(2000 + first + OTHERS)
        call(engine, transferor, f"caller{n}", f"g{1 + first % OTHERS:02d}")
        session, _ = engine.request(request(transferor, target), CallVariables(), NOW)
        if n % 2:
            gone = SessionEvent(EventType.CALLER_GONE)
            engine.store.apply(session.id, gone, NOW, Outcome())
    assert len(engine.store.records) == transfers
    return daemon


def page(url: str, token: str) -> list[int]:
    """What a page asks for when it is opened. The bytes of each answer."""
    sizes = []
    socket = url.replace("http", "ws") + "/v1/events?lists=coalesced"
    with connect(socket, additional_headers=bearer(token)) as stream:
        sizes += [len(stream.recv()), len(lists := stream.recv())]
        assert '"complete": true' in lists[:60]
        assert lists.count('"name"') == COLLEAGUES
    for path in ("targets", "transfers", ""):
        answer = requests.get(f"{url}/v1/agents/{ME}/{path}", headers=bearer(token), timeout=60)
        assert answer.status_code == 200
        sizes.append(len(answer.content))
    return sizes


class Steps:
    """Counts the steps of Python that this thread takes in the product's own code."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(OWN):
            return None
        frame.f_trace_opcodes = True
        self.count += event == "opcode"
        return self._trace


async def opening(daemon: Daemon) -> tuple[int, list[int]]:
    """The steps for a page that is opened, and the bytes that it gets."""
    auth = Authenticator(pins={ME: "1"})
    token = await auth.login(ME, "1", "10.0.0.1")
    app = create_app(daemon.transfer_service, auth, scopes=daemon._engine.scope_of)
    server = await serve(app, "127.0.0.1", 0)
    try:
        await asyncio.to_thread(page, server.url, token)  # imports, and what is kept for the next
        counts = []
        for _ in range(3):  # some of them while a second passes, and the connections are swept
            with Steps() as steps:
                sizes = await asyncio.to_thread(page, server.url, token)
            counts.append(steps.count)
        return min(counts), sizes
    finally:
        await server.stop()
        await daemon._ari.close()


@pytest.mark.parametrize("settings", [ONE_CLIENT, TWO_CLIENTS], ids=["one client", "two clients"])
async def test_a_panel_costs_as_much_among_many(settings: dict[str, str]) -> None:
    few, small = await opening(await daemon_of(FEW, settings))
    many, large = await opening(await daemon_of(MANY, settings, TRANSFERS))
    assert few > 10_000
    assert many < few * 1.1, f"{many} steps among many, {few} among few"
    # Only the counts of the other groups have more digits.
    assert all(a <= b <= a + 12 * GROUPS for a, b in zip(small, large, strict=True)), (small, large)
