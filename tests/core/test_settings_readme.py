"""The README's tables of settings have what the code has: every setting once, with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

from asterisk_avp.core.features import SETTINGS, Features
from asterisk_avp.settings import PolicySettings, Settings
from asterisk_avp.settings_sources import variable

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

NO_VALUE = {
    # nothing can be guessed for; `settings_checks` and pydantic say so
    "AVP_ARI__USERNAME": "required",
    "AVP_ARI__PASSWORD": "required",
    "AVP_AMI__USERNAME": "required",
    "AVP_AMI__SECRET": "required",
    "AVP_PRESETS__<ID>__NUMBER": "required",
    "AVP_PRESETS__<ID>__GROUP": "required",
    # something else stands in
    "AVP_GROUPS__<ID>__QUEUE": "the id",
    "AVP_GROUPS__<ID>__NAME": "the id",
    "AVP_AGENTS__<ID>__NAME": "the id",
    "AVP_PRESETS__<ID>__NAME": "the id",
    "AVP_AGENTS__<ID>__INTERFACE": "from the queues",
    "AVP_AGENTS__<ID>__GROUPS": "from the queues",
    "AVP_AGENTS__<ID>__COUNTRY": "the account's",
}
SHORT = {"AVP_LOG__NUMBERS": "AVP_LOG_NUMBERS"}


def in_words(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default in ("", ()):
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, int | float):
        return str(int(default)) if default == int(default) else str(default)
    return f"`{default.value if isinstance(default, Enum) else default}`"


def is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


def of_the_code() -> Iterator[tuple[str, str]]:
    """Name and default of every setting, and of those of three levels the highest one's."""
    for section, field in Settings.model_fields.items():
        *_, last = get_args(field.annotation) or (field.annotation,)
        assert isinstance(last, type)
        assert issubclass(last, BaseModel)
        path = (section,) if last is field.annotation else (section, "<ID>")
        inherits = issubclass(last, PolicySettings) and section != "enterprise"
        for name, setting in last.model_fields.items():
            choice = get_args(setting.annotation) if is_literal(setting.annotation) else ()
            if len(choice) == 1 or (inherits and name in PolicySettings.model_fields):
                continue
            full = variable((*path, name))
            default = setting.default
            if default is None and issubclass(last, PolicySettings) and name in SETTINGS:
                default = getattr(Features(), name)
            yield SHORT.get(full, full), NO_VALUE.get(full) or in_words(default)


def of_the_readme(text: str) -> Iterator[tuple[str, str]]:
    """Name and default of each row of the tables of settings; a row may have several."""
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("| `AVP_"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" |")]
        first, *others = re.findall("`([^`]+)`", cells[0])
        names = [first, *(x.replace("…__", first.rpartition("__")[0] + "__") for x in others)]
        defaults = cells[2].split(", ")
        if len(defaults) == 1:
            defaults *= len(names)
        yield from zip(names, defaults, strict=True)


def test_every_setting_is_there_once_with_its_default() -> None:
    written = list(of_the_readme(README))
    names = [name for name, _ in written]
    assert sorted(names) == sorted(set(names))
    assert dict(written) == dict(of_the_code())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("`127.0.0.1`, 8766 |", "`127.0.0.1`, 8765 |"),
        ("| `hangup` |", "| `return` |"),
        ("| `AVP_API__TOKENS` |", "| `AVP_API__TOKEN` |"),
        ("| transfers at all | on |", "| transfers at all | off |"),
    ],
)
def test_the_test_sees_a_difference(before: str, after: str) -> None:
    assert README.count(before) == 1
    assert dict(of_the_readme(README.replace(before, after))) != dict(of_the_code())
