"""README.md and docs/ are short and complete, and every command in them is tested."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from asterisk_avp.api.app import create_app
from asterisk_avp.api.schemas import PartyOut, TransferOut
from asterisk_avp.cli.app import app
from asterisk_avp.core.model.world import CallerOutcome, TransferState
from asterisk_avp.core.policy.policy import REASONS
from asterisk_avp.core.transfer import actions
from asterisk_avp.core.transfer.events import EventType
from asterisk_avp.core.transfer.spec import Action
from asterisk_avp.core.transfer.states import State
from asterisk_avp.core.transfer.table import ROWS
from tests.documentation import (
    COMMANDS,
    CONVENTIONAL,
    ROOT,
    anchors,
    blocks,
    commands,
    links,
    page,
    pages,
    prose,
    section,
)

PAGES = pages()
README_AT_MOST = 8192
"""Bytes: a page that a reader finishes."""
LANGUAGES = {"sh", "html", "ini", "json", "nft", "nginx", "sql", "text", "toml"}


def test_the_readme_is_one_page() -> None:
    assert len(PAGES["README.md"].encode()) <= README_AT_MOST


def test_the_readme_shows_what_the_demonstration_prints() -> None:
    """Without names and times, which differ."""
    (shown,) = blocks(PAGES["README.md"], "text")
    demonstration = page("tests/asterisk/demo.py")
    for line in shown.text.splitlines()[5:]:
        words = re.split(r" {2,}|;|\b(?:Alice|Bob|caller1)(?:'s)?\b", line[:66])
        for text in (x.strip() for x in words if re.search(r"[a-z]{3}", x)):
            assert text in demonstration, line


def leads_to(name: str, link: str) -> Path:
    return (ROOT / name).parent.joinpath(link).resolve() if link else ROOT / name


@pytest.mark.parametrize("name", [*PAGES, *CONVENTIONAL])
def test_links_lead_somewhere(name: str) -> None:
    for link, anchor in links(page(name)):
        target = leads_to(name, link)
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{link}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        file = left.pop()
        if file in reached or file.suffix != ".md":
            continue
        reached.add(file)
        text = file.read_text(encoding="utf-8")
        left += [leads_to(str(file.relative_to(ROOT)), link) for link, _ in links(text) if link]
    names = {str(file.relative_to(ROOT)) for file in reached}
    assert {*PAGES, *CONVENTIONAL} - names == set()


def test_the_readme_links_to_each_page_by_itself() -> None:
    """Two pages belong to a third, from which their readers come."""
    linked = {link for link, _ in links(PAGES["README.md"])}
    assert set(PAGES) - linked == {"README.md", "docs/check.md", "docs/troubleshooting.md"}


@pytest.mark.parametrize("name", PAGES)
def test_each_block_says_what_it_is(name: str) -> None:
    text = PAGES[name]
    assert text.count("```") == 2 * len(blocks(text))
    assert {block.language for block in blocks(text)} <= LANGUAGES
    assert not [line for line in prose(text).splitlines() if line.startswith("    ")], (
        "an indented block says nothing of itself"
    )
    for block in blocks(text, *(LANGUAGES - {"sh"})):
        assert not block.text.startswith(("asterisk-avp ", "docker", "curl ", "$ ")), block


def test_every_command_is_run_by_a_test() -> None:
    found = {command for text in PAGES.values() for command in commands(text)}
    assert found - set(COMMANDS) == set(), "no test runs these; see tests/documentation.py"
    assert set(COMMANDS) - found == set(), "no page has these any more"


@pytest.mark.parametrize("file", sorted(set(COMMANDS.values())))
def test_what_runs_them_is_there(file: str) -> None:
    assert (ROOT / file).is_file()


def test_the_readme_installs_as_the_page_about_it_does() -> None:
    """The same lines in the same order; everything else that the steps name is on that page."""
    short = section(PAGES["README.md"], "## Install it in five steps")
    install = PAGES["docs/install.md"]
    lines = [line for block in blocks(short, "sh") for line in block.text.splitlines()]
    told = [line for block in blocks(install, "sh") for line in block.text.splitlines()]
    assert told[: len(lines)] == lines
    assert set(commands(short)) <= set(commands(install))


def test_pages_that_other_files_name_are_there() -> None:
    """A message, a comment or a file of an installation refers its reader to one of them."""
    named = {
        (found, file)
        for folder in ("asterisk_avp", "dialplan", "docker")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".conf", ".yml", ".yaml", ".js", ".html", ".json", ""}
        and file.is_file()
        for found in re.findall(r"docs/[\w-]+\.md", file.read_text(encoding="utf-8"))
    }
    assert {found for found, _ in named} >= {"docs/security.md", "docs/containers.md"}
    assert {x for x in named if x[0] not in PAGES} == set()


@pytest.mark.parametrize(
    "name", ["docs/packages.md", "docs/how-it-works.md", "CONTRIBUTING.md", "SECURITY.md"]
)
def test_files_that_developers_are_sent_to_are_there(name: str) -> None:
    """Paths from the root of the repository, from the package, or from the tests on Asterisk."""
    text = page(name)
    named = {*re.findall(r"`([\w.-]+/[\w./-]*)`", text)} - {"repos/debian/remote/"}
    pictures = "".join(block.text for block in blocks(text, "text"))
    named |= {*re.findall(r"\b(?:core|service|ami|ari|api)/[\w/]+", pictures)}
    assert named
    bases = [ROOT, ROOT / "asterisk_avp", ROOT / "tests" / "asterisk"]
    found = {x for x in named for base in bases for y in (x, f"{x}.py") if (base / y).exists()}
    assert named - found == set()


ELSEWHERE = {
    # Asterisk's: applications, modules, options.
    *("app_queue", "chan_sip", "direct_media", "external_media_address", "one_touch_recording"),
    *("moh_suggest", "pickup_group", "subscribe_context", "negative_connection_cache"),
    *("trust_id_inbound", "trust_id_outbound"),
    "auth_request",  # of nginx
    # Of oauth2-proxy.
    *("cookie_refresh", "pass_user_headers", "session_store_type"),
    # Added by prometheus-client.
    *("process_open_fds", "process_resident_memory_bytes"),
}


def test_names_on_the_pages_are_those_of_the_code() -> None:
    """Log events, metrics, reason codes, findings: a renamed one must be renamed here too."""
    files = [*(ROOT / "asterisk_avp").rglob("*.py"), *(ROOT / "dialplan").iterdir()]
    files += (ROOT / "docker" / "grafana").iterdir()  # metrics, by their full names
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    texts = [prose(text) for text in (*PAGES.values(), page("SECURITY.md"))]
    named = {name for text in texts for name in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", text)}
    ours = {name.removeprefix("asterisk_avp_") for name in named - ELSEWHERE}
    assert len(ours) > 50
    assert {name for name in ours if name not in source} == set()


def test_each_request_of_the_api_is_on_its_page() -> None:
    requests = section(PAGES["docs/api.md"], "## Requests")
    described = create_app(cast("Any", None), cast("Any", None)).openapi()["paths"]
    assert set(re.findall(r"`([A-Z]+ /[\w/{}]+)", requests)) == {
        f"{method.upper()} {path}" for path, methods in described.items() for method in methods
    }


def test_each_field_of_a_transfer_is_on_the_page_of_the_api() -> None:
    table = section(PAGES["docs/api.md"], "## A transfer")
    (fields, *_) = re.split(r"^### ", table, flags=re.MULTILINE)
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", fields, re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(found for found, _ in rows))
    assert set(names) == set(TransferOut.model_fields)
    meaning = dict(rows)
    assert set(PartyOut.model_fields) <= set(re.findall(r"`(\w+)`", meaning["`parties`"]))
    requests = re.findall(r"^\| (`[^|\n]*) \| `[A-Z]+ /", table, re.MULTILINE)
    offered = re.findall(r"`(\w+)(?::<id>)?`", " ".join(requests))
    assert offered == [action.value for action in Action]
    ended = section(PAGES["docs/api.md"], "## How a transfer ends")
    states = re.findall(r"`(\w+)`", meaning["`state`, `ended_reason`"])
    states += re.findall(r"^\| `(\w+)`", ended, re.MULTILINE)
    assert set(states) == set(TransferState)
    become = section(PAGES["docs/api.md"], "## What has become of the caller")
    outcomes = re.findall(r"^\| `(\w+)` \| [A-Z]", become, re.MULTILINE)
    assert outcomes == [*CallerOutcome]


def test_each_reason_of_a_refusal_is_on_the_page_of_the_api() -> None:
    table = section(PAGES["docs/api.md"], "## Refusals")
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == list(REASONS)


def test_each_command_of_the_program_is_on_a_page() -> None:
    table = section(PAGES["docs/operations.md"], "## The command line")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in app.registered_commands
    } | {group.name for group in app.registered_groups}


@pytest.mark.parametrize("name", [*PAGES, *CONVENTIONAL])
def test_one_person_has_one_name(name: str) -> None:
    """The transferor, the caller, the target, the fourth party."""
    assert re.findall(r"(?i)\bagent [12]\b|\bfirst agent's call\b|\b4th party\b", page(name)) == []


def test_the_lines_of_the_walk_through_the_log_are_rows_of_the_table() -> None:
    walk = section(PAGES["docs/how-it-works.md"], "## From a log line to a row of the table")
    (shown,) = blocks(walk, "text")
    found = re.findall(r"from=(\w+) +trigger=(\w+) +to=(\w+) +row=(\w+)", shown.text)
    assert len(found) == len(shown.text.splitlines())
    assert set(found) <= {(x.state.value, x.kind.value, x.next.value, x.name) for x in ROWS}
    assert set(re.findall(r"`S\.(\w+)`", walk)) <= set(State.__members__)
    assert set(re.findall(r"`K\.(\w+)`", walk)) <= set(EventType.__members__)
    assert all(hasattr(actions, name) for name in re.findall(r"`do\.(\w+)`", walk))


def test_each_package_is_on_the_page_about_them() -> None:
    folders = {
        str(file.parent.relative_to(ROOT / "asterisk_avp"))
        for file in (ROOT / "asterisk_avp").rglob("__init__.py")
    }
    named = set(re.findall(r"`([a-z/]+)`", PAGES["docs/packages.md"]))
    assert folders - named == {".", "core"}


# --- the reader itself ---------------------------------------------------------------------------

SAMPLE = """\
# A page

Run `asterisk-avp watch` or `tests/run`; see [that](other.md#there), [here](#a-page) or
[elsewhere](https://example.org/).

1. First:

   ```sh
   curl -s \\
       http://127.0.0.1/
   # `asterisk-avp no`
   ```

## A page
"""


def test_what_is_read() -> None:
    assert list(commands(SAMPLE)) == [
        "curl -s http://127.0.0.1/",
        "# `asterisk-avp no`",
        "asterisk-avp watch",
        "tests/run",
    ]
    assert anchors(SAMPLE) == {"a-page", "a-page-1"}
    assert links(SAMPLE) == [("other.md", "there"), ("", "a-page")]
    assert section(SAMPLE, "## A page") == "## A page\n"
    with pytest.raises(ValueError, match="substring"):
        section(SAMPLE, "## Nothing")


def test_the_changelog_says_nothing_twice() -> None:
    text = page("CHANGELOG.md")
    entries = [
        " ".join(entry.split()) for entry in re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
    ]
    assert len(entries) > 50
    assert [entry for entry, times in Counter(entries).items() if times > 1] == []
    sentences = Counter(
        sentence
        for entry in entries
        for sentence in re.split(r"(?<=[.]) (?=[A-Z`])", entry)
        if len(sentence) > 40
    )
    assert [sentence for sentence, times in sentences.items() if times > 1] == []
