"""Many channel variables by few actions of AMI, which sets one with each.

The dialplan's function ARRAY sets several at once (func_strings.c, ``array``), and Setvar writes to
functions as well as to variables. A transfer writes its marks on two or three channels, a dozen
variables each: one action instead of twelve is less to do for Asterisk and for us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_NAME: Final = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9_]*")
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:@+-]*")
"""Nothing that means something where arguments are taken apart (app.c,
``ast_app_separate_args``): commas, quotes, brackets, backslashes, spaces."""

_MOST_LENGTH: Final = 900
"""A line of an action may have 1,024 characters (manager.h, ``mansession_session.inbuf``)."""
_MOST: Final = 90
"""ARRAY takes a hundred."""


def actions(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What to set to what, in this order, in as few actions as can be."""
    names: list[str] = []
    values: list[str] = []
    length = 0
    for name, value in variables.items():
        plain = _NAME.fullmatch(name) and _VALUE.fullmatch(value)
        more = len(name) + len(value) + 1
        if names and (not plain or length + more > _MOST_LENGTH or len(names) == _MOST):
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
