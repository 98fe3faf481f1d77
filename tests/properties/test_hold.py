"""Any text as a maximum hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.model.hold import MAX_SECONDS, max_hold_seconds


@given(st.text())
def test_any_text(text: str) -> None:
    found = max_hold_seconds(text)
    assert found is None or 0 < found <= MAX_SECONDS
