"""The daemon with inspection: `python -m tests.asterisk.watched run`.

On SIGUSR1 it writes its current contents to the file that WATCHED_FILE names: its asyncio tasks and
timers, the length of every collection that can be reached from the `Daemon` through attributes, and
the number of objects of each type. The product is unchanged, and nothing in it must be named here:
a new collection is counted as well.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asterisk_avp.cli.app import main
from asterisk_avp.service.daemon import Daemon

_COLLECTIONS = (dict, set, list, deque)


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield name, getattr(thing, name)


def _ours(thing: object) -> bool:
    return type(thing).__module__.startswith("asterisk_avp") and not isinstance(thing, type)


def collections(root: object) -> dict[str, int]:
    """Dotted path from the daemon -> number of entries."""
    found: dict[str, int] = {}
    seen = {id(root)}
    waiting: deque[tuple[str, object]] = deque([("daemon", root)])
    while waiting:
        path, thing = waiting.popleft()
        for name, attribute in _attributes(thing):
            where = f"{path}.{name}"
            value = getattr(attribute, "__self__", attribute)  # the owner of a bound method
            if id(value) in seen:
                continue
            if isinstance(value, _COLLECTIONS):
                seen.add(id(value))
                found[where] = len(value)
            elif isinstance(value, asyncio.Queue):
                found[where] = value.qsize()
            elif _ours(value):
                seen.add(id(value))
                waiting.append((where, value))
            elif isinstance(value, tuple):
                for part in filter(_ours, value):
                    if id(part) not in seen:
                        seen.add(id(part))
                        waiting.append((f"{where}.{type(part).__name__}", part))
    return found


def inside(daemon: Daemon, loop: Any) -> dict[str, Any]:
    tasks = asyncio.all_tasks(loop)
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]
    objects = Counter(
        f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects()
    )
    return {
        "tasks": dict(Counter(getattr(t.get_coro(), "__qualname__", "?") for t in tasks)),
        "timers": len(timers),
        "collections": collections(daemon),
        "objects": dict(objects),
    }


def _write(*_: object) -> None:
    gc.collect()
    things = gc.get_objects()
    daemon = next(thing for thing in things if isinstance(thing, Daemon))
    loop = next(
        thing
        for thing in things
        if isinstance(thing, asyncio.SelectorEventLoop) and thing.is_running()
    )
    del things
    file = Path(os.environ["WATCHED_FILE"])
    part = file.with_suffix(".part")
    part.write_text(json.dumps(inside(daemon, loop)))
    part.rename(file)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _write)
    sys.exit(main())
