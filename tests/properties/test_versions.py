"""Any text as a version of Asterisk."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from asterisk_avp.core.pbx.versions import Problem, parse, troubles


@settings(deadline=None)  # a machine may be busy
@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    parse(text)
    troubles(text)


@settings(deadline=None)  # a machine may be busy
@given(st.integers(20, 23), st.integers(0, 40), st.integers(0, 9))
def test_a_later_release_of_a_branch_has_no_new_trouble(major: int, minor: int, patch: int) -> None:
    now = {t.problem for t in troubles(f"{major}.{minor}.{patch}")}
    later = {t.problem for t in troubles(f"{major}.{minor + 1}.0")}
    if Problem.NO_ARI_ONLY not in now:
        assert later <= now
