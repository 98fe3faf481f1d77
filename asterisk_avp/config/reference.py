"""All settings with their meaning and default, generated from the settings classes.

`python -m asterisk_avp.config.reference` prints the tables of docs/configuration.md, and
`asterisk-avp settings --reference` shows the same on a terminal.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr

from asterisk_avp.config.call_centre import PolicySettings
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sources import variable
from asterisk_avp.core.model.features import SETTINGS, Features

NO_VALUE: Final = {
    # nothing can be guessed for; `config.checks` and pydantic say so
    "AVP_ARI__USERNAME": "required",
    "AVP_ARI__PASSWORD": "required",
    "AVP_AMI__USERNAME": "required",
    "AVP_AMI__SECRET": "required",
    "AVP_PRESETS__<ID>__NUMBER": "required",
    "AVP_PRESETS__<ID>__GROUP": "required",
    "AVP_NODES__<ID>__URL": "required",
    "AVP_NODES__<ID>__TOKEN": "required",
    # derived from something else
    "AVP_GROUPS__<ID>__QUEUE": "the id",
    "AVP_GROUPS__<ID>__NAME": "the queue's",
    "AVP_AGENTS__<ID>__NAME": "the id",
    "AVP_PRESETS__<ID>__NAME": "the id",
    "AVP_AGENTS__<ID>__INTERFACE": "from the queues",
    "AVP_AGENTS__<ID>__GROUPS": "from the queues",
    "AVP_AGENTS__<ID>__COUNTRY": "the account's",
    "AVP_STANDBY__ACTIVE_URL": "this daemon's own",
    "AVP_STANDBY__AGI_URL": "as the dialplan has it",
    "AVP_AGENTS__<ID>__NODE": "where logged in",
    "AVP_NODES__<ID>__ENDPOINT": "`avp-node-<id>`",
}
"""The text in the column of defaults for settings without a default value."""
_SHORT: Final = {"AVP_LOG__NUMBERS": "AVP_LOG_NUMBERS"}

SECTIONS: Final = {
    "ari": "ARI, Asterisk's REST interface",
    "ami": "AMI, Asterisk's manager interface",
    "agi": "FastAGI",
    "api": "API and panel",
    "panel": "Panel",
    "log": "Log",
    "session": "Timings",
    "pop": "Screen pops",
    "webhook": "Webhook",
    "keys": "Keys on phones",
    "standby": "Standby",
    "cluster": "Several nodes",
    "nodes": "Nodes",
    "enterprise": "Features: enterprise, account, group",
    "accounts": "Accounts",
    "groups": "Groups",
    "presets": "Presets",
    "agents": "Agents",
}
"""Each section of the settings and its heading on the page."""
LEVELS: Final = """\
Set these for the enterprise, as written here, for an account (`AVP_ACCOUNTS__<ID>__…`), or for a
group (`AVP_GROUPS__<ID>__…`). The most specific one applies.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. ``name``: the variable. ``levels``: it exists at three levels; this is the top."""

    name: str
    meaning: str
    default: str
    levels: bool


def settings() -> Iterator[Setting]:
    """Every setting once, in source order."""
    for section, field in Settings.model_fields.items():
        *_, model = get_args(field.annotation) or (field.annotation,)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{section} is not a section")
        path = (section,) if model is field.annotation else (section, "<ID>")
        levels = issubclass(model, PolicySettings)
        meanings = meanings_of(model)
        for name, setting in model.model_fields.items():
            one_choice = get_origin(setting.annotation) is Literal
            if one_choice and len(get_args(setting.annotation)) == 1:
                continue  # nothing to set
            if levels and section != "enterprise" and name in PolicySettings.model_fields:
                continue  # listed under the enterprise
            full = variable((*path, name))
            default = setting.default
            if default is None and levels and name in SETTINGS:
                default = getattr(Features(), name)
            yield Setting(
                _SHORT.get(full, full),
                meanings.get(name, ""),
                NO_VALUE.get(full) or in_words(default),
                levels and section == "enterprise",
            )


def meanings_of(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field.

    Read here and not by pydantic (`use_attribute_docstrings`), which does it at every import of the
    settings and takes a fifth of the daemon's start-up time.
    """
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        (made,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        lines = made.body if isinstance(made, ast.ClassDef) else []
        for field, below in itertools.pairwise(lines):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(name)),
                    ast.Expr(ast.Constant(str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found


def in_words(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default in ("", ()):
        return "none"
    if isinstance(default, tuple):
        default = ",".join(default)
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, int | float):
        return str(int(default)) if default == int(default) else str(default)
    return f"`{default.value if isinstance(default, Enum) else default}`"


def markdown() -> str:
    """The tables of docs/configuration.md, a heading and a table for each section."""
    parts = []
    for section, found in itertools.groupby(settings(), lambda x: x.name.split("_")[1].lower()):
        rows = list(found)
        parts.append(f"### {SECTIONS[section]}\n")
        if rows[0].levels:
            parts.append(LEVELS)
        table = ["| name | meaning | default |", "| --- | --- | --- |"]
        table += [f"| `{x.name}` | {x.meaning} | {x.default} |" for x in rows]
        parts.append("\n".join(table) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - what it is for
