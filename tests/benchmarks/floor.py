"""The lower bound of a supervised transfer: Asterisk's own actions, sent by a bare script.

`latency` runs it as a separate process beside the daemon, on the same Asterisk and with its own
Stasis application. It decides, records, logs and checks nothing, writes no variables, handles no
event but StasisStart, and sends everything as early as possible. It knows two parties by the names
of their channels, and follows commands, one line of JSON each:

    {"do": "consult", "caller": …, "agent": …, "target": "1002"}
    {"do": "complete"}
    {"do": "cancel"}

and answers with one line when Asterisk has answered the AMI action.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
from contextlib import suppress
from typing import Any, Final

import aiohttp

APP: Final = "avp_floor"
#: For the test bed's dialplan.
EXTENSIONS: Final = f"""
[floor]
exten => caller,1,Stasis({APP},caller)
 same => n,Hangup()
exten => transferor,1,Stasis({APP},transferor)
 same => n,Hangup()
"""
_VARIABLES: Final = {
    "AVP_LEG": "consult",
    "__AVP_NO_POP": "yes",
    "AVP_TRANSFER": "floor",
    "AVP_HOLD_SECONDS": "60",
}


class Floor:
    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http, self._base = http, base
        self._writer: asyncio.StreamWriter
        self._ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[bool]] = {}
        self._arrived: dict[str, asyncio.Future[str]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._number = 0
        self.caller = self.agent = self.leg = ""

    # --- Asterisk ----------------------------------------------------------------------------

    async def connect(self, port: int, user: str, secret: str) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        self._spawn(self._read(reader))
        await self.ami("Login", Username=user, Secret=secret, Events="off")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        ok = number = ""
        while line := (await reader.readline()).decode():
            key, _, value = line.strip().partition(": ")
            if key == "Response":
                ok = value
            elif key == "ActionID":
                number = value
            elif not key and number in self._answers:
                self._answers.pop(number).set_result(ok == "Success")
                ok = number = ""

    async def ami(self, action: str, **headers: str) -> bool:
        number = str(next(self._ids))
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        lines = [f"Action: {action}", f"ActionID: {number}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return await answer

    async def ari(self, path: str, body: object = None, **query: str) -> None:
        async with self._http.post(f"{self._base}/{path}", params=query, json=body) as answer:
            await answer.read()

    async def ari_delete(self, path: str) -> None:
        async with self._http.delete(f"{self._base}/{path}") as answer:
            await answer.read()

    async def listen(self) -> None:
        url = f"{self._base}/events".replace("http:", "ws:")
        async with self._http.ws_connect(url, params={"app": APP}) as socket:
            print("ready", flush=True)
            async for message in socket:
                event = json.loads(message.data)
                if event["type"] == "StasisStart":
                    self._start(event)

    def _start(self, event: dict[str, Any]) -> None:
        channel = event["channel"]
        if channel["id"] == f"floor-{self._number}":
            self.leg = channel["name"]
            self._spawn(self._join_bridge(channel["id"], "consult"))
            self._spawn(self.ari_delete(f"channels/{self._arrived['agent'].result()}/moh"))
        elif event["args"] == ["caller"]:
            self._spawn(self._hold(channel["id"]))
            self._arrived["caller"].set_result(channel["id"])
        else:
            self._spawn(self._join_bridge(channel["id"], "consult"))
            self._arrived["agent"].set_result(channel["id"])

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- commands -----------------------------------------------------------------------------

    async def _join_bridge(self, channel: str, bridge: str) -> None:
        await self._bridges[bridge]
        await self.ari(f"bridges/floor-{bridge}-{self._number}/addChannel", channel=channel)

    async def _hold(self, channel: str) -> None:
        await self._join_bridge(channel, "hold")
        await self.ari(f"channels/{channel}/moh")

    async def consult(self, caller: str, agent: str, target: str) -> None:
        self._number += 1
        self.caller, self.agent, self.leg = caller, agent, ""
        loop = asyncio.get_running_loop()
        self._arrived = {who: loop.create_future() for who in ("caller", "agent")}
        redirected = self._spawn(
            self.ami(
                "Redirect",
                Channel=caller,
                Context="floor",
                Exten="caller",
                Priority="1",
                ExtraChannel=agent,
                ExtraContext="floor",
                ExtraExten="transferor",
                ExtraPriority="1",
            )
        )
        self._bridges = {
            name: self._spawn(
                self.ari(f"bridges/floor-{name}-{self._number}", type="mixing,dtmf_events")
            )
            for name in ("hold", "consult")
        }
        self._spawn(self._dial(target))
        print(await redirected, flush=True)

    async def _dial(self, target: str) -> None:
        await self._arrived["caller"]
        agent = await self._arrived["agent"]
        self._spawn(self.ari(f"channels/{agent}/moh"))
        await self.ari(
            "channels",
            {"variables": _VARIABLES},
            endpoint=f"Local/{target}@avp-agent-queue",
            app=APP,
            channelId=f"floor-{self._number}",
            otherChannelId=f"floor-{self._number}-queue",
            originator=agent,
            callerId="floor <1001>",
            timeout="-1",
        )

    async def _stop_music(self) -> None:
        """Bridge usually ends the caller's music, but not always.

        This request is necessary for a correct result, so it is part of the lower bound.
        """
        await self.ari_delete(f"channels/{self._arrived['caller'].result()}/moh")

    async def complete(self) -> None:
        await self._stop_music()
        done = await self.ami("Bridge", Channel1=self.leg, Channel2=self.caller, Tone="no")
        print(done, flush=True)
        await self.ami("Hangup", Channel=self.agent)
        await self._clean_up()

    async def cancel(self) -> None:
        hanging_up = self._spawn(self.ami("Hangup", Channel=self.leg))
        await self._stop_music()
        done = await self.ami("Bridge", Channel1=self.agent, Channel2=self.caller, Tone="no")
        print(done, flush=True)
        await hanging_up
        await self._clean_up()

    async def _clean_up(self) -> None:
        for name in ("hold", "consult"):
            await self.ari_delete(f"bridges/floor-{name}-{self._number}")


async def main() -> None:
    """Run the commands. The first line of the input has Asterisk's addresses."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    where = json.loads(await lines.readline())
    credentials = f"{where['ari_user']}:{where['ari_password']}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        floor = Floor(http, where["ari"])
        await floor.connect(where["ami_port"], where["ami_user"], where["ami_secret"])
        listening = asyncio.create_task(floor.listen())
        while line := await lines.readline():
            order = json.loads(line)
            await getattr(floor, order.pop("do"))(**order)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


if __name__ == "__main__":
    asyncio.run(main())
