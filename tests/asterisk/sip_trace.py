"""The SIP messages that Asterisk sends to a phone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.asterisk.scene import Scene


@asynccontextmanager
async def trace(scene: Scene, name: str) -> AsyncIterator[Callable[[], list[str]]]:
    """The SIP messages from Asterisk to a phone within the context."""
    log = scene.bed.directory / "log" / "full.log"
    mark = log.stat().st_size
    port = scene.phone(name).ports.sip
    await scene.ami.command("pjsip set logger on")

    def sent() -> list[str]:
        text = log.read_bytes()[mark:].decode(errors="replace").replace("\r", "")
        where = rf"<--- Transmitting SIP request .* to UDP:127.0.0.1:{port} --->\n"
        return re.findall(where + r"((?:.+\n)+)", text)

    try:
        yield sent
    finally:
        await scene.ami.command("pjsip set logger off")


def headers(message: str, name: str) -> list[str]:
    return re.findall(rf"(?im)^{name}: *(.*)$", message)


def invites(messages: list[str]) -> list[str]:
    """Each once: a busy machine answers late, and Asterisk repeats itself."""
    return [*dict.fromkeys(message for message in messages if message.startswith("INVITE"))]


async def the_invite(scene: Scene, sent: Callable[[], list[str]]) -> str:
    """The one INVITE that was sent. Asterisk writes its log a moment later than it sends."""

    async def look() -> list[str] | None:
        return invites(sent()) or None

    found = await scene.ami.until(look, 3.0)
    assert found is not None, "no INVITE"
    (only,) = found
    return only


def sent_to_others(text: str, *ports: int) -> list[str]:
    """The heads of all SIP messages in a log that Asterisk has sent to other ports than these."""
    where = r"<--- Transmitting SIP (?:request|response) .* to UDP:.*:(\d+) --->\n((?:.+\n)+)"
    found = re.findall(where, text.replace("\r", ""))
    return [message for to, message in found if int(to) not in ports]
