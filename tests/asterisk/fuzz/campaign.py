"""Many inputs in batches: find the input of a batch that had an effect, and minimise it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from . import trunk
from .centre import Centre
from .inputs import Input, make
from .judge import Fault, judge
from .play import play

_LESS_AT_MOST: Final = 60
"""How many smaller inputs are tried before one is reported."""


@dataclass(frozen=True)
class Failure:
    """An input that got through, minimised, and the observed faults."""

    smallest: Input
    original: Input
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        seen = "\n".join(f"    {fault.what[:700]}" for fault in self.faults[:6])
        return f"{self.smallest}\n  (made from {self.original})\n{seen}"


@dataclass
class Report:
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    answered: int = 0
    """Inputs that Asterisk parsed as a request and answered."""
    ran: int = 0
    """Dialplan lines that ran for them."""
    faults: Counter[str] = field(default_factory=Counter)
    """The number of faults of each kind."""

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        rate = self.inputs / max(self.seconds, 0.001)
        how = f"{self.inputs} inputs in {self.seconds:.0f} s ({rate:.0f}/s)"
        seen = [
            f"seed {self.seed}: {how}: {kinds}",
            f"{self.answered} answered, {self.ran} lines of the dialplan run",
        ]
        seen += [f"{count:6} x {sort}" for sort, count in self.faults.most_common()]
        seen.append(f"{len(self.failures)} got through")
        return "\n".join([*seen, *map(str, self.failures)])


async def campaign(
    seed: int,
    inputs: int,
    *,
    batch: int = 50,
    first: int = 0,
    keep_going: bool = False,
    of_several: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> Report:
    """Play the inputs of a seed. Stops at the first that gets through, unless ``keep_going``.

    ``of_several``: those of another node over its trunk.
    """
    made = trunk.make if of_several else make
    report = Report(seed)
    async with Centre.open(of_several=of_several) as centre:
        say(f"seed {seed}, inputs {first} to {first + inputs - 1}")
        words = centre.words()
        begun = time.monotonic()
        for start in range(first, first + inputs, batch):
            some = [made(seed, n, words) for n in range(start, min(start + batch, first + inputs))]
            report.kinds.update(f"{what.kind} by {what.sender}" for what in some)
            report.inputs += len(some)
            await _batch(centre, some, report, say)
            report.seconds = time.monotonic() - begun
            if report.failures and not keep_going:
                break
            if (start - first) // batch % 20 == 0:
                say(f"{report.inputs} inputs, {report.inputs / report.seconds:.0f}/s")
    return report


async def attempt(centre: Centre, some: list[Input]) -> tuple[list[Fault], dict[str, Input]]:
    """Play these. Returns the faults afterwards."""
    centre.events.forget()
    before = centre.files()
    calls = await play(centre, some)
    faults = await judge(centre, before)
    for phone in centre.phones.values():
        phone.calls.clear()
        phone.rung.clear()
    return faults, calls


async def _batch(
    centre: Centre, some: list[Input], report: Report, say: Callable[[str], None]
) -> None:
    """Play a batch. New faults are reported with the smallest input for each."""
    faults, calls = await attempt(centre, some)
    report.answered, report.ran = centre.answered, centre.ran
    new = {fault.sort: fault for fault in faults if fault.sort not in report.faults}
    report.faults.update(fault.sort for fault in faults)
    protocol = dict(centre.events.protocol)
    for sort, fault in new.items():
        say(f"  {fault.what[:600]}")
        named = calls.get(protocol.get(fault.channel, ""))
        failure = await _shrunk(centre, named, sort) if named is not None else None
        if failure is None:
            found = await _search(centre, some, sort)
            failure = await _shrunk(centre, found, sort) if found is not None else None
        if failure is None:  # it does not happen again, at least not with a single one
            failure = Failure(some[0], some[-1], (fault,))
        report.failures.append(failure)
        say(str(failure))


async def _does(centre: Centre, some: list[Input], sort: str) -> tuple[Fault, ...]:
    faults, _ = await attempt(centre, some)
    return tuple(fault for fault in faults if fault.sort == sort)


async def _search(centre: Centre, some: list[Input], sort: str) -> Input | None:
    """Find the input that causes such a fault, by bisection."""
    while len(some) > 1:
        half = len(some) // 2
        if await _does(centre, some[:half], sort):
            some = some[:half]
        elif await _does(centre, some[half:], sort):
            some = some[half:]
        else:
            return None
    return some[0]


async def _shrunk(centre: Centre, what: Input, sort: str) -> Failure | None:
    faults = await _does(centre, [what], sort)
    if not faults:
        return None
    smallest, left = what, _LESS_AT_MOST
    while left > 0:
        for less in islice(smallest.smaller(), left):
            left -= 1
            if seen := await _does(centre, [less], sort):
                smallest, faults = less, seen
                break
        else:
            break
    return Failure(smallest, what, faults)
