"""The part of a failed test's report that shows its call centre."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bed import Bed, Probe

_MOST_CHARACTERS = 8_000
_SECONDS = 3.0


class Evidence:
    """The logs and queue_log of a call centre from now on."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        log = Path(bed.directory, "log")
        self._files = {name: log / name for name in ("daemon.log", "messages.log", "queue_log")}
        self._marks = {
            name: file.stat().st_size if file.exists() else 0 for name, file in self._files.items()
        }

    def since(self, name: str) -> str:
        """The text that was written to this file since."""
        file = self._files[name]
        if not file.exists():
            return ""
        return file.read_bytes()[self._marks[name] :].decode(errors="replace")

    def now(self) -> str:
        """`report`, for a moment without a running event loop: between a test and its fixtures'
        ends."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, self.report()).result()

    async def report(self) -> str:
        """All evidence, with a bounded length: the last lines of each part."""
        parts = {"channels and bridges": await _floor(self._bed)}
        titles = ("the daemon's log", "Asterisk's messages", "queue_log")
        for title, name in zip(titles, self._files, strict=True):
            parts[title] = self.since(name)
        return "\n".join(
            f"--- {title}\n{bounded(text) or '(nothing)'}" for title, text in parts.items()
        )


def bounded(text: str) -> str:
    """The last lines of a text, and the length of the rest."""
    text = text.strip("\n")
    if len(text) <= _MOST_CHARACTERS:
        return text
    kept = text[-_MOST_CHARACTERS:]
    kept = kept.partition("\n")[2] or kept
    return f"({len(text) - len(kept)} characters before this)\n{kept}"


async def _floor(bed: Bed) -> str:
    """Channels and bridges at this moment, over a separate connection.

    The bed's connection belongs to a loop that may be blocked while a report is made.
    """
    probe = Probe(bed.ports.ami, bed.secrets.probe)
    try:
        async with asyncio.timeout(_SECONDS):
            await probe.connect()
            lines = [
                f"{row['Channel']} {row['ChannelStateDesc']} {row['Context']},{row['Exten']}"
                f" {row['Application']}({row['ApplicationData']}) bridge {row['BridgeId'] or '-'}"
                for row in await probe.channels()
            ]
            lines += [
                f"bridge {bridge.id} {bridge.kind} {bridge.technology} {sorted(bridge.channels)}"
                for bridge in await probe.bridges()
            ]
    except (OSError, TimeoutError, AssertionError) as error:
        return f"cannot be had any more: {error!r}"
    finally:
        await probe.close()
    return "\n".join(lines)
