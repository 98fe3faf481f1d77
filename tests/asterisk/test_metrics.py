"""`/metrics` after real transfers."""

from __future__ import annotations

import asyncio
import time

import pytest
import requests
from bed import Bed
from prometheus_client.parser import text_string_to_metric_families

from tests.asterisk.scene import Scene

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

Sample = tuple[str, frozenset[tuple[str, str]]]


class Reading(dict[Sample, float]):
    """The samples of one moment."""

    def of(self, name: str, **labels: str) -> float:
        """The sum over all series of that name with these labels."""
        wanted = labels.items()
        return sum(
            value
            for (sample, its), value in self.items()
            if sample == "asterisk_avp_" + name and wanted <= set(its)
        )

    def has(self, name: str, **labels: str) -> bool:
        return any(
            sample == "asterisk_avp_" + name and labels.items() <= set(its) for sample, its in self
        )


async def read(bed: Bed) -> Reading:
    answer = await asyncio.to_thread(requests.get, bed.url + "/metrics", timeout=5)
    assert answer.status_code == 200
    return Reading(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
    )


async def read_without_waiting(bed: Bed) -> Reading:
    """A slot is free only once Asterisk has confirmed that the caller has left the queue."""

    async def look() -> Reading | None:
        reading = await read(bed)
        return reading if reading.of("waiting_slots_taken") == 0 else None

    found = await bed.ami.until(look, 3.0)
    assert found is not None
    return found


async def test_transfers_are_counted_and_timed(bed: Bed, scene: Scene) -> None:
    before = await read(bed)
    assert before.of("ready") == before.of("connected", interface="ami") == 1
    assert before.of("agents", state="available") == 4

    def more(after: Reading, name: str, **labels: str) -> float:
        return round(after.of(name, **labels) - before.of(name, **labels), 6)

    # Supervised, completed.
    began = time.monotonic()
    transfer = await scene.consult("caller1", "1001", "1002")
    await scene.agent_is("1002", "talking")
    during = await read(bed)
    assert during.of("transfers_running") == 1
    assert during.of("agents", state="talking") == 2
    assert more(during, "transfers_total") == 0
    await scene.complete(transfer)
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await scene.hang_up("caller1")
    await scene.gone("1002")
    await scene.everybody_free()
    # Unsupervised, to a busy agent: it waits, and the caller hangs up.
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.reaches(transfer, "waiting")
    assert (await read(bed)).of("waiting_slots_taken") == 1
    await scene.hang_up("caller1")
    await scene.ends(transfer, "abandoned", "caller_hangup")
    assert await scene.refused("1002", "supervised", "agent", "1002") == "self_transfer"

    after = await read_without_waiting(bed)
    longest = time.monotonic() - began
    ended = {"mode": "supervised", "target": "agent", "outcome": "completed"}
    assert more(after, "transfers_total", **ended, reason="completed") == 1
    ended = {"mode": "unsupervised", "target": "agent", "outcome": "abandoned"}
    assert more(after, "transfers_total", **ended, reason="caller_hangup") == 1
    assert more(after, "transfers_total") == 2
    assert more(after, "decisions_total", decision="allow") == 2
    assert more(after, "decisions_total", decision="deny", reason="self_transfer") == 1
    for name in ("ring", "consult", "completion"):
        assert more(after, f"transfer_{name}_seconds_count") == 1, name
    for mode in ("supervised", "unsupervised"):
        assert more(after, "transfer_start_seconds_count", mode=mode) == 1
        assert 0 < more(after, "transfer_start_seconds_sum", mode=mode) < longest
    assert 0 < more(after, "transfer_completion_seconds_sum") < longest
    whole = more(after, "transfer_wait_seconds_sum", mode="supervised", outcome="completed")
    # The start ends with the caller's music, while the target rings already.
    assert whole >= more(after, "transfer_start_seconds_sum", mode="supervised")
    parts = ("ring", "consult", "completion")
    assert whole >= sum(more(after, f"transfer_{part}_seconds_sum") for part in parts)
    assert more(after, "ami_events_total", handled="yes") > 0
    assert after.of("ami_events_total", handled="no") == 0  # by the filters of manager.conf
    assert more(after, "reconnects_total") == 0
    assert after.of("transfers_running") == 0
    of_sales = {"group": "sales", "mode": "supervised", "outcome": "completed"}
    assert more(after, "group_transfers_total", **of_sales) == 1
    assert more(after, "callers_lost_total") == 0


@pytest.mark.thorough
async def test_a_caller_lost_at_max_hold_is_counted_for_the_group(bed: Bed, scene: Scene) -> None:
    before = await read(bed)
    lost = {"group": "sales", "cause": "max_hold"}
    assert before.has("callers_lost_total", **lost)  # so that the first one is an increase
    await scene.call("caller1", "1001")
    await scene.call("caller2", "1002")
    transfer = await scene.transfer("1001", "unsupervised", "1002")
    await scene.ends(transfer, "failed", "max_hold")
    after = await read(bed)
    assert after.of("callers_lost_total") == before.of("callers_lost_total") + 1
    assert after.of("callers_lost_total", **lost) == before.of("callers_lost_total", **lost) + 1
    ended = {"group": "sales", "mode": "unsupervised", "outcome": "failed"}
    assert (
        after.of("group_transfers_total", **ended)
        == before.of("group_transfers_total", **ended) + 1
    )
    assert after.keys() == before.keys()  # no series is born with an event
