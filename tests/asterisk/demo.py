"""Show transfers on real phones, and verify each step before it is printed (docker/demo).

Exit 0: everything was as shown. Exit 1: something was not; the text says what.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TypeVar

from bed import Backend, Bed, PhoneError, Unavailable, World, backend_named

from tests.asterisk.scene import NUMBERS, Scene
from tests.benchmarks import moments

INTERRUPTED = 130

_T = TypeVar("_T")

INTRODUCTION = """
A call centre on one Asterisk with real SIP phones: agents Alice and Bob (group sales, number
800), Carol and Dave (group support), and callers. Each phone sends a tone of its own, so what a
phone hears tells who speaks. Each line is printed after it was seen on Asterisk's channels or
heard by a phone. Times are milliseconds: from the start of the scene, and "+" after the step.
"""

#: Widths of the columns: time, event, what the caller hears, who is connected.
COLUMNS = (6, 52, 13, 16)

Result = tuple[float | None, str]
"""A result of a step, and its time."""


class PopNotification:
    """A scene's lines, in columns, printed as things happen."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.start = self.cause = time.time()
        self.caller = "caller1"

    def title(self, number: int, title: str, what: str) -> None:
        print(f"\n{number}. {title}\n   {what}\n")
        self._print("ms", "what happens", f"{self.caller} hears", "who is connected")
        self._print(*("-" * width for width in COLUMNS))
        self.start = self.cause = time.time()

    def name(self, phone: str) -> str:
        names = {agent.id: agent.name for agent in self.scene.bed.world.agents}
        return names.get(phone, phone)

    def step(self, what: str) -> float:
        """A person is about to act, now."""
        self.cause = time.time()
        self._print(f"{1000 * (self.cause - self.start):.0f}", what)
        return self.cause

    async def then(self, *results: Result) -> None:
        """The results, and the situation as measured."""
        for when, what in results:
            if when is None:
                raise AssertionError(f"not seen: {what}")
        ordered = sorted((when or 0.0, what) for when, what in results)
        for index, (when, what) in enumerate(ordered):
            delay = f"+{max(0.0, 1000 * (when - self.cause)):.0f}"
            if index < len(ordered) - 1:
                self._print("", f"{delay:>6}  {what}")
                continue
            hears, connected = await self._now()
            self._print("", f"{delay:>6}  {what}", hears, connected[0])
            for more in connected[1:]:
                self._print("", "", "", more)

    async def _now(self) -> tuple[str, list[str]]:
        """What the caller hears, and who is connected to whom."""
        heard = self.scene.phone(self.caller).heard(time.time() - 0.5)
        heard = heard - {"silence"} or heard  # a busy machine causes gaps
        bridges = [bridge.channels for bridge in await self.scene.ami.bridges()]
        groups = [sorted(map(self.name, g)) for g in moments.conversations(bridges)]
        connected = sorted(" - ".join(group) for group in groups) or ["nobody"]
        return " + ".join(sorted(map(self.name, heard))), connected

    @staticmethod
    def _print(*cells: str) -> None:
        time_, *rest = cells
        widths = COLUMNS[1:]
        padded = [cell.ljust(width) for cell, width in zip(rest, widths, strict=False)]
        print("  ".join((time_.rjust(COLUMNS[0]), *padded)).rstrip(), flush=True)


class Stage(Scene):
    """A scene with phones that may be told not to answer."""

    def __init__(self, bed: Bed, unanswered: frozenset[str]) -> None:
        super().__init__(bed)
        self.unanswered = unanswered

    async def answers(self, name: str, within: float = 5.0) -> None:
        """Wait for the phone to ring, and answer it if it is to be answered."""
        if name in self.unanswered:
            await self.phone(name).established(await self.phone(name).ringing(within))
        else:
            await self.phone(name).answer(within)

    async def call(
        self, caller: str, agent: str, group: str = "sales", number: str | None = None
    ) -> None:
        await self.phone(caller).dial(number or NUMBERS[group])
        await self.answers(agent)
        await self.talking(caller, agent)

    def heard_from(self, name: str, what: str, since: float) -> float | None:
        return moments.heard_from(self.phone(name), {what}, since, time.time())


async def call_comes_in(stage: Stage, tell: PopNotification) -> None:
    since = tell.step("caller1 calls sales; Alice answers")
    await stage.call("caller1", "1001")
    await tell.then((moments.connected(stage.ami, "caller1", "1001", since), "they talk"))


async def consult(stage: Stage, tell: PopNotification) -> str:
    """Alice requests a supervised transfer to Bob, and they talk. Returns the transfer."""
    channels = [(await stage.ami.channel_of(name))["Channel"] for name in ("caller1", "1001")]
    asked = tell.step("Alice asks for a supervised transfer to Bob")
    transfer = await stage.transfer("1001", "supervised", "1002")
    ringing = await stage.phone("1002").ringing()
    await stage.on_music("caller1")
    await stage.phone("1001").hears({"ringback"})
    music = stage.heard_from("caller1", "music", asked)
    await tell.then(
        (moments.all_entered_bridge(stage.ami, channels, asked), "the call has moved: both wait"),
        (music, "caller1 hears music"),
        (ringing.began, "Bob's phone rings"),
    )
    answered = tell.step("Bob answers")
    await stage.answers("1002")
    await stage.consulting(transfer, "caller1", "1001", "1002")
    talk = time.time()
    await stage.phone("1001").hears({"1002"}, steady=1.0)
    await tell.then(
        (stage.heard_from("1001", "1002", answered), "Alice hears Bob"),
        (stage.heard_from("1002", "1001", answered), "Bob hears Alice"),
    )
    heard = stage.phone("caller1").heard(music or asked, talk + 0.5)
    heard -= {"silence"}  # a busy machine causes gaps
    assert heard == {"music"}, f"while Alice and Bob consult, caller1 hears {sorted(heard)}"
    return transfer


async def completed(stage: Stage, tell: PopNotification) -> str:
    await call_comes_in(stage, tell)
    transfer = await consult(stage, tell)
    asked = tell.step("Alice completes the transfer")
    await stage.complete(transfer)
    await stage.talking("caller1", "1002")
    await stage.plain("caller1", "1002")
    await stage.gone("1001")
    await stage.ends(transfer, "completed", "completed")
    await stage.agent_is("1001", "acw")
    await tell.then(
        (stage.phone("1001").calls[-1].ended, "Alice is off the call"),
        (moments.together(stage.ami, "caller1", "1002", asked), "caller1 and Bob in one bridge"),
        (stage.heard_from("caller1", "1002", asked), "caller1 hears Bob"),
        (moments.locals_gone(stage.ami), "nothing of ours is left in the call"),
    )
    tell.step("Bob hangs up")
    await stage.hang_up("1002")
    await stage.gone("caller1")
    await stage.booked(Alice=1, Bob=1)
    return (
        "caller1 heard music and nothing of the consult; then caller1 and Bob heard "
        "each other only, in a plain bridge. Asterisk's queue log has one completed "
        "call for Alice and one for Bob."
    )


async def cancelled(stage: Stage, tell: PopNotification) -> str:
    await call_comes_in(stage, tell)
    transfer = await consult(stage, tell)
    asked = tell.step("Alice cancels: she wants caller1 back")
    await stage.cancel(transfer)
    await stage.talking("caller1", "1001")
    await stage.plain("caller1", "1001")
    await stage.gone("1002")
    await stage.ends(transfer, "cancelled", "cancelled")
    await tell.then(
        (stage.phone("1002").calls[-1].ended, "Bob is off the call"),
        (moments.together(stage.ami, "caller1", "1001", asked), "caller1 and Alice in one bridge"),
        (stage.heard_from("caller1", "1001", asked), "caller1 hears Alice"),
    )
    tell.step("caller1 hangs up")
    await stage.hang_up("caller1")
    await stage.gone("1001")
    await stage.booked(Alice=1, Bob=1)
    return (
        "caller1 heard music and nothing of the consult; then caller1 and Alice heard "
        "each other only, in a plain bridge, and Bob was free."
    )


async def to_a_busy_agent(stage: Stage, tell: PopNotification) -> str:
    await call_comes_in(stage, tell)
    since = tell.step("caller2 calls sales; Bob answers")
    await stage.call("caller2", "1002")
    await tell.then((moments.connected(stage.ami, "caller2", "1002", since), "they talk"))
    tell.step("caller3 calls sales and waits for a free agent")
    await stage.phone("caller3").dial(NUMBERS["sales"])
    await stage.on_music("caller3")
    asked = tell.step("Alice transfers caller1 to Bob, unsupervised, and takes a break")
    transfer = await stage.transfer("1001", "unsupervised", "1002")
    await stage.pause("1001")
    await stage.gone("1001")
    await stage.on_music("caller1")
    await stage.reaches(transfer, "waiting")
    assert (await stage.agent("1002"))["waiting_transfer"] is True
    await stage.talking("caller2", "1002")
    await tell.then(
        (stage.phone("1001").calls[-1].ended, "Alice is off the call"),
        (stage.heard_from("caller1", "music", asked), "caller1 hears music and waits for Bob"),
    )
    tell.step("caller2 hangs up; Bob has 2 seconds of after-call work")
    await stage.hang_up("caller2")
    await stage.gone("1002")
    await stage.agent_is("1002", "acw")
    ringing = await stage.phone("1002").ringing(within=8)
    await tell.then((ringing.began, "Bob's phone rings"))
    answered = tell.step("Bob answers")
    await stage.answers("1002")
    await stage.talking("caller1", "1002")
    await stage.on_music("caller3")
    await stage.ends(transfer, "completed", "completed")
    await tell.then((stage.heard_from("caller1", "1002", answered), "caller1 hears Bob"))
    return (
        "Bob's talk with caller2 went on undisturbed; his next call was caller1, though "
        "caller3 had waited longer and was still waiting."
    )


async def to_a_group(stage: Stage, tell: PopNotification) -> str:
    await call_comes_in(stage, tell)
    tell.step("Carol is on a break")
    await stage.pause("1003")
    await stage.agent_is("1003", "not_ready")
    asked = tell.step("Alice transfers caller1 to the group support, unsupervised")
    transfer = await stage.transfer("1001", "unsupervised", "support", kind="group")
    ringing = await stage.phone("1004").ringing()
    await stage.on_music("caller1")
    await stage.gone("1001")
    assert not stage.phone("1003").live, "Carol's phone rings while she is on a break"
    await tell.then(
        (stage.phone("1001").calls[-1].ended, "Alice is off the call"),
        (stage.heard_from("caller1", "music", asked), "caller1 hears music"),
        (ringing.began, "Dave's phone rings"),
    )
    answered = tell.step("Dave answers")
    await stage.answers("1004")
    await stage.talking("caller1", "1004")
    await stage.ends(transfer, "completed", "completed")
    await tell.then((stage.heard_from("caller1", "1004", answered), "caller1 hears Dave"))
    return (
        "the call went to the first available agent of support; caller1 and Dave hear "
        "each other only."
    )


@dataclass(frozen=True)
class Show:
    title: str
    what: str
    play: Callable[[Stage, PopNotification], Awaitable[str]]
    """Returns a summary of what was verified."""


SHOWS = (
    Show(
        "Supervised transfer, completed",
        "Alice speaks with Bob before she hands caller1 over to him.",
        completed,
    ),
    Show(
        "Supervised transfer, cancelled",
        "Alice speaks with Bob, and then takes caller1 back.",
        cancelled,
    ),
    Show(
        "Unsupervised transfer to an agent who is busy",
        "Alice lets go at once. caller1 waits for Bob and is the next call that Bob gets.",
        to_a_busy_agent,
    ),
    Show(
        "Unsupervised transfer to a group",
        "Alice lets go at once. The first available agent of support gets caller1.",
        to_a_group,
    ),
)


async def start(bed: Bed) -> None:
    began = time.monotonic()
    await bed.start()
    await bed.start_daemon()
    version = (await bed.ami.command("core show version")).split()[1].partition("+")[0]
    seconds = time.monotonic() - began
    print(f"Asterisk {version}, asterisk-avp and {len(bed.phones)} phones up in {seconds:.1f} s.")
    print(INTRODUCTION, end="", flush=True)


async def play_all(bed: Bed, numbers: Iterable[int], unanswered: frozenset[str]) -> list[int]:
    """Show these. Returns the ones that failed."""
    failed = []
    for number in numbers:
        if not await play(bed, number, unanswered):
            failed.append(number)
            with contextlib.suppress(AssertionError, TimeoutError):
                await bed.idle()
    return failed


async def play(bed: Bed, number: int, unanswered: frozenset[str]) -> bool:
    """Show one of them. Returns whether everything was correct."""
    show = SHOWS[number - 1]
    stage = Stage(bed, unanswered)
    tell = PopNotification(stage)
    try:
        await stage.everybody_free()
        bed.ami.events.clear()
        stage.begin()
        tell.title(number, show.title, show.what)
        verified = await show.play(stage, tell)
        await stage.over()
    except (AssertionError, OSError, TimeoutError) as error:
        paragraph("NOT AS IT SHOULD BE:", " ".join(str(error).split()) or repr(error))
        return False
    paragraph("Verified:", f"{verified} After the last hang-up no channel and no bridge is left.")
    return True


def paragraph(head: str, text: str) -> None:
    print(textwrap.fill(text, 92, initial_indent=f"   {head} ", subsequent_indent=" " * 13))
    sys.stdout.flush()


class Interrupted(Exception):
    """Ctrl-C or another signal to stop."""


async def unless(stop: asyncio.Event, work: Coroutine[object, object, _T]) -> _T:
    """Do the work, or raise Interrupted as soon as `stop` is set and the work has stopped."""
    task, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            return await task
        # Repeatedly: asyncio.wait_for of Python 3.11 loses a cancellation that arrives together
        # with its result.
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.2)
        await asyncio.gather(task, return_exceptions=True)
        raise Interrupted
    finally:
        told.cancel()


async def demonstrate(options: argparse.Namespace, backend: Backend) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    world = World(max_hold_seconds=30, callers=("caller1", "caller2", "caller3"), outside=())
    for group in ("sales", "support"):  # a fixed order, so that the story is always the same
        world = world.with_group(group, strategy="linear")
    bed = Bed(world, backend=backend)
    try:
        await unless(stop, start(bed))
        numbers = options.scene or range(1, len(SHOWS) + 1)
        failed = await unless(stop, play_all(bed, numbers, frozenset(options.no_answer)))
    except Interrupted:
        # A stopping daemon waits for its transfers; without calls there are none.
        with contextlib.suppress(AssertionError, TimeoutError):
            await asyncio.gather(*(phone.idle() for phone in bed.phones.values()))
        raise
    finally:
        await bed.stop()
    wrong = f"Not so: {', '.join(map(str, failed))}. " if failed else ""
    print(
        f"\n{len(numbers) - len(failed)} of {len(numbers)} transfers were as they should be.",
        end=" ",
    )
    print(f"{wrong}Everything that was started has ended.")
    return 1 if failed else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="docker/demo",
        description="Show transfers on real phones through a real Asterisk, and verify them.",
    )
    parser.add_argument(
        "--backend",
        choices=("docker", "rootfs"),
        help="default: docker where an engine answers and the images can be made, else rootfs",
    )
    parser.add_argument(
        "--scene",
        type=int,
        action="append",
        choices=range(1, len(SHOWS) + 1),
        help="show only this one; can be given several times",
    )
    parser.add_argument(
        "--no-answer",
        action="append",
        default=[],
        metavar="PHONE",
        help="nobody answers this phone (1002, say): what it looks like when something is wrong",
    )
    parser.add_argument(
        "--nodes",
        type=int,
        choices=(1, 2),
        default=1,
        help="2: transfers between two Asterisk that are one call centre",
    )
    options = parser.parse_args(argv)
    if options.nodes > 1 and (options.no_answer or max(options.scene or [1]) > _SCENES_OF_NODES):
        parser.error(f"with --nodes there are {_SCENES_OF_NODES} scenes, and no --no-answer")
    return options


_SCENES_OF_NODES = 2


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    try:
        # Building the backend may take minutes; until then SIGTERM is treated like Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        backend = backend_named(options.backend)
        if options.nodes > 1:
            from tests.asterisk import demo_nodes  # which needs this module

            return asyncio.run(demo_nodes.demonstrate(options, backend))
        return asyncio.run(demonstrate(options, backend))
    except (Unavailable, PhoneError, RuntimeError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("\ndemo: interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
