"""The diagram in the repository matches the table."""

from __future__ import annotations

from pathlib import Path

from asterisk_avp.core.transfer import diagram

PAGE = Path(diagram.__file__).with_name("README.md")


def test_diagram_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == diagram.page()
