"""The panel stays signed in when a standby takes over, and completes the call."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from tests.asterisk.scene import Scene
from tests.asterisk.test_standby import Standby, guarded, scene, standby, taken_over
from tests.panel.agent_page import AgentPage

__all__ = ["guarded", "scene", "standby"]  # fixtures

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

OpenPanel = Callable[..., Awaitable[AgentPage]]


@pytest.mark.parametrize(
    "way",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGSTOP, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, marks=pytest.mark.thorough),
    ],
    ids=["killed", "frozen", "stopped"],
)
async def test_the_panel_goes_on(
    scene: Scene, standby: Standby, open_panel: OpenPanel, way: signal.Signals
) -> None:
    alice = await open_panel(scene.bed.url, "1001")
    bob = await open_panel(scene.bed.url, "1002")
    transfer = await scene.consult("caller1", "1001", "1002")
    await alice.party("You", "hear Bob")
    scene.bed.signal_daemon(way)
    await taken_over(scene, standby, transfer)
    await alice.live()
    await bob.live()
    await alice.party("You", "hear Bob")
    await expect(bob.call).to_contain_text("Alice asks you about a call")
    await scene.hear_one_another("1001", "1002")
    await alice.button("Complete").click()
    await scene.ends(transfer, "completed", "completed")
    await scene.talking("caller1", "1002")
    await expect(bob.call).to_contain_text("caller1")
    await expect(alice.call).to_contain_text("No call")
    await scene.hang_up("caller1")
