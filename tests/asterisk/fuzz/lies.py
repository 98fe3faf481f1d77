"""Random forged AMI messages in batches, and which of them was believed."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Final

from .call_centre import CallCentre
from .forged import Attempt, some

_BATCH: Final = 60


async def lie(seed: int, count: int, say: Callable[[str], None]) -> list[str]:
    """Write a number of forged messages. Returns the false beliefs, with the messages that caused
    them."""
    believed: list[str] = []
    rng = Random(seed)
    async with CallCentre.open() as centre:
        await centre.begin()
        begun, done = time.monotonic(), 0
        while done < count:
            attempts = some(rng, min(_BATCH, count - done))
            await centre.write(attempts)
            await centre.tidy()
            done += len(attempts)
            if wrong := await centre.unchanged():
                guilty = await _search(centre, attempts)
                believed.append("\n".join([*wrong, "because of", *map(str, guilty)]))
                say(believed[-1])
                await centre.begin()
            elif done // _BATCH % 10 == 0:
                say(f"{done} forged messages, {done / (time.monotonic() - begun):.0f}/s")
        await centre.finish()
    return believed


async def _search(centre: CallCentre, attempts: list[Attempt]) -> list[Attempt]:
    """Find the messages by bisection, each time with a call centre in its initial state."""
    while len(attempts) > 1:
        half = len(attempts) // 2
        for part in (attempts[:half], attempts[half:]):
            await centre.begin()
            await centre.write(part)
            await centre.tidy()
            if await centre.unchanged():
                attempts = part
                break
        else:
            return attempts
    return attempts
