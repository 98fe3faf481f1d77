"""Any dialled text means an agent, a group, a preset, or a number to be checked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.model.world import Target, TargetKind
from asterisk_avp.core.phone.dial_codes import MAX_TEXT, resolve
from tests.core.world import WORLD, engine


@given(st.text(max_size=200))
def test_anything_else_is_a_number_to_be_judged(text: str) -> None:
    found = resolve(text, engine().agents, WORLD)
    if text not in ("1001", "1002", "1003", "1009"):
        assert found == Target(TargetKind.NUMBER, text[:MAX_TEXT])
