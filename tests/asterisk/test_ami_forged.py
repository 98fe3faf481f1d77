"""Forged AMI events: whatever somebody injects into AMI's stream, the daemon keeps the true state.

Each way in which a caller's text gets into AMI, each event that the daemon could read, and each
form: after the end of a genuine message, with that one's end for its own, or in its middle. More of
them, at random: `tests/run fuzz --ami`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import requests

from tests.asterisk.fuzz import forged
from tests.asterisk.fuzz.call_centre import CallCentre

pytestmark = [pytest.mark.asterisk, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[CallCentre]:
    async with CallCentre.open() as opened:
        await opened.begin()
        yield opened


USUAL_WAYS = ("extension", "user event")
"""One of the dialplan's kinds of event, and one that a dialplan sends itself."""


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(one, marks=() if one in USUAL_WAYS else pytest.mark.thorough)
        for one in forged.WAYS
    ],
)
async def test_nothing_is_believed(centre: CallCentre, way: str) -> None:
    if await centre.unchanged():  # after a failed test
        await centre.begin()
    for form in forged.forms_by(way):
        attempts = list(forged.all_by(way, form))
        ran = await centre.write(attempts)
        assert ran > len(attempts) * 0.9, f"{form}: {ran} of {len(attempts)} calls ran"
        assert await centre.unchanged() == [], form
    await centre.tidy()


IN_LISTS = tuple(
    (event, by)
    for event in forged.EVENTS
    for by in forged.LISTED
    if event.name.startswith("CoreShow") == (by == "account code")
    and event.name in forged.PARTS_OF_ANSWERS
)
USUAL_EVENTS = ("QueueMember", "CoreShowChannel", "Response")
FIRST_OF_EACH = [next(one for one in IN_LISTS if one[0].name == name) for name in USUAL_EVENTS]


@pytest.mark.parametrize(
    ("event", "by"),
    [
        pytest.param(*one, marks=() if one in FIRST_OF_EACH else pytest.mark.thorough)
        for one in IN_LISTS
    ],
    ids=str,
)
async def test_no_list_is_believed(centre: CallCentre, event: forged.Forged, by: str) -> None:
    """A caller's text is in an answer before the ActionID, which nobody can guess."""
    if await centre.unchanged():  # after a failed test
        await centre.begin()
    text = event.text("tail", centre.ids, complete=False, head="7").encode()
    await centre.lists_with(text, by)
    assert await centre.unchanged(told=False) == []


async def test_a_channel_that_ari_cannot_show_hides_no_other(centre: CallCentre) -> None:
    """GET /channels answers 500 while there is a channel whose extension is not UTF-8."""
    await centre.lists_with_no_text()
    assert await centre.unchanged(told=False) == []


async def test_it_is_logged_and_counted(centre: CallCentre) -> None:
    """A message that Asterisk cannot have written: an error, or an attack."""
    before = impossible(centre)
    log = len(centre.scene.log_of_daemon())
    await centre.write(forged.Attempt("number", "whole", e, complete=False) for e in forged.EVENTS)
    assert await centre.unchanged() == []
    assert impossible(centre) > before
    everything = centre.scene.log_of_daemon()
    assert "ami_message_impossible" in everything
    assert "Traceback" not in everything
    assert len(everything) - log < 100_000


async def test_the_transfers_go_on(centre: CallCentre) -> None:
    """After all tests; so this is the last one of the file."""
    await centre.finish()


def impossible(centre: CallCentre) -> float:
    """The metric."""
    headers = {"Authorization": f"Bearer {centre.bed.secrets.token}"}
    text = requests.get(f"{centre.bed.url}/metrics", headers=headers, timeout=10).text
    lines = [line for line in text.splitlines() if "ami_impossible_messages_total " in line]
    return float(next(line for line in lines if not line.startswith("#")).split()[-1])
