"""The PBX's own FastAGI server: what its local AGI programs do goes through it.

It speaks AGI (res_agi.c): the request's variables until an empty line, then one command and one
answer at a time. What it asks about the PBX, it asks by AMI, as the real programs do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from bed import ActionFailed, Probe

_SECONDS = 10.0


class FastAgi:
    """`hint`: the hint of a user with these devices."""

    def __init__(self, port: int, ami: Probe, hint: Callable[[str, Iterable[str]], str]) -> None:
        self.port = port
        #: The programs that ran, with their arguments.
        self.ran: list[tuple[str, ...]] = []
        self._ami = ami
        self._hint = hint
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"agi://127.0.0.1:{self.port}"

    async def start(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                given: dict[str, str] = {}
                while line := (await reader.readline()).decode().strip():
                    name, _, value = line.partition(": ")
                    given[name] = value
                arguments = [given[f"agi_arg_{n}"] for n in range(1, 10) if f"agi_arg_{n}" in given]
                program = given["agi_network_script"]
                self.ran.append((program, *arguments))
                channel = Channel(reader, writer)
                match program, arguments:
                    case "queue_devstate.agi", ["getqueues", user]:
                        await self._where(channel, user)
                    case "user_login_out.agi", ["login", device, user]:
                        await self._log_in(device, user)
                    case "user_login_out.agi", ["logout", device]:
                        await self._log_in(device, await self._row(f"DEVICE/{device}/default_user"))
        except (TimeoutError, ConnectionError):
            pass  # the caller has hung up
        finally:
            writer.close()

    async def _where(self, channel: Channel, user: str) -> None:
        """Whether the user is logged in to the queue of the call."""
        queue = await channel.get("QUEUENO")
        members = await self._ami.members(queue)
        mine = [m for m in members.values() if m["Location"] == f"Local/{user}@from-queue/n"]
        state = "LOGGEDOUT"
        if mine:
            state = "LOGGEDIN" if mine[0]["Membership"] == "dynamic" else "STATIC"
        await channel.set("QUEUESTAT", state)

    async def _log_in(self, device: str, user: str) -> None:
        """From now on the device is this user's ("" nobody's)."""
        before = await self._row(f"DEVICE/{device}/user")
        if before not in ("", "none"):
            await self._devices(before, remove=device)
        await self._put(f"DEVICE/{device}/user", user or "none")
        if user:
            await self._devices(user, add=device)

    async def _devices(self, user: str, add: str = "", remove: str = "") -> None:
        key = f"AMPUSER/{user}/device"
        devices = [x for x in (await self._row(key)).split("&") if x and x != remove]
        devices += [add] if add and add not in devices else []
        await self._put(key, "&".join(devices))
        hint = self._hint(user, devices)
        await self._put(f"AMPUSER/{user}/hint", hint)
        await self._ami.command(f"dialplan add extension {user},hint,{hint} into ext-local replace")

    async def _row(self, key: str) -> str:
        family, _, name = key.rpartition("/")
        try:
            await self._ami.action("DBGet", Family=family, Key=name)
        except ActionFailed:
            return ""
        text = await self._ami.command(f"database get {family} {name}")
        return text.partition("Value: ")[2].strip()

    async def _put(self, key: str, value: str) -> None:
        family, _, name = key.rpartition("/")
        await self._ami.action("DBPut", Family=family, Key=name, Val=value)


class Channel:
    """One call's AGI commands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def _command(self, text: str) -> str:
        self._writer.write(f"{text}\n".encode())
        answer = (await self._reader.readline()).decode().strip()
        if not answer.startswith("200 "):
            raise ConnectionError(f"{text}: {answer}")
        return answer

    async def set(self, name: str, value: str) -> None:
        await self._command(f'SET VARIABLE {name} "{value}"')

    async def get(self, name: str) -> str:
        return (await self._command(f"GET VARIABLE {name}")).partition("(")[2].removesuffix(")")
