"""Two partners of one caller end at about the same time: the dead one's cause is never lost.

The shipped text of avp-partner is run once for each of its lines, with the write of the other
channel (avp-phone-ended, avp-trunk-ended) at exactly that line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from bed import Bed, Event, backend_named, match

from tests.asterisk.conftest import world

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SHIPPED: Final = Path(__file__).resolve().parents[2] / "dialplan" / "asterisk_avp.conf"


def steps() -> list[str]:
    """The lines of avp-partner, without the context's name and its h extension."""
    (text,) = SHIPPED.read_text(encoding="utf-8").split("\n[avp-partner]\n")[1:]
    return text.split("exten => h,")[0].strip().splitlines()


# The last lines only return what was found: nobody is waited for any more.
WAITING: Final = next(n for n, line in enumerate(steps()) if "Return(dead)" in line)


def interleaved() -> str:
    """A copy of avp-partner for each line: what is written late comes before that line."""
    made = [
        "[late]",
        'exten => s,1,GotoIf($["${LATE}" = ""]?out)',
        " same => n,Set(AVP_ENDED=${EPOCH}_${LATE}_later)",
        " same => n,Set(LATE=)",
        " same => n(out),Return()",
    ]
    lines = steps()
    for number in range(1, WAITING):
        made.append(f"[partner-{number}]")
        made += [*lines[:number], " same => n,Gosub(late,s,1)", *lines[number:]]
    made += [
        "[race]",
        'exten => _X.,1,ExecIf($["${FIRST}" != "none"]?Set(AVP_ENDED=${EPOCH}_${FIRST}_before))',
        " same => n,Gosub(partner-${EXTEN:1},s,1)",
        " same => n,UserEvent(Found,Line: ${EXTEN:1},Partner: ${GOSUB_RETVAL},Unwritten: ${LATE})",
        # What has counted does not count again.
        " same => n,Gosub(avp-partner,s,1)",
        " same => n,UserEvent(Again,Line: ${EXTEN:1},Partner: ${GOSUB_RETVAL})",
        " same => n,Hangup()",
    ]
    return "\n".join(made)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre() -> AsyncIterator[Bed]:
    async with Bed(replace(world(), extensions=interleaved()), backend=backend_named(None)) as bed:
        yield bed


@pytest.mark.parametrize(
    ("first", "late", "partner"),
    [
        ("16", "44", "dead"),  # a colleague has left, and now the phone of who has the caller dies
        ("16", "18", "dead"),
        ("none", "44", "dead"),
        ("16", "16", "alive"),
        pytest.param("none", "16", "alive", marks=pytest.mark.thorough),
    ],
)
async def test_written_at_every_line(centre: Bed, first: str, late: str, partner: str) -> None:
    since = await centre.ami.mark()
    for line in range(1, WAITING):
        await centre.ami.action(
            "Originate",
            Channel=f"Local/9{line}@race/n",
            Application="Wait",
            Data="10",
            Variable=f"__FIRST={first},__LATE={late}",
            Async="true",
        )

    def told(name: str) -> dict[str, Event]:
        found = centre.ami.seen(match("UserEvent", UserEvent=name), since)
        return {event["Line"]: event for event in found}

    async def all_told() -> bool | None:
        return len(told("Again")) == WAITING - 1 or None

    assert await centre.ami.until(all_told, 30.0), (told("Found"), told("Again"))
    # Where nothing had been written before, most lines are never reached.
    written = [event for event in told("Found").values() if not event["Unwritten"]]
    assert len(written) >= (4 if first == "none" else WAITING - 2)
    assert {
        event["Line"]: event["Partner"] for event in written if event["Partner"] != partner
    } == {}
    assert {event["Partner"] for event in told("Again").values()} == {"unknown"}
