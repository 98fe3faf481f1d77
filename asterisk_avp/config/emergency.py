"""No id, extension, code or key may be an emergency number, or get in the way of one.

The rule, and why it is that one, is in `asterisk_avp.core.numbers.emergency`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asterisk_avp.config.secret_files import Path_
from asterisk_avp.config.sources import Inputs, variable
from asterisk_avp.core.numbers.emergency import found_in

if TYPE_CHECKING:
    from asterisk_avp.config.settings import Settings

_DIALLED: Final = re.compile(r"[0-9*#+._ -]+")


@dataclass(frozen=True, slots=True)
class _Dialled:
    """Something that is dialled or keyed in, by the people of some accounts."""

    place: Path_
    text: str
    by: frozenset[str | None]
    country: str | None = None
    """Of the agent whose id it is, where it is not the account's."""


def emergencies(settings: Settings, inputs: Inputs) -> Iterator[str]:
    """A line for each of them that is, or begins with, an emergency number."""
    everywhere = _countries(settings)
    for dialled in _all_dialled(settings):
        strict = [x for x in sorted(dialled.by, key=str) if not _complete(settings, x)]
        found = found_in(dialled.text, everywhere, _beginning_in(settings, dialled, strict))
        if found is None:
            continue
        name, what = inputs.name(dialled.place), f"{found.number}, an emergency number"
        if found.whole:
            yield f"{name}: {found.number!r} is an emergency number {found.where}; take another"
        else:
            ways = " and ".join(
                variable(("accounts", account, "complete_dialling")) + "=true"
                for account in strict
                if account is not None
            )
            out = f", or say by {ways} that phones send whole numbers only" if ways else ""
            yield (
                f"{name}: {dialled.text!r} begins with {what} {found.where}, which a phone may dial"
                f" instead; take another{out}"
            )


def _countries(settings: Settings) -> list[str]:
    of_accounts = [account.country for account in settings.accounts.values()]
    of_agents = [agent.country for agent in settings.agents.values()]
    return sorted({country for country in (*of_accounts, *of_agents) if country is not None})


def _all_dialled(settings: Settings) -> Iterator[_Dialled]:
    groups = settings.groups
    everybody = frozenset({*settings.accounts, *(group.account for group in groups.values())})
    for identifier, agent in settings.agents.items():
        own = frozenset(groups[x].account for x in agent.groups if x in groups)
        # Of which queues the others are members, nobody knows yet.
        yield _Dialled(("agents", identifier), identifier, own or everybody, agent.country)
    for identifier, group in groups.items():
        by = frozenset({group.account, *group.shared_with})
        yield from _of_entry("groups", identifier, "extension", group.extension, by)
    for identifier, preset in settings.presets.items():
        of = groups.get(preset.group)
        by = frozenset({of.account if of is not None else None, *preset.shared_with})
        yield from _of_entry("presets", identifier, "code", preset.code, by)
    for name, code in settings.keys.model_dump().items():
        yield _Dialled(("keys", name), code, everybody)


def _of_entry(
    section: str, identifier: str, name: str, code: str | None, by: frozenset[str | None]
) -> Iterator[_Dialled]:
    if _DIALLED.fullmatch(identifier):  # an id with letters is a word, which nobody dials
        yield _Dialled((section, identifier), identifier, by)
    if code is not None:
        yield _Dialled((section, identifier, name), code, by)


def _beginning_in(
    settings: Settings, dialled: _Dialled, strict: list[str | None]
) -> list[str] | None:
    """The countries of whose emergency numbers it must not begin with one; None: it may."""
    if dialled.by and not strict:
        return None
    accounts = [settings.accounts.get(account or "") for account in strict]
    found = [account.country for account in accounts if account is not None]
    found.append(dialled.country)
    return [country for country in found if country is not None]


def _complete(settings: Settings, account: str | None) -> bool:
    """Whether the phones of an account send complete numbers only."""
    found = settings.accounts.get(account or "")
    return found is not None and found.complete_dialling
