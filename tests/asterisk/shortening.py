"""How a history that fails is told: at once, and shortened for a limited time only.

hypothesis plays shorter and shorter histories until none fails any more, which takes minutes in
which nothing is seen. What failed first is told before that, with its evidence, and each shorter
one that fails as it is found; what an interrupted run has told stays told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 180.0
"""For how long a failed history is shortened."""


class OutOfTime(BaseException):
    """No further history is to be played; hypothesis lets it through, as it does an interrupt."""


@dataclass
class Failures:
    """Those of one seed, and how they are told."""

    seconds: float = SECONDS
    output: Path | None = None
    """Where they are written as well."""
    again: Callable[[int], str] = "--hypothesis-seed={}".format
    """How to repeat the histories of a seed."""
    first: str = ""
    """The first history that failed, with its evidence."""
    shortest: Sequence[str] = ()
    """The steps of the shortest that failed."""
    error: BaseException | None = None
    """Why that one did."""
    seed: int = 0
    histories: int = 0
    """How many have begun, of this seed."""
    clock: Callable[[], float] = field(default=time.monotonic)
    _until: float | None = None

    def begin(self, seed: int) -> None:
        self.seed, self.histories, self._until = seed, 0, None
        self.first, self.shortest, self.error = "", (), None

    def history(self) -> None:
        """One begins. Raises `OutOfTime` if a failed one has been shortened for long enough."""
        if self.over:
            raise OutOfTime
        self.histories += 1

    @property
    def over(self) -> bool:
        return self._until is not None and self.clock() > self._until

    def fails(self, error: BaseException, story: Sequence[str], evidence: str) -> None:
        steps = "\n".join(story)
        if not self.first:
            self._until = self.clock() + self.seconds
            self.first = f"{error!r}\n\n{steps}\n\n{evidence}"
            self.shortest, self.error = tuple(story), error
            where = f"seed {self.seed}, history {self.histories}, step {len(story)}"
            self.tell(f"=== {where}: {self.first}\n\nagain: {self.again(self.seed)}")
        elif len(story) < len(self.shortest):
            self.shortest, self.error = tuple(story), error
            self.tell(f"--- {len(story)} steps suffice: {error!r}\n{steps}")

    def tell(self, text: str) -> None:
        print(f"\n{text}", flush=True)
        if self.output is not None:
            with self.output.open("a") as file:
                print(f"\n{text}", file=file)
