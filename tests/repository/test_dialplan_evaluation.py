"""No foreign text is in a place where Asterisk evaluates it.

This applies to the dialplan, to the output of `render`, to the test bed's configuration, and to the
examples in README.md and docs/. The test also finds each known hole when it is put back.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asterisk_avp.install.instructions import notes
from asterisk_avp.install.personal_queues import render_extensions
from tests.documentation import blocks, everything
from tests.repository.dialplan_reader import Reader, declared, read, written

ROOT = Path(__file__).resolve().parents[2]
DIALPLAN = (ROOT / "dialplan" / "asterisk_avp.conf").read_text(encoding="utf-8")
OURS = declared(DIALPLAN)
RENDERED, _ = render_extensions(["1001", "ann-b", "o.neil"], command="test")

DAEMON_ONLY = frozenset(
    {
        *("avp-agent-queue", "avp-group-queue", "avp-external-leg"),
        *("avp-orphans", "avp-caller-gone", "avp-answered-by"),
        *("avp-remote-leg", "avp-remote-queue", "avp-remote-group", "avp-remote-group-here"),
        "avp-node-in",
    }
)
"""Contexts that no phone dials: their patterns match ids of any length, and refuse unclean ones."""
WAY_OUT = "avp-external"
"""Contexts in which a call has its allowed number in AVP_NUMBER; a pattern only selects the trunk.
"""


def faults(text: str) -> list[str]:
    return Reader(text, OURS).read()


def open_patterns(text: str) -> list[str]:
    return [
        written(line)
        for line in read(text)
        if line.context not in {*DAEMON_ONLY, WAY_OUT}
        and line.extension.startswith("_")
        and re.search(r"[.!]", re.sub(r"\[[^\]]*\]", "", line.extension))
    ]


def test_the_dialplan() -> None:
    assert faults(DIALPLAN) == []
    assert open_patterns(DIALPLAN) == []
    assert len(read(DIALPLAN)) > 200


def test_the_rendered_ids() -> None:
    assert faults(RENDERED) == []
    assert open_patterns(RENDERED) == []
    assert [line.extension for line in read(RENDERED)][::4] == ["1001", "ann-b", "o.neil"]


def test_the_daemons_contexts_refuse_unclean_ids() -> None:
    """The pattern matches anything, so the first lines check it, and nothing else reads EXTEN."""
    for context in DAEMON_ONLY:
        pattern = [x for x in read(DIALPLAN) if x.context == context and x.extension[0] == "_"]
        reads = [x for x in pattern if "${EXTEN}" in x.arguments]
        assert [x.arguments for x in reads] == ["AVP_TEXT=${EXTEN}"], context
        (at,) = (n for n, x in enumerate(pattern) if x is reads[0])
        assert pattern[at + 1].arguments in {"avp-clean,id,1", "avp-clean,number,1"}
        assert pattern[at + 2].arguments.startswith('$["${AVP_CLEAN}" = ""]?')


def test_every_length_of_a_number_is_dialled() -> None:
    found = [x for x in read(DIALPLAN) if x.context == "avp-dialled" and x.application == "Set"]
    assert sorted(x.extension for x in found) == sorted(
        [*("_" + "X" * n for n in range(2, 19)), *("_+" + "X" * n for n in range(2, 16))]
    )


def test_the_test_bed() -> None:
    """The rendered files, with the numbers and agents of the demo world."""
    text = (ROOT / "docker" / "asterisk" / "extensions.conf").read_text(encoding="utf-8")
    assert faults(text) == []
    assert open_patterns(text) == []
    features = (ROOT / "docker" / "asterisk" / "features.conf").read_text(encoding="utf-8")
    assert re.findall(r"^\w+ => .*", features, re.MULTILINE) == [
        "avp_transfer => *7,self,UserEvent,AVPFeature"
    ]
    world = (ROOT / "tests" / "asterisk" / "bed" / "world.py").read_text(encoding="utf-8")
    assert "${" not in world.replace("${{", "")
    assert not re.search(r"(?:Queue|Dial)\([^i)]*\)", world)


def examples() -> list[str]:
    """Blocks of dialplan in the pages, and calls within their sentences."""
    text = everything()
    dialplan = re.compile(r"^\s*(?:exten|same)\s*=>", re.MULTILINE)
    found = [block.text for block in blocks(text) if dialplan.search(block.text)]
    calls = re.findall(r"`((?:Queue|Dial|Set|Gosub|GotoIf|ExecIf|AGI)\([^`]+\))`", text)
    return [*found, *(f"exten => s,1,{call}" for call in calls)]


def test_the_examples_of_the_pages() -> None:
    assert len(examples()) >= 7
    shown_as_wrong = 'GotoIf($["${CALLERID(num)}" = "…"]?…)'
    for example in examples():
        if shown_as_wrong in example:
            assert faults(example)
            continue
        assert faults(example) == [], example
        assert open_patterns(example) == []


def test_what_install_txt_says() -> None:
    text = notes(Path("/a"), Path("/b"), (), (), "/c")
    assert "exten => _+X!,1,Dial(PJSIP/${AVP_NUMBER}@trunk,60,i)" in text
    assert faults("\n".join(x for x in text.splitlines() if "exten =>" in x)) == []


def test_what_is_not_closed() -> None:
    assert faults("exten => s,1,NoOp(${AVP_AGENT)")


# --- holes, each put back ------------------------------------------------------------------------

HOLES = {
    "a function of what was dialled": (
        "same => n,Goto(avp-gate,s,1)",
        "same => n,GotoIf($[${LEN(${FILTER(0-9A-Za-z,${EXTEN})})} != ${LEN(${EXTEN})}]?x)",
    ),
    "its length": ("same => n,Goto(avp-gate,s,1)", "same => n,GotoIf($[${LEN(${EXTEN})} > 1]?x)"),
    "its name in a function": (
        "Set(LOCAL(rest)=${REPLACE(AVP_TEXT,+0123456789)})",
        "Set(LOCAL(rest)=${REPLACE(${AVP_TEXT},+0123456789)})",
    ),
    "an expression with the caller's number": (
        '"${AVP_LEG}" = "consult"',
        '"${CALLERID(num)}" = "consult"',
    ),
    "the other application of ExecIf": (
        "Set(AVP_TEXT=${AVP_CALLER_ID})",
        'ExecIf($["${AVP_CALLER_ID}" != ""]?Set(CALLERID(num)=${AVP_CALLER_ID}))',
    ),
    "a caller id": ("Set(CALLERID(num)=${AVP_CLEAN})", "Set(CALLERID(num)=${AVP_CALLER_ID})"),
    "a priority": ('$["${AVP_PRIO_KEPT}" = "yes"]?head', '$["${QUEUE_PRIO}" = "1000000"]?head'),
    "a place": ("Goto(${AVP_CLEAN})", "Goto(${AVP_AFTER})"),
    "a place that is looked at": (
        "$[${FIELDQTY(AVP_CALLER,x)} > 0]?clean",
        '$["${AVP_CALLER}" != ""]?clean',
    ),
    "a queue": ("Queue(avp-agent-${AVP_AGENT},ib", "Queue(avp-agent-${EXTEN},ib"),
    "a subroutine's argument": ("Gosub(avp-queue-parameters,s,1)", "Gosub(x,s,1(${EXTEN}))"),
    "a name that is not clean": ("Set(AVP_AGENT=${AVP_CLEAN})", "Set(AVP_AGENT=${EXTEN})"),
    "the check left out": ("$[${FIELDQTY(rest,x)} > 0]?out", "$[${FIELDQTY(rest,x)} > 9]?out"),
    "a member's interface": ("${DEVICE_STATE(${AVP_CLEAN})}", "${DEVICE_STATE(${AVP_TEXT})}"),
    "a member in a local variable": (
        "Set(LOCAL(excluded)=${AVP_CLEAN})",
        "Set(LOCAL(excluded)=${AVP_EXCLUDE})",
    ),
    "who is rung": (
        '$["${AVP_CLEAN}" != "${excluded}"]?ring',
        '$["${DIALEDPEERNUMBER}" != "${excluded}"]?ring',
    ),
    "an event": (
        "UserEvent(AVPNotAccepted,Transfer: ${AVP_TRANSFER})",
        "UserEvent(AVPNotAccepted,Transfer: ${AVP_TRANSFER},By: ${CALLERID(name)})",
    ),
    "a question to the daemon": ("/avp/dial,${AVP_CLEAN})", "/avp/dial,${AVP_DIALLED})"),
    "a sound of the channel's": (
        "Playback(${GLOBAL(AVP_MAX_HOLD_SOUND)})",
        "Playback(${AVP_MAX_HOLD_SOUND})",
    ),
    "a file name": (
        "$[${FIELDQTY(MONITOR_FILENAME,x)} > 0]?more",
        "$[${LEN(${MONITOR_FILENAME})} > 0]?more",
    ),
    "a pop's value": (
        "$[${FIELDQTY(value,x)} > 0]?clean",
        "$[${LEN(${value})} > 0]?clean",
    ),
    "a filter": (
        "Set(LOCAL(json)=${MASTER_CHANNEL(AVP_POP)})",
        "Set(LOCAL(json)=${FILTER(\\x20-\\x7e,${MASTER_CHANNEL(AVP_POP)})})",
    ),
    "a header's line ends": (
        r"Set(LOCAL(value)=${REPLACE(value,\\x01",
        "Set(LOCAL(other)=${REPLACE(value,",
    ),
    "a key": ("$[${FIELDQTY(AVP_KEY,1)} = 2]?accepted", '$["${AVP_KEY}" = "1"]?accepted'),
    "a variable's name": ("Set(AVP_DIALLED=${EXTEN})", "Set(${EXTEN}=1)"),
    "a log line": ("NoOp(No daemon looked after", "NoOp(${CHANNEL}: no daemon looked after"),
    "another function": ("Set(AVP_TEXT=${AVP_AFTER})", "Set(AVP_TEXT=${EVAL(${AVP_AFTER})})"),
    "a 302 of a queue's member": ("ib(avp-guard^s^1)", "b(avp-guard^s^1)"),
    "a 302 of an agent": ("Queue(avp-agent-${AVP_AGENT},ib", "Queue(avp-agent-${AVP_AGENT},b"),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_is_found(name: str) -> None:
    line, hole = HOLES[name]
    assert line in DIALPLAN
    assert faults(DIALPLAN.replace(line, hole, 1))


@pytest.mark.parametrize(
    ("line", "hole"),
    [
        ("Dial(${AVP_PHONE},30,i)", "Dial(${AVP_PHONE},30)"),
        ("Dial(${AVP_PHONE},30,i)", "Dial(PJSIP/${EXTEN},30,i)"),
    ],
)
def test_a_hole_in_the_rendered_ids_is_found(line: str, hole: str) -> None:
    assert faults(RENDERED.replace(line, hole, 1))


@pytest.mark.parametrize("pattern", ["_X!", "_X.", "_[0-9A-Za-z+(]!", "_.", "_+X."])
def test_a_pattern_of_any_length_is_found(pattern: str) -> None:
    assert open_patterns(DIALPLAN.replace("exten => _XX,1", f"exten => {pattern},1", 1))


def not_subroutines(text: str) -> set[str]:
    """Contexts that set LOCAL() and never return: nothing is set outside of a Gosub."""
    found = read(text)
    returns = {step.context for step in found if step.application == "Return"}
    local = {
        step.context
        for step in found
        if step.application == "Set" and step.arguments.startswith("LOCAL(")
    }
    return local - returns


def test_local_variables_are_in_subroutines() -> None:
    """Asterisk sets none elsewhere, without a word (app_stack.c, ``local_write``)."""
    assert not_subroutines(DIALPLAN) == set()
    hole = "[avp-recall]\nexten => dead,1,Set(LOCAL(phone)=1)\n same => n,Goto(group,1)\n"
    assert not_subroutines(hole) == {"avp-recall"}
