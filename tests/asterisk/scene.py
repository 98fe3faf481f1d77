"""The vocabulary of tests: who calls whom, requests to the API, and who is connected to whom."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import requests
from bed import Bed, Phone, Row, match, party
from bed.procs import end, exited

NUMBERS = {"sales": "800", "support": "801", "desk": "802"}
FOURTH = "+12025550100"
"""An external number that policy allows."""


class Answer:
    """An HTTP answer: its status and JSON body."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.body: Any = response.json() if response.content else None

    def __repr__(self) -> str:
        return f"{self.status} {self.body}"


class Scene:
    """One test's view of the call centre."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.ami = bed.ami
        self.books_mark = 0
        self.since = time.time()
        self.dead: set[str] = set()
        """Phones that the test has ended (`die`)."""
        self.expected: set[str] = set()
        """Log messages of the daemon that are not faults in this test."""

    def begin(self) -> None:
        self.books_mark = self.bed.queue_log.mark()
        self.since = time.time()

    def phone(self, name: str) -> Phone:
        return self.bed.phones[name]

    def log_of_daemon(self, since: int = 0) -> str:
        """The daemon's log, from this number of characters on."""
        return Path(self.bed.directory, "log", "daemon.log").read_text(errors="replace")[since:]

    async def metric(self, name: str) -> float:
        """A metric without labels."""
        answer = await asyncio.to_thread(requests.get, f"{self.bed.url}/metrics", timeout=5)
        (line,) = [line for line in answer.text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])

    # --- the API -----------------------------------------------------------------------------

    async def api(self, method: str, path: str, body: object = None) -> Answer:
        def send() -> Answer:
            return Answer(
                requests.request(
                    method,
                    self.bed.url + path,
                    json=body,
                    headers={"Authorization": f"Bearer {self.bed.secrets.token}"},
                    timeout=10,
                )
            )

        return await asyncio.to_thread(send)

    async def ask(self, agent: str, mode: str, kind: str, target: str, **more: object) -> Answer:
        """Request a transfer, whatever the answer."""
        body = {"mode": mode, "target": {"kind": kind, "id": target}, **more}
        return await self.api("POST", f"/v1/agents/{agent}/transfers", body)

    async def transfer(
        self, agent: str, mode: str, target: str, kind: str = "agent", **more: object
    ) -> str:
        """Request a transfer that must be accepted. Returns its id.

        As a panel does, once the API shows the agent's call, and no other transfer to the target:
        the daemon learns of both a moment after the phones.
        """

        async def may_ask() -> bool | None:
            if not (await self.agent(agent)).get("call"):
                return None
            taken = kind == "agent" and (await self.agent(target)).get("waiting_transfer")
            return None if taken else True

        await self.ami.until(may_ask, 2.0)  # otherwise the answer says what is wrong
        answer = await self.ask(agent, mode, kind, target, **more)
        assert answer.status == 201, answer
        return str(answer.body["id"])

    async def refused(self, agent: str, mode: str, kind: str, target: str) -> str:
        """Request a transfer that must be refused. Returns the reason."""
        answer = await self.ask(agent, mode, kind, target)
        assert answer.status == 403, answer
        assert answer.body["error"] == "refused"
        assert answer.body["message"]
        return str(answer.body["reason"])

    async def complete(self, transfer: str) -> None:
        answer = await self.api("POST", f"/v1/transfers/{transfer}/complete")
        assert answer.status == 200, answer

    async def cancel(self, transfer: str) -> None:
        answer = await self.api("POST", f"/v1/transfers/{transfer}/cancel")
        assert answer.status == 200, answer

    async def act(self, transfer: str, action: str, expected: int = 200) -> Answer:
        """``complete``, ``cancel``, ``swap`` or ``conference``. Returns the answer."""
        answer = await self.api("POST", f"/v1/transfers/{transfer}/{action}")
        assert answer.status == expected, answer
        return answer

    async def parties(self, transfer: str, *wanted: str, within: float = 5.0) -> None:
        """Wait until exactly these are the parties of the transfer (by id)."""

        async def look() -> bool | None:
            body = (await self.api("GET", f"/v1/transfers/{transfer}")).body
            return [party["id"] for party in body["parties"]] == list(wanted) or None

        found = await self.ami.until(look, within)
        assert found, await self.api("GET", f"/v1/transfers/{transfer}")

    async def state(self, transfer: str) -> str:
        answer = await self.api("GET", f"/v1/transfers/{transfer}")
        return str(answer.body["state"])

    async def reaches(self, transfer: str, state: str, within: float = 5.0) -> dict[str, Any]:
        """Wait until the transfer is in a state. Returns the transfer."""

        async def look() -> dict[str, Any] | None:
            body = (await self.api("GET", f"/v1/transfers/{transfer}")).body
            return body if body.get("state") == state else None

        found = await self.ami.until(look, within)
        assert found is not None, (
            f"not {state} but {await self.api('GET', f'/v1/transfers/{transfer}')}"
        )
        return found

    async def ends(self, transfer: str, state: str, reason: str, within: float = 5.0) -> None:
        """Wait until the transfer has ended, in this state and with this reason."""
        body = await self.reaches(transfer, state, within)
        assert body["ended_reason"] == reason, body

    async def agent(self, agent: str) -> dict[str, Any]:
        return (await self.api("GET", f"/v1/agents/{agent}")).body  # type: ignore[no-any-return]

    async def talks_with(self, agent: str, caller: str | None, within: float = 5.0) -> None:
        """Wait until the daemon shows this caller as the agent's call; None: no call."""

        async def look() -> bool | None:
            call = (await self.agent(agent))["call"]
            return (call and call["caller"]) == caller or None

        assert await self.ami.until(look, within), (caller, await self.agent(agent))

    async def agent_is(self, agent: str, state: str, within: float = 5.0) -> dict[str, Any]:
        """Wait until the daemon shows the agent in a state."""

        async def look() -> dict[str, Any] | None:
            found = await self.agent(agent)
            return found if found["state"] == state else None

        found = await self.ami.until(look, within)
        assert found is not None, f"{agent} is not {state} but {(await self.agent(agent))['state']}"
        return found

    async def has_call(self, agent: str, **fields: object) -> dict[str, Any]:
        """Wait until the daemon shows a call of the agent with these fields. Returns the call.

        Asterisk shows a bridge before its events have come to the daemon.
        """

        async def look() -> dict[str, Any] | None:
            call: dict[str, Any] | None = (await self.agent(agent))["call"]
            fits = call is not None and all(call[name] == value for name, value in fields.items())
            return call if fits else None

        found = await self.ami.until(look, 5.0)
        assert found is not None, await self.agent(agent)
        return found

    async def slot_is_free(self, agent: str, within: float = 3.0) -> None:
        """Wait until the daemon knows that no transferred call waits for the agent any more.

        Asterisk tells the end of a wait apart from the end of the transfer.
        """

        async def look() -> bool | None:
            return not (await self.agent(agent))["waiting_transfer"] or None

        assert await self.ami.until(look, within), await self.agent(agent)

    @asynccontextmanager
    async def passing(self, agent: str, state: str, within: float = 15.0) -> AsyncIterator[None]:
        """The daemon shows the agent in a state from within the context on.

        For a state that may be over before what else happens in the context has been looked at.
        """
        looking = asyncio.create_task(self.agent_is(agent, state, within))
        try:
            yield
            await looking
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    # --- calls -------------------------------------------------------------------------------

    async def press(self, name: str, keys: str) -> None:
        """Send each key after Asterisk has received the previous one; others may get lost."""
        for key in keys:
            mark = await self.ami.mark()
            had = match("DTMFEnd", Direction="Received", Digit=key)
            await self.phone(name).command("sndcode", key)
            await self.ami.wait(
                lambda e, had=had: had(e) and party(e["Channel"]) == name, 2.0, mark
            )

    async def prompted(self, agent: str, since: float, within: float = 3.0) -> None:
        """Wait until a phone has heard a prompt: keys from before it are no answer."""

        async def look() -> bool | None:
            return "speech" in self.phone(agent).heard(since) or None

        assert await self.ami.until(look, within), self.phone(agent).timeline(since)

    async def call(
        self, caller: str, agent: str, group: str = "sales", number: str | None = None
    ) -> None:
        """``caller`` dials the group's number, ``agent`` answers, both hear each other."""
        await self.phone(caller).dial(number or NUMBERS[group])
        await self.phone(agent).answer()
        await self.talking(caller, agent)
        await self.known(agent)

    async def direct_call(self, caller: str, agent: str) -> None:
        """Without a queue: the caller dials the agent's own number."""
        await self.phone(caller).dial(agent)
        await self.phone(agent).answer()
        await self.talking(caller, agent)
        await self.known(agent)

    async def known(self, agent: str) -> None:
        """Wait until the daemon, if one runs and serves, shows the agent as talking, and the call.

        It learns both a moment after the parties hear each other: a request at once would be
        refused because the agent has no call. What a daemon does not show in time is left to the
        test to judge: some do not follow Asterisk at that moment, by intention.
        """

        async def look() -> bool | None:
            try:
                answer = await self.api("GET", "/readyz")
                if answer.status == 200:
                    answer = await self.api("GET", f"/v1/agents/{agent}")
            except requests.RequestException:
                return True
            if answer.status != 200:
                return True
            # Offline: who is in no queue may have a direct call.
            shown = answer.body["state"] in ("talking", "offline")
            return (shown and answer.body["call"] is not None) or None

        if self.bed.daemon is not None:
            await self.ami.until(look, 2.0)

    async def talking(self, *names: str, within: float = 5.0) -> None:
        """These hear one another and nothing else, and are the only parties of one bridge."""
        await self.hear_one_another(*names, within=within)
        await self.ami.bridged(*map(self.seat, names), within=within)

    async def rung_again(self, name: str) -> None:
        """The phone stops ringing for the one call and rings for, and answers, the next.

        The one is the call whose ringing was waited for; the next may be there already.
        """
        phone = self.phone(name)
        for call in phone.live:
            if call.noticed:
                await phone.closed(call)
        await phone.answer(within=6)

    async def hear_one_another(self, *names: str, within: float = 5.0) -> None:
        """These hear one another and nothing else, in whatever bridge."""
        for name in names:
            await self.phone(name).hearing({other for other in names if other != name}, within)

    def seat(self, name: str) -> str:
        """The channel in a bridge for this phone: with members Local/…/n, half of that channel."""
        if self.bed.world.local_members and any(a.id == name for a in self.bed.world.agents):
            return f"{name}@{self.bed.world.member_context}"
        return name

    async def on_music(self, *names: str, within: float = 4.0) -> None:
        for name in names:
            await self.phone(name).hearing({"music"}, within)

    async def consult(self, caller: str, agent: str, target: str) -> str:
        """A call, a supervised transfer and the target's answer. Returns the transfer."""
        await self.call(caller, agent)
        transfer = await self.transfer(agent, "supervised", target)
        await self.phone(target).answer()
        await self.consulting(transfer, caller, agent, target)
        return transfer

    async def consulting(self, transfer: str, caller: str, agent: str, target: str) -> None:
        """The consultation is private and two-way, and the caller hears only music."""
        await self.reaches(transfer, "consulting")
        await self.phone(agent).hearing({target})
        await self.phone(target).hearing({agent})
        await self.phone(caller).hearing({"music"})

    async def plain(self, *names: str, within: float = 3.0) -> None:
        """A basic bridge of exactly these, nothing of ours in it, and no Local channel of ours."""
        seats = [self.seat(name) for name in names]

        async def look() -> bool | None:
            bridges = [b for b in await self.ami.bridges() if b.holds(*seats)]
            channels = [c["Channel"] for c in await self.ami.channels()]
            local = [c for c in channels if c.startswith("Local/") and party(c) not in seats]
            done = len(bridges) == 1 and bridges[0].kind == "basic" and not local
            return done or None

        assert await self.ami.until(look, within), await self.ami.bridges()

    async def hang_up(self, *names: str) -> None:
        for name in names:
            await self.phone(name).hangup()

    async def gone(self, *names: str, within: float = 5.0) -> None:
        """These phones have no call (any more)."""
        for name in names:
            phone = self.phone(name)
            if phone.live:
                await phone.closed(within=within)

    async def pause(self, agent: str, *, paused: bool = True) -> None:
        await self.ami.action(
            "QueuePause",
            Interface=self.bed.world.interface(agent),
            Paused="true" if paused else "false",
        )

    @asynccontextmanager
    async def without_phone(self, agent: str, *, registered: bool = False) -> AsyncIterator[None]:
        """The agent's phone is off within the context. ``registered``: it did not unregister."""
        phone = self.phone(agent)
        assert phone.process is not None
        await phone.detach()
        await asyncio.to_thread(end, phone.process)
        try:
            if not registered:
                await self.agent_is(agent, "offline")
            yield
        finally:
            await self.start_again(phone)

    async def die(self, *names: str) -> None:
        """The phones go without a word: no BYE, no RTP. They stay registered."""
        for name in names:
            phone = self.phone(name)
            assert phone.process is not None
            self.dead.add(name)
            await phone.detach()
            await asyncio.to_thread(end, phone.process, first=signal.SIGKILL)

    async def revive(self) -> None:
        """Start the phones again that have died."""
        while self.dead:
            await self.start_again(self.phone(self.dead.pop()))

    async def start_again(self, phone: Phone) -> None:
        """Start a phone that has ended; its ears remain open."""
        await phone.detach()
        for call in phone.live:
            call.state, call.ended = "closed", time.time()
        await phone.start()

    async def log_in(self, agent: str, *queues: str, **more: str) -> None:
        """Make the agent a member (default: of their groups' queues)."""
        world = self.bed.world
        for queue in queues or tuple(group.queue for group in world.groups_of(agent)):
            action = world.member_action(agent, queue) | more
            await self.ami.action(action.pop("Action"), **action)

    async def log_out(self, agent: str, *queues: str, interface: str = "") -> None:
        world = self.bed.world
        for queue in queues or tuple(group.queue for group in world.groups_of(agent)):
            await self.ami.action(
                "QueueRemove", Queue=queue, Interface=interface or world.interface(agent)
            )

    # --- books -------------------------------------------------------------------------------

    def completions(self) -> dict[str, list[Row]]:
        """Completed calls in queue_log since the test began, by agent."""
        return self.bed.queue_log.completions(self.books_mark)

    async def booked(self, **calls: int) -> dict[str, list[Row]]:
        """Wait until each agent (by name) has exactly this many completed calls."""

        async def look() -> dict[str, list[Row]] | None:
            found = self.completions()
            # The event comes a moment after the line in the log.
            events = self.ami.seen(match("AgentComplete"), self.since)
            told = [event["MemberName"] for event in events]
            logged = {name: len(rows) for name, rows in found.items()}
            same = logged == calls == {name: told.count(name) for name in calls}
            return found if same else None

        found = await self.ami.until(look, 3.0)
        assert found is not None, self.bed.queue_log.rows(self.books_mark)
        return found

    def offers(self, agent: str, since: float | None = None) -> list[str]:
        """The calls for which app_queue rang an agent (caller or consult leg), one per ring."""
        rung = match("AgentCalled", Interface=self.bed.world.interface(agent))
        return [
            "consult" if event["Channel"].startswith("Local/") else party(event["Channel"])
            for event in self.ami.seen(rung, self.since if since is None else since)
        ]

    async def waits(self, queue: str, *callers: str, within: float = 3.0) -> None:
        """Wait until exactly these wait in the queue, in this order."""

        async def look() -> bool | None:
            found = [party(entry["Channel"]) for entry in await self.ami.waiting(queue)]
            return found == list(callers) or None

        assert await self.ami.until(look, within), await self.ami.waiting(queue)

    async def variable(self, name: str, variable: str) -> str:
        """A channel variable of the one channel of a phone."""
        channel = await self.ami.channel_of(name)
        return await self.ami.variable(channel["Channel"], variable)

    def endings(self) -> list[str]:
        """How calls left queues since the test began."""
        return [row.event for row in self.bed.queue_log.endings(self.books_mark)]

    def rows(self) -> list[Row]:
        """All rows of queue_log since the test began."""
        return self.bed.queue_log.rows(self.books_mark)

    def entered(self) -> list[Row]:
        """Calls that entered a queue since the test began."""
        return [row for row in self.rows() if row.event == "ENTERQUEUE"]

    # --- before and after ----------------------------------------------------------------------

    async def everybody_free(self) -> None:
        for phone in self.bed.phones.values():
            if phone.process is not None and exited(phone.process) is not None:
                await self.start_again(phone)  # baresip crashes now and then
        await self.bed.idle()
        await self.wrapped_up()
        if self.bed.world.members == "dynamic":
            # Else the daemon's picture from before `idle` would be taken for the new one.
            for agent in self.bed.world.agents:
                await self.agent_is(agent.id, "offline")
            for agent in self.bed.world.agents:
                await self.log_in(agent.id)
        for agent in self.bed.world.agents:
            await self.agent_is(agent.id, "available", within=15.0)
        # No event of what happened before may come in later.
        await self.ami.mark()

    async def wrapped_up(self) -> None:
        """app_queue itself would offer every member a call: the daemon learns of the end of a call
        a moment later, and another agent would ring in a test that begins at that moment."""

        async def look() -> bool | None:
            now = time.time()
            for group in self.bed.world.groups:
                for member in (await self.ami.members(group.queue)).values():
                    wrap = int(member.get("Wrapuptime") or 0) or self.bed.wrapuptime(group.queue)
                    if member["InCall"] == "1" or now < int(member["LastCall"]) + wrap:
                        return None
            return True

        assert await self.ami.until(look, 15.0)

    async def over(self) -> None:
        """All hang up; then nothing is left."""
        await self.revive()
        # Callers first: an agent who hangs up is rung again for a caller who still waits.
        agents = {agent.id for agent in self.bed.world.agents}
        for name in sorted(self.bed.phones, key=agents.__contains__):
            await self.bed.phones[name].idle()
        await self.ami.assert_clean()
        # The daemon hears of the end of a call a moment after Asterisk shows it.

        async def ended() -> bool | None:
            transfers = (await self.api("GET", "/v1/transfers")).body
            return all(one["ended_reason"] is not None for one in transfers) or None

        assert await self.ami.until(ended, 3.0), await self.api("GET", "/v1/transfers")
