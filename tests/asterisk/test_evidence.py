"""A failed test on Asterisk reports the situation, also between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.asterisk.evidence import bounded

ROOT = Path(__file__).resolve().parents[2]

FAILS = """
import pytest

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]


async def test_in_a_call(scene):
    await scene.call("caller1", "1001")
    await scene.transfer("1001", "supervised", "1002")
    await scene.on_music("caller1")
    raise AssertionError("as intended")


async def test_at_its_end(scene):
    scene.over = nothing_is_over


async def nothing_is_over():
    raise AssertionError("at its end")


async def test_that_passes(scene):
    pass
"""


@pytest.mark.asterisk
@pytest.mark.slow
@pytest.mark.thorough
def test_a_failed_test_shows_its_call_centre(tmp_path: Path) -> None:
    (tmp_path / "test_fails.py").write_text(FAILS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT),
            *("-p", "tests.asterisk.conftest", "-p", "no:cacheprovider", "-n", "1"),
            tmp_path / "test_fails.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    out = done.stdout
    # The failure counts once: leftovers of a test that failed midway are not a second one.
    assert "1 failed, 2 passed, 1 error" in out.splitlines()[-1], out + done.stderr
    errors, failures = out.split("= FAILURES =")
    for text in ("as intended", "- the call centre -", "PJSIP/caller1-"):
        assert text in failures, out
    _, channels, daemon, _messages, books = failures.split("\n--- ")
    assert "-consult stasis" in channels
    assert "Stasis(asterisk_avp,caller," in channels
    assert "decision=allow" in daemon
    assert "ENTERQUEUE" in books
    assert "at its end" in errors
    assert "- the call centre -" in errors
    assert "PJSIP" not in errors


def test_a_report_has_an_end() -> None:
    text = "\n".join(f"line {number}" for number in range(10_000))
    shown = bounded(text)
    assert len(shown) < 8_100
    assert shown.endswith("line 9999")
    first, second, *_ = shown.splitlines()
    assert first == f"({len(text) - len(shown) + len(first) + 1} characters before this)"
    assert second.startswith("line ")
    assert bounded("\na\nb\n") == "a\nb"
