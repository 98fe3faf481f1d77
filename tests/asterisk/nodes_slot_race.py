"""Four transfers to one busy agent at one moment, from three nodes: exactly one may wait.

    tests/run slot-race [--rounds 200] [--seed 1]

The target's personal queue on node b has one place. Alice and Bob on node a, Erin on node b and
Frank on node c ask for it at once, each for a caller of their own node: by the API, by the phone's
Transfer button or by the last key of a feature code, supervised or not, as the round's seed says.
After each round exactly one call waits, the three others were refused with `target_queue_full` and
still talk, and the place is free again once the first has been taken back.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

from bed.nodes import Nodes

from tests.asterisk.nodes_scene import NodesScene, open_nodes

TARGET, KEEPS_BUSY = "1003", "caller3"
PAIRS: Final[Mapping[str, str]] = {
    "1001": "caller1",
    "1002": "caller2",
    "1005": "caller4",
    "1006": "caller5",
}
"""Who asks, and the caller they talk to. All calls come by the group ``sales``."""
WAYS: Final = ("api", "api", "button", "code")
QUEUE: Final = f"avp-agent-{TARGET}"
SETTINGS: Final = {
    "AVP_SESSION__RING_SECONDS": "6",
    "AVP_GROUPS__SALES__MAX_HOLD_ACTION": "return",
}
OPTIONS: Final[Mapping[str, Any]] = {
    "settings": SETTINGS,
    "max_hold_seconds": 60,
    "wrapuptime": 1,
    "call_seconds": 1800,
}


@dataclass(frozen=True)
class Plan:
    """How each of the four asks."""

    ways: Mapping[str, str]
    modes: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{x} {self.ways[x]} {self.modes[x]}" for x in self.ways)


@dataclass
class Result:
    rounds: int = 0
    waited: Counter[str] = field(default_factory=Counter)
    """Who got the place, and by which way and mode."""
    refused: int = 0
    by_queue: int = 0
    """Those of them whom the queue refused, because the daemon did not answer in time."""
    seconds: float = 0.0

    def __str__(self) -> str:
        who = ", ".join(f"{count} {how}" for how, count in sorted(self.waited.items()))
        return (
            f"{self.rounds} rounds in {self.seconds:.0f} s: {sum(self.waited.values())} calls "
            f"waited ({who}), {self.refused} were refused "
            f"({self.by_queue} by the queue alone), nobody was lost, nothing was left"
        )


def plans(seed: int, *, ways: Sequence[str] = WAYS) -> Iterator[Plan]:
    chosen = random.Random(seed)
    while True:
        how = {agent: chosen.choice(ways) for agent in PAIRS}
        # A feature code consults first, a phone's button asks for what its agent may do at once.
        modes = {
            agent: {"button": "unsupervised", "code": "supervised"}.get(
                way, chosen.choice(("supervised", "unsupervised"))
            )
            for agent, way in how.items()
        }
        yield Plan(how, modes)


class Race:
    def __init__(self, scene: NodesScene) -> None:
        self.scene = scene
        self.result = Result()

    async def begin(self) -> None:
        """Everybody talks, the target too."""
        await self.scene.call(KEEPS_BUSY, TARGET, "support")
        for agent in PAIRS:
            await self._call(agent)
        for node in "ac":
            await self.scene.sees(node, TARGET, state="talking")

    async def _call(self, agent: str) -> None:
        scene = self.scene
        await scene.of(agent).agent_is(agent, "available", within=15.0)
        await scene.phone(PAIRS[agent]).dial("800")
        await scene.phone(agent).answer(within=10.0)
        await scene.talking(PAIRS[agent], agent)
        await scene.of(agent).has_call(agent, transfer=None)

    async def round(self, plan: Plan) -> None:
        """Raises `AssertionError` where more or fewer than one call waits, or one is lost."""
        began = time.monotonic()
        await asyncio.gather(*(self._prepare(x) for x, way in plan.ways.items() if way == "code"))
        asked = await asyncio.gather(*(self._ask(agent, plan) for agent in PAIRS))
        told = dict(zip(PAIRS, asked, strict=True))
        winner = await self._one_waits(plan, told)
        await asyncio.gather(*(self._refused(x, plan, told[x]) for x in PAIRS if x != winner))
        self.result.waited[f"{winner} {plan.ways[winner]} {plan.modes[winner]}"] += 1
        self.result.refused += len(PAIRS) - 1
        await self._restore(winner, plan)
        self.result.rounds += 1
        self.result.seconds += time.monotonic() - began

    async def _prepare(self, agent: str) -> None:
        """All keys but the last."""
        scene, since = self.scene.of(agent), time.time()
        await scene.press(agent, "*7")
        await self.scene.on_music(PAIRS[agent])
        await scene.prompted(agent, since)
        await scene.press(agent, TARGET)

    async def _ask(self, agent: str, plan: Plan) -> str:
        """The reason of the refusal, or the id of the transfer. Empty: the phone is not told."""
        scene = self.scene.of(agent)
        match plan.ways[agent]:
            case "api":
                answer = await scene.ask(agent, plan.modes[agent], "agent", TARGET)
                if answer.status == 201:
                    return str(answer.body["id"])
                assert answer.status == 403, (agent, answer)
                return str(answer.body["reason"])
            case "button":
                await scene.phone(agent).transfer(TARGET)
            case _:
                await scene.phone(agent).command("sndcode", "#")
        return ""

    async def _one_waits(self, plan: Plan, told: Mapping[str, str]) -> str:
        """Exactly one channel is in the queue, and its transfer is the one that was accepted."""
        ami = self.scene.at("b").ami

        async def look() -> str | None:
            entries = await ami.waiting(QUEUE)
            assert len(entries) < 2, (str(plan), told, entries)
            winners = [x for x in PAIRS if await self._is_accepted(x, told[x])]
            return winners[0] if len(entries) == 1 and len(winners) == 1 else None

        winner = await ami.until(look, 6.0)
        assert winner is not None, (str(plan), told, await ami.waiting(QUEUE))
        for node in "abc":
            await self.scene.sees(node, TARGET, waiting_transfer=True)
        return winner

    async def _is_accepted(self, agent: str, told: str) -> bool:
        """Whether a transfer of this agent's to the target runs."""
        if told == "target_queue_full":
            return False
        body = (await self.scene.of(agent).api("GET", "/v1/transfers")).body
        return any(
            one["agent"] == agent
            and one["ended_reason"] is None
            and (one["target"] or {}).get("id") == TARGET
            for one in body
        )

    async def _refused(self, agent: str, plan: Plan, told: str) -> None:
        scene, caller = self.scene, PAIRS[agent]
        if plan.ways[agent] == "api":
            if told != "target_queue_full":
                await self._full(agent, told)
            await scene.talking(caller, agent)
        elif plan.ways[agent] == "code":
            # Asked for another target; the agent takes the caller back.
            await scene.phone(agent).command("sndcode", "*")
            await scene.talking(caller, agent, within=15.0)
        else:
            await self._after_a_refused_button(agent)

    async def _full(self, agent: str, transfer: str) -> None:
        """Accepted, because the home did not answer in time: its queue has the last word.

        As everywhere, the caller is with the agent again, or goes back to them.
        """
        await self.scene.of(agent).ends(transfer, "failed", "target_queue_full")
        assert "slot_not_reserved" in self.scene.of(agent).log_of_daemon(), (agent, transfer)
        self.result.by_queue += 1
        if not any(call.state == "established" for call in self.scene.phone(agent).live):
            await self.scene.phone(agent).answer(within=10.0)

    async def _after_a_refused_button(self, agent: str) -> None:
        """baresip hangs up on a refusal: the caller is not lost, but at the head of the group.

        The agent is not offered this call again while a colleague is logged in, if a busy one.
        """
        scene, caller = self.scene, PAIRS[agent]
        phone = scene.phone(caller)
        for call in scene.phone(agent).live:
            if call.number == caller:
                await scene.phone(agent).closed(call, within=8.0)
        await scene.on_music(caller)
        assert phone.live, f"{caller} was lost"
        await scene.hang_up(caller)

    async def _restore(self, winner: str, plan: Plan) -> None:
        """The winner's caller gives the place back; then all four talk again."""
        scene = self.scene
        if plan.modes[winner] == "supervised":
            transfer = (await scene.of(winner).agent(winner))["call"]["transfer"]["id"]
            await scene.of(winner).cancel(transfer)
            await scene.talking(PAIRS[winner], winner)
        else:
            await scene.hang_up(PAIRS[winner])
            await scene.gone(winner)
        await scene.at("b").waits(QUEUE)
        for node in "abc":
            await scene.at(node).waits("sales")
        for agent, caller in PAIRS.items():
            if not scene.phone(caller).live:
                await scene.gone(agent)
                await self._call(agent)
        for agent in PAIRS:
            await scene.talking(PAIRS[agent], agent)
            await scene.of(agent).has_call(agent, transfer=None)
        for node in "abc":
            await scene.sees(node, TARGET, waiting_transfer=False, state="talking")


async def race(rounds: int, seed: int) -> Result:
    async with Nodes("abc", **OPTIONS) as nodes, open_nodes(nodes) as scene:
        running = Race(scene)
        await running.begin()
        for number, plan in zip(range(rounds), plans(seed), strict=False):
            await running.round(plan)
            if number % 10 == 9:
                print(running.result, flush=True)
        await scene.hang_up(KEEPS_BUSY, *PAIRS.values())
        return running.result


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests/run slot-race")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    print(asyncio.run(race(options.rounds, options.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
