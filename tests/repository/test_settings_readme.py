"""The tables of settings are generated from the code: every setting once, with its default."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asterisk_avp.cli import app as cli
from asterisk_avp.config.call_centre import PolicySettings
from asterisk_avp.config.checks import _known_variables
from asterisk_avp.config.reference import NO_VALUE, markdown, settings
from asterisk_avp.config.settings import Settings
from tests.documentation import blocks, everything, page, section

LEVELS = ("AVP_ACCOUNTS", "AVP_GROUPS")


def test_every_setting_is_there_once() -> None:
    """Compared with the names that a misspelt one is compared with."""
    names = [setting.name for setting in settings()]
    assert sorted(names) == sorted(set(names))
    known = set(_known_variables(Settings, {}))
    # Listed once, for the enterprise; one has another, shorter name; one has no choice.
    levels = {
        f"AVP_{section}__<ID>__{name.upper()}"
        for section in ("ACCOUNTS", "GROUPS")
        for name in PolicySettings.model_fields
    }
    assert known - levels - set(names) == {"AVP_LOG__NUMBERS", "AVP_ARI__APP"}
    assert set(names) - known == {"AVP_LOG_NUMBERS"}
    assert {setting.name for setting in settings() if setting.levels} == {
        f"AVP_ENTERPRISE__{name.upper()}" for name in PolicySettings.model_fields
    }


def test_some_defaults() -> None:
    defaults = {setting.name: setting.default for setting in settings()}
    for name, default in {
        "AVP_AMI__PORT": "5038",
        "AVP_AMI__SECRET": "required",
        "AVP_API__TOKENS": "none",
        "AVP_API__TOKEN_LIFETIME_SECONDS": "43200",
        "AVP_LOG_NUMBERS": "off",
        "AVP_KEYS__TRANSFER": "`*7`",
        "AVP_ENTERPRISE__SESSION_TRANSFER": "on",
        "AVP_ENTERPRISE__MAX_HOLD_ACTION": "`hangup`",
        "AVP_ACCOUNTS__<ID>__CONTRACTED": "on",
        "AVP_GROUPS__<ID>__QUEUE": "the id",
    }.items():
        assert defaults[name] == default
    assert set(NO_VALUE) <= set(defaults)


def test_every_setting_says_what_it_means() -> None:
    for setting in settings():
        assert setting.meaning.endswith("."), setting
        assert "|" not in setting.meaning.replace("`|`", ""), setting
        assert "``" not in setting.meaning, setting


def test_the_page_has_the_tables_as_they_are_printed() -> None:
    """After a change: python -m asterisk_avp.config.reference"""
    assert everything().count(markdown()) == 1
    assert markdown() in section(page("docs/configuration.md"), "## All settings")


def test_the_pages_name_no_other_settings() -> None:
    """An id replaces ``<ID>``; an abbreviated name, as in AVP_KEYS__…, is not a name."""
    known = {setting.name for setting in settings()}
    known |= {x.replace("AVP_ENTERPRISE__", f"{y}__<ID>__") for x in known for y in LEVELS}
    named = set(re.findall(r"AVP_[A-Z]+__[\w<>]+", everything()))
    assert len(named) > len(known) / 2
    section = r"(AVP_(?:ACCOUNTS|GROUPS|PRESETS|AGENTS)__)[^<>]+?__"
    names = {re.sub(section, r"\1<ID>__", name).removesuffix("_FILE") for name in named}
    names = {name for name in names if not name.endswith("__")}
    assert names - known == set()


def test_the_examples_say_the_same(tmp_path: Path) -> None:
    text = page("docs/configuration.md")
    environment = dict(line.split("=", 1) for line in blocks(text, "ini")[0].text.splitlines())
    (toml,) = blocks(text, "toml")
    file = tmp_path / "avp.toml"
    file.write_text(toml.text, encoding="utf-8")
    file.chmod(0o600)
    loaded = [
        Settings.load(environ, tmp_path, connect=False)
        for environ in (environment, {"AVP_CONFIG": str(file)})
    ]
    assert loaded[0].model_dump() == loaded[1].model_dump()
    assert set(loaded[0].groups) == {"sales", "support"}


def test_what_a_terminal_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(["settings", "--reference"])
    assert not exited.value.code
    shown = capsys.readouterr().out
    assert "AVP_AMI__PORT (default: 5038)\n    Port of Asterisk's manager interface.\n" in shown
    with pytest.raises(SystemExit):
        cli.main(["settings", "--reference", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert [x["name"] for x in listed] == [setting.name for setting in settings()]
