"""Variables that tests and containers read are no settings: people export both in one shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asterisk_avp.config.sources import is_setting

ROOT = Path(__file__).resolve().parents[2]
IN_PYTHON = re.compile(r"""environ(?:\.get\(|\[|\.pop\(|\.setdefault\()["'](AVP_\w+)["']""")
IN_SHELL = re.compile(r"\$\{?(AVP_[A-Z_]+)")


def variables() -> Iterator[str]:
    scripts = [ROOT / "tests/run", *ROOT.glob("docker/*"), *ROOT.glob(".ci/*")]
    programs = [file for file in scripts if file.is_file() and file.read_bytes().startswith(b"#!/")]
    for file in (*ROOT.glob("tests/**/*.py"), *programs):
        text = file.read_text(encoding="utf-8")
        yield from IN_PYTHON.findall(text)
        if file in programs:
            yield from IN_SHELL.findall(text)


@pytest.mark.parametrize("name", sorted({name for name in variables() if "__" not in name}))
def test_a_daemon_ignores_it(name: str) -> None:
    assert not is_setting(name)


def test_they_are_found() -> None:
    assert {"AVP_TEST_PATIENCE", "AVP_BED", "AVP_CACHE", "AVP_TEST_WORKERS"} <= set(variables())


def test_what_docker_up_prints_of_nodes_is_no_setting() -> None:
    shown = ("URL", "TOKEN", "SIP", "ARI", "ARI_PASSWORD", "AMI", "AMI_SECRET", "BED_DIR")
    assert not [x for x in shown for node in "ABC" if is_setting(f"AVP_{x}_{node}")]
    assert not is_setting("AVP_NATS")
    assert is_setting("AVP_AGENTS__A__NAME")
    assert is_setting("AVP_API__HOST_A"), "a misspelled setting is one"
