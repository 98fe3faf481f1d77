"""docker/demo: its output, its exit status on a failure, and its clean-up."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bed import ProcessId
from bed.deadlines import deadline, patiently

ROOT = Path(__file__).resolve().parents[2]
DEMO = str(ROOT / "docker" / "demo")

pytestmark = [pytest.mark.asterisk, pytest.mark.slow, pytest.mark.thorough]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEMO, *options], capture_output=True, text=True, check=False, timeout=300
    )


def after(text: str, output: str) -> int:
    """How many milliseconds after the previous step this one came."""
    found = re.search(rf"\+(\d+)  {text}", output)
    assert found, f"no line {text!r} in {output}"
    return int(found[1])


def test_demo_shows_four_transfers() -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    out = done.stdout
    assert "4 of 4 transfers were as they should be." in out
    assert out.count("Verified: ") == 4
    assert "NOT AS IT SHOULD BE" not in out
    for text in ("the call has moved", "caller1 hears music", "caller1 and Bob in one bridge"):
        assert after(text, out) < patiently(2000)
    # After-call work comes before the waiting call.
    assert after("Bob's phone rings", out[out.index("caller2 hangs up") :]) >= 1000
    for step, hears, connected in (
        ("Alice asks for a supervised transfer", "music", "nobody"),
        ("Alice completes the transfer", "Bob", "Bob - caller1"),
        ("Alice cancels", "Alice", "Alice - caller1"),
        ("Dave answers", "Dave", "Dave - caller1"),
    ):
        # In whatever order the results came.
        follows = re.search(rf"\d  {step}.*\n((?: +\+\d+  .*\n)+)", out)
        assert follows, f"{step}: {out}"
        shown = rf" {hears} +{connected}$"
        assert re.search(shown, follows[1], re.MULTILINE), f"{step}: {out}"
    assert max(map(len, out.splitlines())) <= 100, "fits a terminal"


@pytest.mark.thorough  # `tests/run docker` runs it too
def test_demo_fails_when_a_phone_is_not_answered() -> None:
    done = run("--scene", "2", "--no-answer", "1002")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT AS IT SHOULD BE: phone 1002" in done.stdout
    assert "0 of 1 transfers were as they should be. Not so: 2." in done.stdout
    assert "Verified" not in done.stdout


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)]
)
def test_demo_ends_everything_when_interrupted(number: signal.Signals) -> None:
    with subprocess.Popen(
        [DEMO, "--scene", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        seen = []
        for line in demo.stdout:
            seen.append(line)
            if "Bob's phone rings" in line:
                break
        assert "Bob's phone rings" in seen[-1], "".join(seen)
        started = [ProcessId.of(pid) for pid in descendants(demo.pid)]
        assert len(started) > 5, "Asterisk, the daemon and phones"
        demo.send_signal(number)
        rest = demo.stdout.read()
        assert demo.wait(30) == 130, rest
    assert "Traceback" not in rest
    over = deadline(5)  # processes that the parent of a chroot or container ends
    while any(process.alive() for process in started) and time.monotonic() < over:
        time.sleep(0.05)
    assert [process for process in started if process.alive()] == []


def descendants(pid: int) -> Iterator[int]:
    """The child processes of one, as the kernel lists them by parent."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from descendants(child)


def test_demo_shows_transfers_between_nodes() -> None:
    done = run("--nodes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    out = done.stdout
    assert "2 of 2 transfers were as they should be." in out
    assert out.count("Verified: ") == 2
    for text in ("caller1 hears music", "Carol's phone rings, at node B", "caller1 hears Carol"):
        assert after(text, out) < patiently(3000)
    assert max(map(len, out.splitlines())) <= 103, "fits a terminal"


def test_demo_of_nodes_has_scenes_of_its_own() -> None:
    assert run("--nodes", "2", "--scene", "4").returncode == 2
