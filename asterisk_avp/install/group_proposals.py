"""Propose agent groups from the queues that Asterisk has, wherever they are configured."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.model.world import PERSONAL_QUEUE_PREFIX
from asterisk_avp.core.numbers.emergency import found_in
from asterisk_avp.install.proposals import ACCOUNT

_QUEUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,78}")
_EXTENSION: Final = re.compile(r"[0-9]{2,10}")
_MOST: Final = 40
"""Characters of a group's id."""


@dataclass(frozen=True, slots=True)
class KnownQueue:
    """A queue. ``title``: what people call it, where the PBX knows; ``wrapup_seconds`` None: not
    known, because AMI does not tell a queue's wrap-up.
    """

    name: str
    wrapup_seconds: int | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class ProposedGroups:
    """Settings, and sentences about what they do not cover."""

    settings: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def proposed_groups(
    queues: Iterable[KnownQueue],
    *,
    dialled: Collection[str] = (),
    countries: Collection[str] = (),
) -> ProposedGroups:
    """Settings that make each queue an agent group. The same queues always give the same.

    A queue with a number for a name becomes ``queue_600``, because the id ``600`` would read like
    an agent's, and its number is what agents dial to transfer a call to the group. ``dialled``:
    what has another meaning when agents dial it (ids of agents, codes); ``countries``: those whose
    emergency numbers nobody else may have.
    """
    found: dict[str, str] = {}
    remarks: list[str] = []
    ids: set[str] = set()
    for queue in sorted(queues, key=lambda queue: queue.name):
        name = queue.name
        if name.lower().startswith(PERSONAL_QUEUE_PREFIX):
            continue
        if _QUEUE.fullmatch(name) is None:
            remarks.append(
                f"The queue {name!r} cannot be an agent group: a name may have letters, digits,"
                " '.', '_' and '-', and must begin with a letter or a digit."
            )
            continue
        identifier = _unused(_identifier(name), ids)
        prefix = f"AVP_GROUPS__{identifier.upper()}__"
        found[f"{prefix}QUEUE"] = name
        found[f"{prefix}ACCOUNT"] = ACCOUNT
        if queue.title and queue.title != name:
            found[f"{prefix}NAME"] = queue.title
        if queue.wrapup_seconds:
            found[f"{prefix}ACW_SECONDS"] = str(queue.wrapup_seconds)
        elif queue.wrapup_seconds is None:
            remarks.append(
                f"Asterisk does not tell the wrap-up time of the queue {name}. If it has one, set"
                f" {prefix}ACW_SECONDS to it."
            )
        if _EXTENSION.fullmatch(name):
            why = _why_not(name, dialled, countries)
            if why:
                remarks.append(
                    f"Agents cannot dial {name} for the group of that queue, because {why}. Give it"
                    f" another number with {prefix}EXTENSION."
                )
            else:
                found[f"{prefix}EXTENSION"] = name
    if found:
        found[f"AVP_ACCOUNTS__{ACCOUNT.upper()}__CONTRACTED"] = "true"
    return ProposedGroups(found, tuple(remarks))


def left_out(proposed: ProposedGroups, grouped: Collection[str]) -> list[str]:
    """A sentence about the queues that belong to no group. ``grouped``: those that do.

    An administrator may want it so, or may have added a queue since the first rendering.
    """
    known = {queue.lower() for queue in grouped}
    names = {
        name: prefix
        for variable, name in proposed.settings.items()
        if (prefix := variable.removesuffix("QUEUE")).endswith("__") and name.lower() not in known
    }
    if not names:
        return []
    first, prefix = next(iter(names.items()))
    lines = (f"{k}={v}" for k, v in proposed.settings.items() if k.startswith(prefix))
    sentence = (
        f"No agent groups: the queues {', '.join(names)}. If {first} is to be one, add to the"
        f" file `environment`, and render again: {' '.join(lines)}"
    )
    return [sentence]


def _identifier(name: str) -> str:
    """Part of a variable's name, in which systemd accepts letters, digits and ``_`` only."""
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower()).strip("_") or "queue"
    return (f"queue_{plain}" if plain[0].isdigit() else plain)[:_MOST]


def _unused(identifier: str, ids: set[str]) -> str:
    found, number = identifier, 1
    while found in ids:
        number += 1
        ending = f"_{number}"
        found = f"{identifier[: _MOST - len(ending)]}{ending}"
    ids.add(found)
    return found


def _why_not(name: str, dialled: Collection[str], countries: Collection[str]) -> str:
    if name in dialled:
        return "that has another meaning already"
    if found_in(name, countries) is not None:
        return "it is an emergency number"
    return ""
