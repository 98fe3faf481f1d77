"""Set many channel variables with few AMI actions; Setvar sets only one.

The dialplan function ARRAY sets several variables at once (func_strings.c, ``array``), and Setvar
can write to functions. A transfer sets a dozen variables on each of two or three channels: one
action instead of twelve is less work for Asterisk and for us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_NAME: Final = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]*")
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:@+-]*")
"""No character that is special when Asterisk splits arguments (app.c, ``ast_app_separate_args``):
commas, quotes, brackets, backslashes, spaces."""

_MAX_LENGTH: Final = 900
"""A line of an action is limited to 1,024 characters (manager.h, ``mansession_session.inbuf``)."""
_MAX_VARIABLES: Final = 90
"""ARRAY accepts a hundred."""


def actions(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of variable and value for Setvar, in order and as few as possible."""
    names: list[str] = []
    values: list[str] = []
    length = 0
    for name, value in variables.items():
        plain = _NAME.fullmatch(name) and _VALUE.fullmatch(value)
        more = len(name) + len(value) + 1
        if names and (not plain or length + more > _MAX_LENGTH or len(names) == _MAX_VARIABLES):
            yield _one(names, values)
            names, values, length = [], [], 0
        if plain:
            names.append(name)
            values.append(value)
            length += more
        else:
            yield name, value
    if names:
        yield _one(names, values)


def _one(names: list[str], values: list[str]) -> tuple[str, str]:
    if len(names) == 1:
        return names[0], values[0]
    return f"ARRAY({','.join(names)})", ",".join(values)
