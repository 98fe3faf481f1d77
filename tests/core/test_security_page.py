"""SECURITY.md: found from the README, its links lead somewhere, and its firewall is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """As hosting platforms make them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_readme_leads_to_it() -> None:
    assert "(SECURITY.md)" in README


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)#?([^)]*)\)", PAGE)
    assert links
    for file, anchor in links:
        assert (ROOT / file).is_file(), file
        if anchor:
            assert anchor in anchors((ROOT / file).read_text(encoding="utf-8")), anchor


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
    for port in ("8088", "5038", "4573", "8766"):
        assert re.search(rf"^\| [^|]*{port}", PAGE, re.MULTILINE)


@pytest.mark.skipif(shutil.which("nft") is None, reason="no nft here")
@pytest.mark.parametrize("text", [PAGE, README], ids=["SECURITY.md", "README.md"])
def test_its_firewall_is_one(text: str) -> None:
    tables = re.findall(r"^ {4}table inet \w+ \{\n(?: {4}.*\n)+? {4}\}\n", text, re.MULTILINE)
    assert tables or text is README
    for table in tables:
        done = subprocess.run(
            ["nft", "-c", "-f", "-"], input=table, capture_output=True, text=True, check=False
        )
        if "Operation not permitted" in done.stderr:
            pytest.skip("nft checks for root only")
        assert done.returncode == 0, done.stderr
