"""The SIP fuzzer's fault detection, on lines as Asterisk logs them; no Asterisk is needed."""

from __future__ import annotations

import pytest

from tests.asterisk.fuzz.inputs import Words, make
from tests.asterisk.fuzz.judge import RULES
from tests.asterisk.fuzz.trace import Dialplan, allowed, ran

SHOWN = r"""
[ Context 'avp-agents' created by 'pbx_config' ]
  Include =>        'avp-dialled'                                 [pbx_config]

[ Context 'avp-dialled' created by 'pbx_config' ]
  '_X!' =>          1. GotoIf($[${LEN(${EXTEN})} > 3]?outside)    [asterisk_avp.conf:302]
                    2. ExecIf($["${AVP_X}" = ""]?Set(AVP_Y=PJSIP/${EXTEN})) [asterisk_avp.conf:305]
     [outside]      3. Set(AVP_DIALLED=${EXTEN})                  [asterisk_avp.conf:308]
                    4. Dial(PJSIP/${EXTEN},30,i)                  [asterisk_avp.conf:306]
"""
HEAD = "[2026-11-28 09:07:26.961] VERBOSE[18100][C-00000001] pbx.c: Executing "


def line(text: str) -> str:
    return f"{HEAD}[1002@avp-agents:{text} in new stack\n"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('1] GotoIf("PJSIP/1001-00000000", "1?outside")', True),
        ('2] ExecIf("PJSIP/1001-00000000", "0?Set(AVP_Y=PJSIP/1002)")', True),
        ('2] ExecIf("PJSIP/1001-00000000", "0?Set(AVP_Y=PJSIP/1002):System(x)")', False),
        ('3] Set("PJSIP/1001-00000000", "AVP_DIALLED=1002):System(x")', True),
        ('4] Dial("PJSIP/1001-00000000", "PJSIP/1002,30,i")', True),
        ('4] Dial("PJSIP/1001-00000000", "PJSIP/1002,60,G(h),30,i")', False),
        ('4] Dial("PJSIP/1001-00000000", "PJSIP/1002&Local/911@avp-external,30,i")', False),
        ('1] System("PJSIP/1001-00000000", "touch x")', False),
        ('9] Dial("PJSIP/1001-00000000", "PJSIP/1002,30,i")', False),
    ],
)
def test_a_line_is_what_the_dialplan_may_become(text: str, fits: bool) -> None:
    (one,) = ran([line(text)])
    assert Dialplan.read(SHOWN).fits(one) is fits


@pytest.mark.parametrize(
    ("channel", "context", "app", "may"),
    [
        ("PJSIP/1001-00000000", "avp-dialled", "Dial", True),
        ("PJSIP/1001-00000000", "avp-dialled", "System", False),
        ("PJSIP/trunk-00000000", "avp-dialled", "Dial", False),
        ("PJSIP/trunk-00000000", "callers", "Queue", True),
        ("Message/ast_msg_queue", "avp-agents", "Set", False),
        ("PJSIP/avp-no-replaces-00000000", "avp-nowhere", "Hangup", False),
        ("Local/911@avp-external-00000000;2", "avp-external", "Dial", False),
    ],
)
def test_everybody_may_run_their_own(channel: str, context: str, app: str, may: bool) -> None:
    text = f'{HEAD}[1@{context}:1] {app}("{channel}", "") in new stack\n'
    (one,) = ran([text])
    assert allowed(RULES, one) is may


def test_an_input_is_made_again_from_its_number_and_gets_smaller() -> None:
    words = Words("touch x", "x", "1.1")
    made = [make(7, number, words) for number in range(300)]
    assert made == [make(7, number, words) for number in range(300)]
    assert {what.sender for what in made} == {"agent", "trunk", "stranger"}
    assert {what.kind for what in made} == {"request", "in-call", "moved", "external"}
    for what in made:
        for less in what.smaller():
            assert sum(len(v) + 1 for _, v in less.parts) < sum(len(v) + 1 for _, v in what.parts)
