"""No id, extension, code or key may be an emergency number, or interfere with dialling one.

`asterisk_avp.core.numbers.emergency` has the rule and its reason.
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
    """An id, extension or code that agents of some accounts dial."""

    place: Path_
    text: str
    by: frozenset[str | None]
    country: str | None = None
    """The country of the agent whose id it is, if it differs from the account's."""


def emergencies(settings: Settings, inputs: Inputs) -> Iterator[str]:
    """A line for each id or code that is, or begins with, an emergency number."""
    everywhere = _countries(settings)
    for dialled in _all_dialled(settings):
        strict = [x for x in sorted(dialled.by, key=str) if not _complete(settings, x)]
        found = found_in(dialled.text, everywhere, _beginning_in(settings, dialled, strict))
        if found is None:
            continue
        name, what = inputs.name(dialled.place), f"{found.number}, an emergency number"
        if found.whole:
            yield f"{name}: {found.number!r} is an emergency number {found.where}; choose another"
        else:
            ways = " and ".join(
                variable(("accounts", account, "complete_dialling")) + "=true"
                for account in strict
                if account is not None
            )
            out = f", or set {ways} if phones send only complete numbers" if ways else ""
            yield (
                f"{name}: {dialled.text!r} begins with {what} {found.where}, which a phone may dial"
                f" instead; choose another{out}"
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
        # For agents without groups, the queues that they are members of are not known yet.
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
    if _DIALLED.fullmatch(identifier):  # nobody dials an id with letters
        yield _Dialled((section, identifier), identifier, by)
    if code is not None:
        yield _Dialled((section, identifier, name), code, by)


def _beginning_in(
    settings: Settings, dialled: _Dialled, strict: list[str | None]
) -> list[str] | None:
    """The countries whose emergency numbers it must not begin with; None: no restriction."""
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
