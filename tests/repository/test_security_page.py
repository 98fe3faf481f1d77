"""SECURITY.md: linked from the README, correct about rights and ports, with a valid firewall."""

from __future__ import annotations

import re

import pytest

from tests.documentation import blocks, everything, links, page
from tests.nft_program import objections

PAGE = page("SECURITY.md")


def test_the_readme_leads_to_it() -> None:
    assert ("SECURITY.md", "") in links(page("README.md"))


@pytest.mark.parametrize(
    "who",
    ["agent", "registered phone", "trunk", "network", "another program with AMI", "local user"],
)
def test_it_says_against_whom(who: str) -> None:
    table = PAGE[PAGE.index("## Who is defended against") : PAGE.index("\nHow:")]
    assert re.search(rf"^\|[^|]*{who}", table, re.MULTILINE)


def test_its_rights_are_those_that_the_daemon_needs() -> None:
    from asterisk_avp.core.pbx import ami_rights

    assert f"`read = {','.join(ami_rights.READ)}`" in PAGE
    assert f"`write = {','.join(ami_rights.WRITE)}`" in PAGE


def test_its_ports_are_ours() -> None:
    for port in ("8088", "5038", "4583", "8766"):
        assert re.search(rf"^\| [^|]*{port}", PAGE, re.MULTILINE)


FIREWALLS = [block.text for text in (PAGE, everything()) for block in blocks(text, "nft")]


def test_its_firewalls_are_there() -> None:
    assert [re.findall(r"\w+(?= \{)", table)[0] for table in FIREWALLS] == ["calls", "asterisk_avp"]


@pytest.mark.parametrize("table", FIREWALLS)
def test_its_firewall_is_one(table: str) -> None:
    assert not objections(table)


def test_a_firewall_that_is_none_is_noticed() -> None:
    assert "syntax error" in objections(FIREWALLS[0].replace("accept", "acept"))
