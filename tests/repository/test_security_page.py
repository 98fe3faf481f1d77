"""SECURITY.md: linked from the README, correct about rights and ports, with a valid firewall."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.documentation import blocks, everything, links, page

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


@pytest.mark.skipif(shutil.which("nft") is None, reason="no nft here")
@pytest.mark.parametrize("table", FIREWALLS)
def test_its_firewall_is_one(table: str) -> None:
    done = subprocess.run(
        ["nft", "-c", "-f", "-"], input=table, capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft checks for root only")
    assert done.returncode == 0, done.stderr
