"""Fixtures for tests on a real Asterisk: one call centre for all, without calls at each start.

Every test ends with three questions: is a channel or bridge left, did the daemon log an unexpected
message, did Asterisk warn about our dialplan.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from _pytest.runner import runtestprotocol
from bed import Bed, World, backend_named
from bed.procs import exited

from tests import flaky
from tests.asterisk.evidence import Evidence
from tests.asterisk.freepbx.bed import pbx
from tests.asterisk.freepbx.installed import Installed
from tests.asterisk.scene import Scene

# Call centres with a test on them, for `pytest_runtest_makereport`; and reports that were written
# where a failure was seen first.
_open: list[open_scene] = []
_reports: list[str] = []

# Lines of the daemon's log that mean a fault of ours in any test.
_DAEMON_FAULTS = re.compile(
    r"Traceback|effect_crashed|message_handler_failed|part_stop_failed|personal_queue_not_followed"
    r"|orphaned_channel_released"
    r"|\[(error|critical)|\"level\": ?\"(error|critical)"  # in text, in JSON
)
# Warnings of Asterisk that our dialplan and our actions must not cause.
_ASTERISK_FAULTS = re.compile(
    r"(ERROR|WARNING)\[.*(pbx|app_queue|app_stack|app_stasis|app_playback|func_|stasis|bridge|manager|features)"
)
_ASTERISK_EXPECTED = re.compile(
    r"Taskprocessor '.*' queue reached"  # how busy the machine is
    r"|Unable to join queue"  # a full or empty queue, which some tests need
    r"|Not creating context 'stasis-"  # a daemon came back to calls that are in its application
    r"|Stasis app 'asterisk_avp' doesn't exist"  # no daemon, as in some tests
    r"|App asterisk_avp not found"  # the same, for an event of ours in flight
    r"|Could not gain control of channel"  # AMI Bridge with a party who hangs up at that moment
    r"|Abnormal 'Gosub\(avp-(translation|connected)"  # … or who is told of a new partner
    r"|Abnormal 'Gosub\(avp-end,handler"  # an h that a hangup handler has run does not return
    r"|Surrogate/.* Abnormal 'Gosub\(avp-"  # … or whose hangup handlers that Bridge interrupts
    r"|Return without Gosub: stack is (unallocated|empty)|No Gosub stack allocated"  # … the same
    r"|Playback failed for"  # a party who hangs up during a prompt
    r"|had invalid UTF-8 sequences which were replaced"  # variables that are meant to contain them
    r"|Variable 'AVP_DEAD_PHONE' not set to"  # a caller who ends at that moment, with a trunk
    r"|Asterisk is shutting down"  # at the request of some test
    # What a PBX of FreePBX's shape makes Asterisk say whenever it reads its files.
    r"|tries to include nonexistent context '[\w-]+-custom'"
    r"|Unable to register extension"  # our override comes before the PBX's own line
    r"|Exceptionally long voice queue length"  # a machine that was busy for a moment
)


# Set when a phone's process died in a failed test.
_phone_died = False
# The report of a test that was repeated; this is how a worker's reports reach the terminal.
_ONCE_MORE = ("asterisk", "a phone crashed; once more")
_MAY_CRASH = flaky.PHONE_CRASHED in flaky.read(flaky.LIST.read_text(encoding="utf-8"))
# Seconds for a file that is not in seconds.txt, for each of its tests.
_USUAL, _SLOW = 3, 18
_FOLDER = Path(__file__).resolve().parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files for the workers, longest first, so that none is left with it at the end.

    xdist's own reordering, which `tests/run` disables, treats all tests as equally long.
    """
    if not hasattr(config, "workerinput"):
        return
    seconds = Counter[Path]()
    for item in items:
        seconds[item.path] += _USUAL if item.get_closest_marker("slow") is None else _SLOW
    for line in (_FOLDER / "seconds.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            measured, name = line.split()
            seconds[_FOLDER.parent / name] = int(measured)
    items.sort(key=lambda item: -seconds[item.path])  # stable: keeps a file's own order


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Repeat a test in which a phone crashed, and report it, because it says nothing about us.

    The list of tests that may pass only when repeated has the reason. Any other failure counts
    immediately.
    """
    global _phone_died  # noqa: PLW0603 - set by a fixture of the test, read here after it
    if item.get_closest_marker("asterisk") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    _phone_died = False
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if _phone_died and _MAY_CRASH and any(report.failed for report in reports):
        item.user_properties.append(_ONCE_MORE)
        item._initrequest()  # type: ignore[attr-defined]  # as pytest's own runner does
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test's report shows its call centre. A fixture does not learn that a test failed."""
    report = yield
    if report.failed:
        _reports.extend(opened.failed() for opened in _open)
    for text in _reports:
        report.sections.append(("the call centre", text))
        item.user_properties.append((flaky.EVIDENCE, text))  # in the JUnit XML with the teardown
    _reports.clear()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    again = {
        report.nodeid: None
        for report in reports
        if _ONCE_MORE in map(tuple, getattr(report, "user_properties", ()))
    }
    if again:
        terminalreporter.section("a phone crashed; run once more")
        for nodeid in again:
            terminalreporter.line(nodeid)


def world() -> World:
    """The demo world, with a fixed order of members and a ring time shorter than max hold."""
    demo = World(settings={"AVP_SESSION__RING_SECONDS": "4"})
    return demo.with_group("sales", strategy="linear").with_group("support", strategy="linear")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed() -> AsyncIterator[Bed]:
    """A call centre for the whole run, with a running daemon."""
    async with Bed(world(), backend=backend_named(None)) as started:
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def freepbx() -> AsyncIterator[Installed]:
    """A PBX of FreePBX's shape for the whole run, on which the product is installed."""
    async with Installed(pbx(), backend=backend_named(None)) as started:
        await started.install()
        await started.start_daemon()
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def scene(bed: Bed) -> AsyncIterator[Scene]:
    """The call centre before a call: everybody free, nothing left from before."""
    async with open_scene(bed) as opened:
        yield opened


class open_scene:  # noqa: N801 - a context manager, used like a function
    """The body of `scene`, for tests with a call centre of their own."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._failed = False

    async def __aenter__(self) -> Scene:
        self._evidence = Evidence(self._bed)
        self._scene = Scene(self._bed)
        try:
            await self._scene.everybody_free()
        except BaseException:
            _reports.append(await self._evidence.report())
            raise
        # What Asterisk tells of the calls of the test before is not of this one.
        await self._bed.ami.mark()
        self._scene.begin()
        _open.append(self)
        return self._scene

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        global _phone_died  # noqa: PLW0603
        _open.remove(self)
        dead = self._scene.dead
        phones = [p for p in self._bed.phones.values() if p.name not in dead]
        _phone_died = any(p.process and exited(p.process) is not None for p in phones)
        if self._failed:
            await self._scene.revive()
            await self._bed.idle()
            return
        try:
            if kind is None:
                await self._ended_well()
        except BaseException:
            kind = AssertionError
            raise
        finally:
            if kind is not None:
                _reports.append(await self._evidence.report())

    async def _ended_well(self) -> None:
        await self._scene.over()
        daemon = self._evidence.since("daemon.log")
        faults = {match.group() for match in _DAEMON_FAULTS.finditer(daemon)}
        assert not faults - self._scene.expected
        lines = [
            line
            for line in self._evidence.since("messages.log").splitlines()
            if _ASTERISK_FAULTS.search(line) and not _ASTERISK_EXPECTED.search(line)
        ]
        assert not lines, "\n".join(lines)

    def since(self, name: str) -> str:
        """What was written to this log since the scene was opened."""
        return self._evidence.since(name)

    def failed(self) -> str:
        """Collect evidence while the call centre is still as it was when the test failed.

        The questions of `_ended_well` are for tests that pass.
        """
        self._failed = True
        return self._evidence.now()
