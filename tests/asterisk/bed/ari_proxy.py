"""ARI with faults: a proxy between the daemon and Asterisk.

Everything is forwarded to a real Asterisk; only the given requests are answered here, or held, and
events are dropped while it is deaf.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession, WSMsgType, web

_HEADERS = ("Authorization", "Content-Type")


@dataclass
class Fault:
    """The next `times` requests ``METHOD /path`` that match the pattern get this status.

    Status 0: no answer; `carried_out`: Asterisk receives the request anyway.
    """

    pattern: re.Pattern[str]
    status: int
    times: int
    carried_out: bool = False
    met: int = 0


@dataclass
class AriProxy:
    target: int
    #: Drop events but answer pings, like a deadlock of the application.
    deaf: bool = False
    faults: list[Fault] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None
    _session: ClientSession | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/ari/events", self._events)
        app.router.add_route("*", "/{path:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self._session = ClientSession(f"http://127.0.0.1:{self.target}")

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def daemon_env(self) -> dict[str, str]:
        return {"AVP_ARI__URL": f"http://127.0.0.1:{self.port}/ari"}

    def fail(
        self, pattern: str, status: int = 503, times: int = 1, *, carried_out: bool = False
    ) -> Fault:
        """See `Fault`."""
        fault = Fault(re.compile(pattern), status, times, carried_out)
        self.faults.append(fault)
        return fault

    def mend(self) -> None:
        self.deaf = False
        self.faults.clear()

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path.removeprefix('/ari')}"
        fault = next((f for f in self.faults if f.met < f.times and f.pattern.search(line)), None)
        if fault is not None:
            fault.met += 1
            if fault.carried_out:
                await self._pass_on(request)
            if fault.status == 0:
                await asyncio.Event().wait()  # until the daemon gives up
            return web.Response(status=fault.status, text="injected")
        return await self._pass_on(request)

    async def _pass_on(self, request: web.Request) -> web.Response:
        assert self._session is not None
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        try:
            async with self._session.request(
                request.method, request.rel_url, headers=headers, data=await request.read()
            ) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.content_type if answer.status != 204 else None,
                )
        except ClientError:  # Asterisk is not reachable
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = {"Authorization": request.headers["Authorization"]}
        ours = web.WebSocketResponse()
        try:
            connecting = await self._session.ws_connect(request.rel_url, headers=headers)
        except ClientError:
            return web.Response(status=502)
        async with connecting as theirs:
            await ours.prepare(request)

            async def forward() -> None:
                async for message in theirs:
                    if message.type is WSMsgType.TEXT and not self.deaf:
                        await ours.send_str(message.data)
                await ours.close()

            forwarding = asyncio.create_task(forward())
            with contextlib.suppress(ConnectionError):
                async for _ in ours:
                    pass
            forwarding.cancel()
        return ours
