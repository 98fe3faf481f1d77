"""Random histories of a call centre, and the invariants after each of their steps.

    tests/run histories [--minutes 30] [--seed 1] [--batch 6] [--steps 25]

A hypothesis state machine over `happenings`: one action at a time, two at once (`race`), or some
while the daemon is dead or cut off from Asterisk (`fault`). After each, once nothing changes any
more, the `picture` must be right, nobody may have heard silence for long (`silence`), and no caller
may be lost: a call ends when the caller hangs up, when the other parties do, or when the longest
hold time has passed, and not otherwise. After a history, nobody may have been told who the caller
is who withholds it (`withheld`).

Each seed is a batch of histories. The same seed repeats the same ones, as far as a real call centre
behaves the same twice. A failure prints its history and how to repeat it, and then shorter
histories that fail as well, for `--shorten` seconds (`shortening`).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

sys.path.insert(0, str(Path(__file__).parent))

from bed import Bed, Phone, Wire, World, backend_named
from bed.audio import Ear
from bed.deadlines import impatient
from bed.procs import exited
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.asterisk import books
from tests.asterisk.conftest import open_scene, world
from tests.asterisk.happenings import (
    EXPECTED,
    RTP_TIMEOUT,
    SETTINGS,
    SHORT_HOLD,
    SHORT_HOLD_SECONDS,
    CallCentre,
    Happening,
    reload_asterisk,
    reload_daemon,
)
from tests.asterisk.picture import WITHHOLDS, Picture, look
from tests.asterisk.scene import Scene
from tests.asterisk.shortening import SECONDS, Failures, OutOfTime
from tests.asterisk.silence import Silences, in_calls
from tests.asterisk.withheld import ACCOUNT, Told, withholding

STEADY_SECONDS = 0.3
ELSEWHERE_SECONDS = 10.0
"""How long a transfer may be reported as running after its call is elsewhere."""
SILENCE_SECONDS = 10.0
"""For how long a phone in a call may hear nothing without a reason. What takes longest: Asterisk
notices after `RTP_TIMEOUT` that a partner's phone has died, and the dialplan after six seconds that
no daemon is there for who is left in a transfer. Then somebody else or music is heard; a ringback
tone begins with up to four seconds of silence."""
SETTLED_WITHIN = 25.0
"""A phone on which an agent dials a target may take 15 s to give up."""
HAPPENINGS_WEIGHED: Final = {
    "talk": 4,
    "call": 2,
    "direct": 1,
    "answer": 4,
    "reject": 2,
    "hang_up": 4,
    "transfer": 6,
    "consult": 5,
    "command": 9,
    "add_party": 4,
    "add_colleague": 5,
    "drop_party": 2,
    "pause": 2,
    "log_in_or_out": 2,
    "hold": 4,
    "button": 2,
    "code": 2,
    "move": 3,
    "reload": 3,
    "patience": 2,
    "outstay": 2,
    "die": 1,
}
"""How often each is tried; most need an earlier action."""
FAULTS: Final = ("daemon killed", "AMI cut", "ARI cut", "both cut")
ALONE: Final = tuple(name for name, weight in HAPPENINGS_WEIGHED.items() for _ in range(weight))
IN_A_RACE: Final = (
    "command",
    "hang_up",
    "answer",
    "transfer",
    "reject",
    "pause",
    "log_in_or_out",
    "call",
    "move",
    "hold",
    "reload",
)
"""Actions without duration, so that another can happen at the same time, or while we are down."""
INSTEAD: Final = ("consult", "talk", "answer", "hang_up")
"""Replacements for impossible actions: a history without calls is useless."""
NUMBERS = st.integers(0, 23)
OTHER = st.tuples(st.sampled_from(IN_A_RACE), NUMBERS, NUMBERS)
ENDED_FOR_THE_CALLER = frozenset(
    {
        *("max_hold", "target_left", "target_queue_full", "withdrawn"),
        *("target_offline", "target_not_ready"),
    }
)
"""Ends of a queued transfer after which the max-hold action may hang up."""


def call_centre() -> World:
    """No timer expires during a history, except for callers of one number."""
    demo = world()
    patient = replace(
        demo,
        outside=("pstn", "pstn2"),
        members="dynamic",
        wrapuptime=1,
        rtp_timeout=RTP_TIMEOUT,
        max_hold_seconds=90,
        extensions=f"""
[callers](+)
exten => {SHORT_HOLD},1,Answer()
 same => n,Set(AVP_MAX_HOLD={SHORT_HOLD_SECONDS})
 same => n,Set(AVP_POP_PHONE=${{CALLERID(num)}})
 same => n,Queue(sales,i)
 same => n,Hangup()

[avp-external](+)
exten => +12025550199,1,Dial(PJSIP/pstn2,60,i)
""",
        pjsip=withholding(WITHHOLDS),
        settings=demo.settings
        | {
            "AVP_SESSION__RING_SECONDS": "90",
            "AVP_SESSION__KEEP_ENDED_SECONDS": "60",
            "AVP_ACCOUNTS__ACME__EXTERNAL_CALLER_ID": "caller",
            "AVP_ACCOUNTS__ACME__CALLER_ID": ACCOUNT,
        },
    )
    return patient.with_group("sales", timeout=90).with_group("support", timeout=90)


@dataclass
class Office:
    """The call centre of all histories, one after the other, and a loop for its tasks."""

    runner: asyncio.Runner
    bed: Bed
    ami: Wire
    ari: Wire
    secrets: Told
    told: Counter[str] = field(default_factory=Counter)
    """Counts of what has happened."""
    failures: Failures = field(default_factory=Failures)
    quietest: str = ""
    """The longest silence that anybody heard without a reason."""
    rests_broken: ClassVar[bool] = False
    """Whether a fault shows its effect before anything else happens."""
    trace: Path | None = None
    """Where each step is written as it happens."""

    @property
    def phones(self) -> Mapping[str, Phone]:
        return self.bed.phones

    def history(self) -> type[Histories]:
        return Histories

    def open_scene(self) -> open_scene:
        return open_scene(self.bed)

    def centre(self, scene: Scene, picture: Picture) -> CallCentre:
        return CallCentre(scene, picture)

    async def look(self, scene: Scene) -> Picture:
        return await look(scene)

    def nobody_acts(self, fault: str) -> bool:
        """Whether nobody acts for the calls: a daemon is there, cut off from Asterisk."""
        return fault != "daemon killed"

    def nobody_tells(self, fault: str) -> bool:
        """Whether there is no daemon to be asked, or none to act."""
        del fault
        return True

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Office]:
        with asyncio.Runner() as runner:
            bed = Bed(call_centre(), backend=backend_named(None))
            wires = Wire(bed.ports.ami), Wire(bed.ports.http)
            office = cls(runner, bed, *wires, Told(bed, WITHHOLDS))
            try:
                runner.run(office._start())
                yield office
            finally:
                runner.run(office._stop())

    async def _start(self) -> None:
        await self.bed.start()
        (self.bed.directory / SETTINGS).touch()
        await self.ami.start()
        await self.ari.start()
        await self.start_daemon()

    async def _stop(self) -> None:
        await self.secrets.stop()
        await self.bed.stop()
        await self.ami.stop()
        await self.ari.stop()

    async def start_daemon(self) -> None:
        await self.bed.start_daemon(
            {
                "AVP_AMI__PORT": str(self.ami.port),
                "AVP_ARI__URL": f"http://127.0.0.1:{self.ari.port}/ari",
                "AVP_CONFIG": f"{self.bed.backend.for_daemon(self.bed.name)}/{SETTINGS}",
            },
            within=60.0,  # seconds of work, on a machine that may be busy
        )
        await self.secrets.listen()

    async def break_off(self, fault: str) -> None:
        if fault == "daemon killed":
            await self.bed.stop_daemon(kill=True)
            await self.secrets.stop()
        for wire, name in ((self.ami, "AMI"), (self.ari, "ARI")):
            if name in fault or fault == "both cut":
                wire.break_off()

    async def mend(self, scene: Scene) -> None:
        self.ami.mend()
        self.ari.mend()
        if missing(self.bed):
            await self.start_daemon()

        async def ready() -> bool | None:
            return (await scene.api("GET", "/readyz")).status == 200 or None

        assert await scene.ami.until(ready, 15.0), "the daemon does not get ready again"

    async def as_before(self, scene: Scene) -> None:
        """Settings of the daemon and of Asterisk's queues, for the next history."""
        if (self.bed.directory / SETTINGS).read_text():
            await reload_daemon(scene, "")
        await reload_asterisk(scene, "queue reload all")  # after one of members only


def missing(bed: Bed) -> bool:
    """Whether a daemon is to be started: none was, or it has ended by itself."""
    return bed.daemon is None or exited(bed.daemon) is not None


class PhoneCrashed(Exception):
    """baresip 1.1 crashes now and then; such a history says nothing about us."""


class Histories(RuleBasedStateMachine):
    """One history. `office` is set before any is played."""

    office: ClassVar[Office]

    def __init__(self) -> None:
        super().__init__()
        self.story: list[str] = []
        self.began = time.monotonic()
        self.void = False
        self.strays: dict[str, float] = {}
        """Running transfers whose calls are elsewhere, and since when."""
        self.dismissed: set[str] = set()
        """Callers who are hearing that nobody can take their call."""
        self.moves: list[tuple[float, str]] = []
        """The story's lines, and when each began (wall clock)."""
        self.silences = Silences(SILENCE_SECONDS)
        self.listened = time.time()
        """Until when all phones have been listened to."""
        self.cut = False
        """Whether the daemon is there, and cut off from Asterisk, where nobody acts for it."""
        self.office.failures.history()
        self.office.secrets.begin()
        self.opened = self.office.open_scene()
        self.scene = self._run(self.opened.__aenter__())
        # A daemon that starts may find an unknown channel of ours, and sends it back.
        self.scene.expected = {"orphaned_channel_released"}
        self.centre = self.office.centre(self.scene, self._run(self.office.look(self.scene)))
        self.over: set[str] = set(self.centre.picture.ended)
        self.office.told["histories"] += 1

    def _run(self, coroutine: Any) -> Any:
        return self.office.runner.run(coroutine)

    # --- what may happen -------------------------------------------------------------------------

    # One rule for all actions: hypothesis leaves out some rules of a machine in each history, and a
    # history without calls or transfers would be useless.
    @rule(what=st.sampled_from(ALONE), who=NUMBERS, whom=NUMBERS)
    def happens(self, what: str, who: int, whom: int) -> None:
        self._happens((what, who, whom))

    @rule(first=st.tuples(st.sampled_from(ALONE), NUMBERS, NUMBERS), second=OTHER)
    def at_once(self, first: tuple[str, int, int], second: tuple[str, int, int]) -> None:
        """Both at the same time."""
        if first[0] in IN_A_RACE:
            self._happens(first, second)
        else:
            self._happens(first)

    @rule(
        fault=st.sampled_from((*FAULTS, *ALONE)), who=NUMBERS, meanwhile=st.lists(OTHER, max_size=2)
    )
    def fault(self, fault: str, who: int, meanwhile: list[tuple[str, int, int]]) -> None:
        """Some actions happen meanwhile, and everything is well afterwards."""
        if fault not in FAULTS:
            self._happens((fault, who, who))
        else:
            self._breaks(fault, meanwhile)

    # --- how it happens --------------------------------------------------------------------------

    def _breaks(self, fault: str, meanwhile: Sequence[tuple[str, int, int]]) -> None:
        if not self.void and any(self.centre.picture.calls.values()):
            with self._watched():
                self._tell(fault)
                self._run(self._faulty(fault, meanwhile))

    def _happens(self, *happenings: tuple[str, int, int]) -> None:
        if self.void:
            return
        found: list[Happening] = []
        for name, first, second in happenings:
            for instead in (name, *INSTEAD) if not found else (name,):
                happening = self.centre.plan(instead, first, second)
                if happening is not None and not (found and at_odds(found[0], happening)):
                    self.office.told[instead] += 1
                    found.append(happening)
                    break
        with self._watched():
            self.office.told["at once"] += len(found) > 1
            self._run(self._play(found))

    async def _play(self, happenings: Sequence[Happening]) -> None:
        self.centre.hurry = len(happenings) > 1
        self._tell(" and at once ".join(happening.text for happening in happenings))
        await asyncio.gather(*(self._one(happening) for happening in happenings))
        self.centre.hurry = False
        await self._settle(*happenings)

    async def _one(self, happening: Happening) -> None:
        try:
            with impatient():
                await happening.run()
        except EXPECTED as error:
            # The call ended at that moment, or nobody took it. The picture decides.
            self._note(f"({error})")

    async def _faulty(self, fault: str, meanwhile: Sequence[tuple[str, int, int]]) -> None:
        self.office.told[fault] += 1
        self.cut = self.office.nobody_acts(fault)
        had_company = None
        if self.office.nobody_tells(fault):
            had_company = {c for c in self.centre.callers if self.centre.picture.company(c)}
        await self.office.break_off(fault)
        self.centre.hurry = True
        if self.office.rests_broken:
            await self._settle(had_company=had_company)
        for name in meanwhile:
            happening = self.centre.plan(*name)
            if happening is None:
                continue
            self.office.told[name[0]] += 1
            self._tell(f"meanwhile {happening.text}")
            await self._one(happening)
            await self._settle(happening, had_company=had_company)
        self.centre.hurry = False
        self._tell("mended")
        await self.office.mend(self.scene)
        self.cut = False
        await self._settle()

    async def _settle(
        self, *happened: Happening, had_company: Collection[str] | None = None
    ) -> None:
        """Wait until everything is well and stays so. Then check for lost callers.

        ``had_company``: the daemon is down; the callers who were not alone when it went. If such a
        caller's counterpart in a bridge of ours hangs up, the caller is alone until it is back.
        """
        daemon = had_company is None
        before, at = self.centre.picture, time.monotonic()
        short = self.centre.short_hold()
        last: Picture | None = None
        wrong: list[str] = []

        async def steady() -> Picture | None:
            nonlocal last, wrong
            picture = await self.office.look(self.scene)
            self._excuse(picture)
            assert not picture.told_secrets, f"told who withholds it: {picture.told_secrets}"
            callers = set(self.centre.callers)
            callers -= {c for c in had_company or () if not picture.company(c)}
            wrong = picture.wrong(callers, self.centre.holding())
            self._watch_strays(picture)
            if daemon and not picture.daemon:
                wrong.append("the daemon is not ready")
            if wrong:
                last = None
            elif last is None or last.signature() != picture.signature():
                last = picture
            elif picture.at - last.at >= STEADY_SECONDS:
                return picture
            return None

        found = await self.centre.until(steady, SETTLED_WITHIN)
        self._note(*self.centre.notes)
        self.centre.notes.clear()
        self._listen_back()
        self.centre.dialling.clear()
        if found is None:
            raise AssertionError("; ".join(wrong) or "it does not come to rest")
        self.office.told["settled"] += 1
        # The announcement to a caller who has waited too long may take longer than this step.
        for transfer_id, ended in found.ended.items():
            new = transfer_id not in self.over
            if new and ended["ended_reason"] in ENDED_FOR_THE_CALLER:
                self.dismissed.add(ended["caller"])
        self.over |= found.ended.keys()
        self.office.told["settled ms"] += round(1000 * (time.monotonic() - at))
        lost = [
            caller
            for caller in self.centre.callers
            if before.calls[caller]
            and not found.calls[caller]
            and caller not in self.dismissed
            and not may_end(caller, before, happened, short)
        ]
        self.dismissed &= {caller for caller in self.centre.callers if found.calls[caller]}
        assert not lost, f"{lost} lost"
        for caller in self.centre.callers:
            if found.calls[caller] and daemon and found.transfer_of(caller) is None:
                with suppress(*EXPECTED):
                    left = await self.centre.of(caller).variable(caller, "AVP_SESSION_0")
                    assert not left, f"{caller} still carries a transfer: {left}"
        self.centre.picture = found

    def _excuse(self, picture: Picture) -> None:
        excused = {*picture.may_hear_nothing({*self.centre.callers}, self.centre.holding())}
        excused |= picture.calls.keys() if self.cut else self.centre.dialling
        self.silences.excuse(excused, time.time())

    def _listen_back(self) -> None:
        """Nobody has heard silence for too long, whatever was seen meanwhile."""
        now = time.time() - Ear.SETTLE
        since = max(self.moves[0][0], self.listened - SILENCE_SECONDS - 1.0)
        self.listened = now
        found = [
            (name, *span)
            for name, phone in self.office.phones.items()
            for start, end in in_calls(phone.calls, since, now)
            for span in self.silences.of(name, phone.ear.silences(start, end))
        ]
        longest = round(1000 * self.silences.longest)
        if longest > self.office.told["longest silence ms"] and self.silences.whose is not None:
            self.office.told["longest silence ms"] = longest
            self.office.quietest = self._silence(*self.silences.whose)
        assert not found, "; ".join(self._silence(*each) for each in found)

    def _silence(self, name: str, start: float, end: float) -> str:
        during = [text for at, text in self.moves if at <= start] or [self.moves[0][1]]
        at = start - time.time() + time.monotonic() - self.began  # as in the story
        return f"{name} heard nothing for {end - start:.1f} s from {at:.1f} on, in: {during[-1]}"

    async def _nobody_was_told(self) -> None:
        """Who the caller is who withholds it. For the end of a history."""
        told = self.office.secrets
        secrets = await told.found(self.scene, self.opened.since("daemon.log"))
        assert not secrets, f"told who withholds it: {secrets[:3]}"
        self.office.told |= {"withheld": told.calls, "events and SIP": told.looked_at}

    def _watch_strays(self, picture: Picture) -> None:
        now = {transfer["id"] for transfer in picture.strays()}
        self.strays = {x: self.strays.get(x, picture.at) for x in now}
        long = [x for x, since in self.strays.items() if picture.at - since > ELSEWHERE_SECONDS]
        assert not long, f"{long} still reported as running, and the calls are elsewhere"

    # --- what is told of it ----------------------------------------------------------------------

    def _tell(self, text: str) -> None:
        self.story.append(f"{time.monotonic() - self.began:6.1f}  {text}")
        self.moves.append((time.time(), text))
        if self.office.trace is not None:
            with self.office.trace.open("a") as file:
                print(self.story[-1], file=file)

    def _note(self, *texts: str) -> None:
        if texts and self.story:
            self.story[-1] += f" [{', '.join(texts)}]"

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Run a step of a history, and record a failure."""
        try:
            yield
        except BaseException as error:
            phones = self.office.phones.values()
            if any(p.process and exited(p.process) is not None for p in phones):
                self.void = True
                self.office.told["phones crashed"] += 1
                return
            self._fails(error)
            raise

    def _fails(self, error: BaseException) -> None:
        if not isinstance(error, KeyboardInterrupt):
            self.office.failures.fails(error, self.story, self.opened.failed())

    def teardown(self) -> None:
        failed = self.opened._failed or self.void
        try:
            self._run(self.office.mend(self.scene))
            self._run(self.office.as_before(self.scene))
            if not failed:
                self._run(self._nobody_was_told())
            self._run(self.opened.__aexit__(PhoneCrashed if failed else None, None, None))
            if not failed:
                wrong = [text for each in self.centre.scenes() for text in books.wrong(each.rows())]
                assert not wrong, f"queue_log: {wrong}"
        except BaseException as error:
            self._fails(error)
            raise


def at_odds(one: Happening, other: Happening) -> bool:
    """Excludes the same action twice, and what one person cannot do at once, such as two calls."""
    if one.text == other.text:
        return True
    who = one.text.split()[0]
    verbs = [happening.text.split()[1] for happening in (one, other)]
    alone = {"calls", "answers", "rejects"}
    return other.text.startswith(f"{who} ") and alone.issuperset(verbs)


def may_end(
    caller: str,
    before: Picture,
    happened: Sequence[Happening],
    short: set[str],
) -> bool:
    """Whether a caller's call may have ended between two pictures."""
    hung_up = frozenset[str]().union(*(happening.hangs_up for happening in happened))
    if caller in hung_up:
        return True
    company, transfer = before.company(caller), before.transfer_of(caller)
    if transfer is not None:
        # Three parties of a conference without the transferor: it ends when two have left.
        return bool(company) and company <= hung_up and transfer["agent"] not in company
    if company:
        return company <= hung_up
    # A call without a queue that nobody took.
    direct = any(line.phone == caller and line.application == "Dial" for line in before.lines)
    return (direct and bool(hung_up)) or caller in short


def play(office: Office, number: int, histories: int, steps: int, *phases: Phase) -> None:
    """Play the histories of one seed. The first failure is told, shortened and raised."""
    office.failures.begin(number)
    machine = seed(number)(type("Histories", (office.history(),), {"office": office}))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=histories,
                stateful_step_count=steps,
                phases=phases or (Phase.generate, Phase.shrink),
                deadline=None,
                database=None,
                derandomize=False,
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except (Exception, OutOfTime):  # or hypothesis' complaint of a history that ended too early
        if office.failures.over and office.failures.error is not None:
            raise office.failures.error from None
        raise


def office_of(nodes: int) -> type[Office]:
    if nodes == 1:
        return Office
    from tests.asterisk.nodes_histories import NodesOffice

    return NodesOffice


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/run histories")
    parser.add_argument("--nodes", type=int, choices=(1, 2), default=1, help="how many Asterisk")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="the first one; the next follow")
    parser.add_argument("--batch", type=int, default=6, help="histories of one seed")
    parser.add_argument("--steps", type=int, default=25, help="of a history, at most")
    parser.add_argument("--keep-going", action="store_true", help="after a failure, too")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument(
        "--shorten", type=float, default=SECONDS, metavar="SECONDS", help="a failed one, at most"
    )
    parser.add_argument("--trace", type=Path, help="where each step is written as it happens")
    parser.add_argument("--output", type=Path, help="where failed histories are written as well")
    chosen = parser.parse_args(arguments)
    phases = (Phase.generate,) if chosen.no_shrink else (Phase.generate, Phase.shrink)
    failures, number = 0, chosen.seed
    again = "tests/run histories --nodes {} --seed {} --batch {} --steps {} --minutes 0.01"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is stopped
    with office_of(chosen.nodes).open() as office:
        office.trace = chosen.trace
        office.failures = Failures(
            chosen.shorten,
            chosen.output,
            lambda seed: again.format(chosen.nodes, seed, chosen.batch, chosen.steps),
        )
        end = time.monotonic() + 60 * chosen.minutes
        while number == chosen.seed or time.monotonic() < end:
            try:
                play(office, number, chosen.batch, chosen.steps, *phases)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                failures += 1
                office.failures.tell(f"=== seed {number} failed: {error!r}")
                if not chosen.keep_going:
                    break
            number += 1
            print(f"seed {number - 1}: {dict(office.told)}", flush=True)
    print(f"{number - chosen.seed} seeds, {failures} failed: {dict(office.told)}")
    print(f"the longest silence: {office.quietest or 'none'}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
