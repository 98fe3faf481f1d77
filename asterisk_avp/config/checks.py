"""Check the settings, and report everything that is wrong with them at once.

There are three kinds of fault: a name or value that is invalid by itself (pydantic finds these), a
contradiction between settings, and a missing setting. To find all three in one pass, values at
fault are removed from the tree before the rest is checked.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from asterisk_avp.config.cluster_checks import LEAST_TOKEN, cluster
from asterisk_avp.config.emergency import emergencies
from asterisk_avp.config.secret_files import Path_
from asterisk_avp.config.sources import Inputs, variable
from asterisk_avp.core import numbers
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.features import contradictions

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from asterisk_avp.config.settings import Settings

S = TypeVar("S", bound="Settings")

# `url` is included because it may contain credentials.
_SECRET_FIELDS = frozenset(
    {"password", "secret", "pin", "pin_hash", "tokens", "metrics_token", "url"}
    | {"user_header_secret", "token", "credentials", "session_key"}
)
_LONGEST_VALUE_SHOWN = 60


def checked(cls: type[S], inputs: Inputs, *, connect: bool, whole: bool = False) -> S:
    """Settings from ``inputs``. Raises `ConfigError` with a line for each fault.

    ``whole``: an ignored file is a fault. Otherwise it is reported only together with other faults,
    which it may have caused.
    """
    problems = [*inputs.problems, *(inputs.ignored if whole else ())]
    at_fault: set[Path_] = set(inputs.at_fault)
    settings: S | None = None
    rest = inputs
    try:
        settings = cls.of(inputs)
    except ValidationError as error:
        details = error.errors(include_url=False)
        known = tuple(_known_variables(cls, inputs.tree))
        problems += [_describe(detail, inputs, known) for detail in details]
        # If a required value is missing, remove the entry that lacks it.
        at_fault |= {
            _path(detail)[:-1] if detail["type"] == "missing" else _path(detail)
            for detail in details
        }
        rest = _without(inputs, at_fault)
        try:
            settings = cls.of(rest)
        except ValidationError:
            settings = None  # the faults are connected; their lines say enough
    if settings is not None:
        problems += _contradictions(settings, rest, at_fault)
        if connect:
            problems += _missing(settings, inputs, at_fault)
    if problems or settings is None:
        lines = sorted({*problems, *inputs.ignored})
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise ConfigError(
            "\n".join([f"the configuration has {count}:", *("  " + x for x in lines)])
        )
    return settings


# --- faults of single values -----------------------------------------------------------------


def _path(detail: ErrorDetails) -> Path_:
    """The place in the tree, without list indexes and pydantic's own markers."""
    return tuple(part for part in detail["loc"] if isinstance(part, str) and part != "[key]")


def _describe(detail: ErrorDetails, inputs: Inputs, known: tuple[str, ...]) -> str:
    path = _path(detail)
    name = inputs.name(path)
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name.split(" ")[0], known, n=1, cutoff=0.75)
        return f"{name}: unknown setting" + (f"; did you mean {close[0]}?" if close else "")
    if detail["type"] == "missing":
        return f"{variable(path)}: is required"
    if detail["type"] in {"model_type", "model_attributes_type", "mapping_type", "dict_type"}:
        return (
            f"{name}: names a section; use the full name of a setting, e.g. {_example(path, known)}"
        )
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = detail["input"]
    if not isinstance(value, str | int | float | bool) or path[-1] in _SECRET_FIELDS:
        return f"{name}: {message}"
    if isinstance(value, str) and "//" in value and "@" in value:
        return f"{name}: {message}"  # an address, which may have a password in it
    shown = repr(value)
    if len(shown) > _LONGEST_VALUE_SHOWN:
        shown = shown[:_LONGEST_VALUE_SHOWN] + "…"
    return f"{name}: {message}, not {shown}"


def _example(path: Path_, known: tuple[str, ...]) -> str:
    start = variable(path) + "__"
    return next((name for name in known if name.startswith(start)), start + "…")


def _known_variables(cls: type[BaseModel], tree: Mapping[str, Any]) -> Iterator[str]:
    """All valid variables, with the ids that are in use."""
    for section, field in cls.model_fields.items():
        values = [x for x in get_args(field.annotation) if _is_model(x)]
        if not values:
            if _is_model(field.annotation):
                for name in _fields(field.annotation):
                    yield variable((section, name))
            continue
        used = tree.get(section)
        for identifier in used if isinstance(used, dict) and used else ["<ID>"]:
            for name in _fields(values[0]):
                yield variable((section, identifier, name))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: Any) -> Iterator[str]:
    yield from model.model_fields


def _without(inputs: Inputs, paths: set[Path_]) -> Inputs:
    tree = copy.deepcopy(inputs.tree)
    for path in paths:
        node: Any = tree
        for part in path[:-1]:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(path[-1], None)
    return Inputs(tree=tree, origins=inputs.origins)


# --- contradictions --------------------------------------------------------------------------


def _contradictions(settings: Settings, inputs: Inputs, at_fault: set[Path_]) -> Iterator[str]:
    queues: dict[str, str] = {}
    for identifier, group in settings.groups.items():
        path = ("groups", identifier, "queue")
        queue = group.queue or identifier
        # app_queue ignores the case of a name, so two groups may not differ only in case.
        if queue.lower() in queues:
            other = inputs.name(("groups", queues[queue.lower()], "queue"))
            yield f"{inputs.name(path)}: queue {queue!r} already belongs to a group ({other})"
        queues.setdefault(queue.lower(), identifier)
        # An account without settings need not be listed. But if others are listed, an unlisted
        # one is probably misspelt and would silently lose its settings.
        if settings.accounts and group.account and group.account not in settings.accounts:
            name = inputs.name(("groups", identifier, "account"))
            yield f"{name}: unknown account {group.account!r}{_known(settings.accounts)}"
    for identifier, preset in settings.presets.items():
        if preset.group not in settings.groups:
            name = inputs.name(("presets", identifier, "group"))
            yield f"{name}: unknown group {preset.group!r}{_known(settings.groups)}"
            continue
        fault = _preset_fault(preset.number, settings.features(preset.group).country)
        if fault:
            yield f"{inputs.name(('presets', identifier, 'number'))}: {fault}"
    yield from _unknown_shared_with(settings, inputs)
    yield from _ambiguous_codes(settings, inputs)
    yield from emergencies(settings, inputs)
    yield from _policy_contradictions(settings, at_fault)
    yield from _panel(settings, inputs)
    yield from cluster(settings, inputs, at_fault)
    if 0 < len(settings.api.session_key.get_secret_value()) < LEAST_TOKEN:
        name = inputs.name(("api", "session_key"))
        yield f"{name}: must have at least {LEAST_TOKEN} characters"
    alike: dict[str, str] = {}
    for identifier, agent in settings.agents.items():
        other = alike.setdefault(identifier.lower(), identifier)
        if other != identifier:
            first, second = (inputs.name(("agents", x)) for x in (other, identifier))
            yield f"{second}: differs from another agent only in case ({first})"
        if agent.pin is not None and agent.pin_hash is not None:
            pin, kept = (inputs.name(("agents", identifier, x)) for x in ("pin", "pin_hash"))
            yield f"{kept}: {pin} is set as well; set only one of the two"
        for group_id in agent.groups:
            if group_id not in settings.groups:
                # Resolved only on a fault: it searches everything that was written.
                name = inputs.name(("agents", identifier, "groups"))
                yield f"{name}: unknown group {group_id!r}{_known(settings.groups)}"


def _panel(settings: Settings, inputs: Inputs) -> Iterator[str]:
    """What the panel needs from a proxy, and users who would be two agents."""
    panel = settings.panel
    if not settings.api.trusted_proxies and (panel.frame_ancestors or panel.user_header):
        proxies = inputs.name(("api", "trusted_proxies"))
        if panel.frame_ancestors:
            name = inputs.name(("panel", "frame_ancestors"))
            yield f"{name}: needs TLS, so a reverse proxy, but {proxies} is empty"
        if panel.user_header:
            yield f"{inputs.name(('panel', 'user_header'))}: needs a proxy, but {proxies} is empty"
    if panel.sign_out_url and not panel.user_header:
        name = inputs.name(("panel", "sign_out_url"))
        yield f"{name}: has no effect without {variable(('panel', 'user_header'))}"
    if panel.user_header_secret is not None and not panel.user_header:
        name = inputs.name(("panel", "user_header_secret"))
        yield f"{name}: has no effect without {variable(('panel', 'user_header'))}"
    ids = {id_: id_ for id_, agent in settings.agents.items() if agent.user is None}
    users: dict[str, str] = {}
    for identifier, agent in settings.agents.items():
        if agent.user is None:
            continue
        other = ids.get(agent.user) or users.setdefault(agent.user, identifier)
        if other != identifier:
            name = inputs.name(("agents", identifier, "user"))
            yield f"{name}: is agent {other}'s as well ({inputs.name(('agents', other))})"


def _unknown_shared_with(settings: Settings, inputs: Inputs) -> Iterator[str]:
    """Accounts in ``shared_with`` that do not exist, e.g. misspelt ones."""
    of_groups = {group.account for group in settings.groups.values()}
    known = {*settings.accounts, *(account for account in of_groups if account)}
    for section, entries in (("groups", settings.groups), ("presets", settings.presets)):
        for identifier, entry in entries.items():
            for account in entry.shared_with:
                if account not in known:
                    name = inputs.name((section, identifier, "shared_with"))
                    yield f"{name}: unknown account {account!r}{_known(dict.fromkeys(known))}"


def _ambiguous_codes(settings: Settings, inputs: Inputs) -> Iterator[str]:
    """Extensions and codes that agents dial must be unambiguous."""
    taken: dict[str, Path_] = {x: ("agents", x) for x in settings.agents}
    groups = ((("groups", x, "extension"), g.extension) for x, g in settings.groups.items())
    presets = ((("presets", x, "code"), p.code) for x, p in settings.presets.items())
    for path, digits in (*groups, *presets):
        if digits is None:
            continue
        other = taken.setdefault(digits, path)
        if other != path:
            yield f"{inputs.name(path)}: {digits!r} is already in use ({inputs.name(other)})"
    # The code that starts a transfer is excluded: Asterisk detects it while no other code applies.
    codes = settings.key_codes().commands()
    for place, (code, name) in enumerate(codes):
        for elsewhere, (begun, key) in enumerate(codes):
            twice = code == begun and place < elsewhere  # reported once, at the second of them
            if place != elsewhere and code.startswith(begun) and not twice:
                names = [inputs.name(("keys", x)) for x in (name, key)]
                yield f"{names[0]}: {code!r} begins with {begun!r} ({names[1]})"


def _policy_contradictions(settings: Settings, at_fault: set[Path_]) -> Iterator[str]:
    """Manual dial without external transfer, at every level that enables it explicitly."""
    seen = set()
    for identifier in settings.groups:
        levels = settings.levels(identifier)
        for depth in range(len(levels)):
            for dial, external in contradictions(levels[depth:], _EXTERNAL_MISSING):
                line = f"{dial}: manual dial needs external transfer, which is off by {external}"
                if line not in seen:
                    seen.add(line)
                    yield line
        features = settings.features(identifier)
        if features.contracted and features.external_transfer and features.country is None:
            account = settings.groups[identifier].account
            path = ("accounts", account or "<ID>", "country")
            if path in at_fault:
                continue  # it is set, and its own line says what is wrong with it
            by = features.origins["external_transfer"]
            needed = f"is required, because {by} enables external transfer"
            if account is None:
                of = variable(("groups", identifier, "account"))
                needed += ", which needs the country of the group's account"
                yield f"{of}: {needed} ({variable(path)})"
            else:
                yield f"{variable(path)}: {needed}"


_EXTERNAL_MISSING = "default (AVP_ENTERPRISE__EXTERNAL_TRANSFER is not set)"


def _preset_fault(number: str, country: str | None) -> str:
    """Why a preset's number can never be dialled, or an empty string.

    Rules that depend on the agent or the call are applied later. A preset is parsed in the country
    of its group's account. Without a country, only a number with its calling code can be checked;
    it is the same number in every country.
    """
    if country is None and not number.startswith("+"):
        return ""
    checked = numbers.check(number, agent_country=country or "US", client_country=country)
    if checked.reason not in {"invalid_format", "emergency"}:
        return ""
    where = f" in {country}" if country else ""
    return f"{checked.reason}{where}: {numbers.MESSAGES[checked.reason]}"


def _known(ids: Mapping[str, object]) -> str:
    return f" (known: {', '.join(sorted(ids))})" if ids else ""


def _missing(settings: Settings, inputs: Inputs, at_fault: set[Path_]) -> Iterator[str]:
    present: dict[Path_, bool] = {
        ("ari", "username"): bool(settings.ari.username),
        ("ari", "password"): bool(settings.ari.password.get_secret_value()),
        ("ami", "username"): bool(settings.ami.username),
        ("ami", "secret"): bool(settings.ami.secret.get_secret_value()),
    }
    if settings.webhook.url is not None:
        present["webhook", "secret"] = bool(settings.webhook.secret.get_secret_value())
    for path, is_set in present.items():
        if not is_set and path not in at_fault and path[:1] not in at_fault:
            yield f"{variable(path)}: is required"
    if not settings.groups and not inputs.tree.get("groups"):
        yield "AVP_GROUPS__<ID>__QUEUE: at least one group is required"
