"""Helpers for tests of the policy: settings that change at run time, and effects of refusals."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bed import Bed, Phone, match

from tests.asterisk.scene import Answer, Scene

Target = dict[str, str]
Record = dict[str, Any]

FILE = "avp.toml"

AGENT: Target = {"kind": "agent", "id": "1002"}
GROUP: Target = {"kind": "group", "id": "support"}
PRESET: Target = {"kind": "preset", "id": "billing"}
PRESETS_NUMBER = "+12025550101"


def number(typed: str) -> Target:
    return {"kind": "number", "number": typed}


# --- settings that change -----------------------------------------------------------------------


async def start_daemon(bed: Bed) -> None:
    """With a file for the settings that `settings` changes, and a log that can be read here."""
    _write(bed, "")
    file = f"{bed.backend.for_daemon(bed.name)}/{FILE}"
    await bed.start_daemon({"AVP_CONFIG": file, "AVP_LOG__FORMAT": "json"})


@asynccontextmanager
async def settings(bed: Bed, text: str) -> AsyncIterator[None]:
    """These settings (TOML; they cannot override the environment) apply within the context."""
    await reload(bed, text)
    try:
        yield
    finally:
        await reload(bed, "")


async def reload(bed: Bed, text: str) -> None:
    before = len(records(bed, "reloaded"))
    send(bed, text)
    await reloaded(bed, before + 1)


def send(bed: Bed, text: str) -> None:
    """Request the reload, without waiting for it."""
    assert bed.daemon is not None
    _write(bed, text)
    bed.signal_daemon(signal.SIGHUP)


async def reloaded(bed: Bed, times: int) -> None:
    async def look() -> bool | None:
        return len(records(bed, "reloaded")) >= times or None

    assert await bed.ami.until(look, 5.0), "the settings were not read again"


def _write(bed: Bed, text: str) -> None:
    fresh = bed.directory / f"{FILE}.new"
    fresh.write_text(text)
    fresh.rename(bed.directory / FILE)  # never half a file for a reload that is already running


def records(bed: Bed, *events: str) -> list[Record]:
    """The daemon's records with these names, oldest first."""
    lines = (bed.directory / "log" / "daemon.log").read_text().split("\n")
    found = [json.loads(line) for line in lines[:-1]]  # the last one is still being written
    return [record for record in found if record["event"] in events]


# --- refusals -------------------------------------------------------------------------------------


async def request(scene: Scene, mode: str, target: Target, agent: str = "1001") -> Answer:
    body = {"mode": mode, "target": target}
    return await scene.api("POST", f"/v1/agents/{agent}/transfers", body)


async def refuses(scene: Scene, reason: str, mode: str, target: Target) -> None:
    """1001's request is refused for this reason, which is recorded, and no channel results."""
    what = f"{mode} {target}"
    known, mark = len(records(scene.bed, "decision")), await scene.ami.mark()
    answer = await request(scene, mode, target)
    assert answer.status == 403, f"{what}: {answer}"
    assert (answer.body["error"], answer.body["reason"]) == ("refused", reason), what
    assert answer.body["message"]

    async def logged() -> list[Record] | None:
        return records(scene.bed, "decision")[known:] or None

    (decided,) = await scene.ami.until(logged, 3.0) or [{}]
    assert (decided.get("decision"), decided.get("reason")) == ("deny", reason), what
    assert (decided["agent"], decided["mode"], decided["kind"]) == ("1001", mode, target["kind"])
    assert decided["transfer"] is None
    await scene.ami.bridged("caller1", "1001")
    await scene.ami.mark()  # all events until now have been read
    assert scene.ami.seen(match("Newchannel"), mark) == [], what


async def undisturbed(scene: Scene, since: float) -> None:
    """Caller and transferor talk, heard only each other, and no number was dialled."""
    asked = await scene.ami.mark()
    await scene.talking("caller1", "1001")
    for name, other in (("caller1", "1001"), ("1001", "caller1")):
        phone = scene.phone(name)

        async def hears(phone: Phone = phone, other: str = other) -> bool | None:
            return other in phone.heard(asked) or None

        assert await scene.ami.until(hears, 3.0), phone.timeline(since)
        assert phone.understood(since) == {other}, phone.timeline(since)
    shown = await scene.agent("1001")
    assert (shown["state"], shown["call"]["transfer"]) == ("talking", None)
    assert await scene.variable("caller1", "AVP_STATE") == ""
    assert scene.ami.seen(match("DialBegin"), since) == []
    nothing_outside(scene)


def outside_calls(scene: Scene) -> list[str]:
    """Channels to the outside world since the test began."""
    return [
        event["Channel"]
        for event in scene.ami.seen(match("Newchannel"), scene.since)
        if event["Channel"].startswith("PJSIP/pstn-")
    ]


def nothing_outside(scene: Scene) -> None:
    """The outside world was not called, according to Asterisk and to the phone."""
    assert outside_calls(scene) == []
    assert [c for c in scene.phone("pstn").calls if c.began >= scene.since] == []
