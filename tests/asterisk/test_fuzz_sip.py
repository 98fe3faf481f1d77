"""Hostile SIP requests at a real Asterisk; more of them: `tests/run fuzz` and
`tests/run fuzz --trunk`.

The same each time: `--hypothesis-seed=N` (or `random`) sends others.
"""

from __future__ import annotations

import random
from urllib.parse import quote

import pytest

from tests.asterisk.fuzz import play
from tests.asterisk.fuzz.campaign import campaign
from tests.asterisk.fuzz.centre import Centre
from tests.asterisk.fuzz.phone import status

pytestmark = [
    pytest.mark.asterisk,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.thorough,
]

SEED = 1
INPUTS = 500


@pytest.mark.parametrize("of_several", [False, True], ids=["phones", "nodes"])
async def test_nothing_comes_of_what_is_sent(
    request: pytest.FixtureRequest,
    of_several: bool,
) -> None:
    chosen = request.config.getoption("--hypothesis-seed")
    number = random.getrandbits(32) if chosen == "random" else int(chosen or SEED)
    report = await campaign(number, INPUTS, of_several=of_several)
    assert not report.failures, report
    assert report.inputs == INPUTS
    assert report.answered > INPUTS / 2, report
    assert report.ran > INPUTS / 10, report


async def test_a_caller_takes_over_no_call_by_refer() -> None:
    """Neither a call whose dialog they know, nor the agent to whom they talk."""
    async with Centre.open() as centre:
        for name in ("trunk", "caller1"):
            caller = centre.phones[name]
            for replaced in (*centre.replaces, b""):
                dialog = play.dialog_with(caller, "1002", name)
                call = await play.connected(centre, caller, dialog, b"", "1002")
                assert call is not None
                refer_to = f"sip:1003@127.0.0.1:{centre.bed.ports.sip}"
                if replaced:
                    refer_to += f"?Replaces={quote(replaced.decode(), safe='')}"
                more = f"Refer-To: <{refer_to}>\r\n".encode()
                assert status(await caller.ask("REFER", dialog, more=more, tries=3)) == 603
                assert (await centre.bed.ami.bridged("1004", "caller2")) is not None
                assert (await centre.bed.ami.bridged("1002", name)) is not None
                await caller.ask("BYE", dialog, tries=3)
