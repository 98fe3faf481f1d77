"""Turn Asterisk's answers into `RunningPbx`. No I/O: `ask` collects the answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.messages import clean
from asterisk_avp.install.checks.running import running
from asterisk_avp.install.running.state import PbxEndpoint, PbxMember, PbxQueue, RunningPbx

Item = Mapping[str, str]

FAMILIES: Final = ("AMPUSER", "DEVICE", "QPENALTY")
"""Families of AstDB in which FreePBX and Issabel keep users, their devices, and who may log in to
which queue."""

OPTIONS: Final = (
    *("allow_transfer", "redirect_method", "context", "message_context"),
    *("overlap_context", "outbound_auth", "auth", "aors", "rtp_timeout", "rtp_timeout_hold"),
    *("timers", "language", "allow"),
)
"""The options of an endpoint that `check` and `render` use. Asterisk does not tell `deny`
(pjsip_configuration.c)."""

VARIABLES: Final = (
    "PJSIP_TRANSFER_HANDLING()",
    *("DYNAMIC_FEATURES", "__DYNAMIC_FEATURES", "BRIDGE_FEATURES", "__BRIDGE_FEATURES"),
    *("TRANSFER_CONTEXT", "__TRANSFER_CONTEXT", "FORWARD_CONTEXT", "__FORWARD_CONTEXT"),
)
"""The variables of an endpoint (`set_var`) that they use. PJSIP_ENDPOINT() reads each by its name
(func_pjsip_endpoint.c; pjsip_configuration.c, set_var_to_vl), and logs a warning in Asterisk for
one that is not there."""

_MEMBERSHIPS: Final = frozenset({"static", "dynamic", "realtime"})
_NEXT_VARIABLE: Final = re.compile(r",(?=_{0,2}[A-Za-z][\w-]*(?:\([^()=]*\))?=)")
"""Where the next variable begins: Asterisk joins them with commas, which values may contain."""


@dataclass(slots=True)
class Answers:
    """Raw answers. None: not asked, or refused.

    ``details``: the events EndpointDetail, for a user who may see them; otherwise ``endpoints`` has
    the answers to Getvar for each option and variable.
    """

    asked_as: str = ""
    core: Item | None = None
    queues: list[Item] | None = None
    endpoints: dict[str, PbxEndpoint] | None = None
    details: list[Item] = field(default_factory=list)
    all_endpoints: bool = False
    hints: list[Item] | None = None
    database: list[Item] | None = None
    features: dict[str, str] | None = None
    dialplan: list[Item] | None = None
    untold: list[str] = field(default_factory=list)


def state_of(answers: Answers) -> RunningPbx:
    """What the answers say. Names with control characters in them are left out."""
    endpoints = _endpoints(answers)
    return RunningPbx(
        asked_as=answers.asked_as,
        version=(answers.core or {}).get("AsteriskVersion", ""),
        queues=None if answers.queues is None else queues_of(answers.queues),
        endpoints=endpoints,
        all_endpoints=answers.all_endpoints,
        hints=None if answers.hints is None else hints_of(answers.hints),
        database=None if answers.database is None else database_of(answers.database),
        features=answers.features,
        dialplan=None if answers.dialplan is None else running(answers.dialplan),
        untold=tuple(answers.untold),
    )


def queues_of(items: Iterable[Item]) -> dict[str, PbxQueue]:
    """Queues with members from QueueStatus (app_queue.c, manager_queues_status)."""
    params: dict[str, Item] = {}
    members: dict[str, list[PbxMember]] = {}
    listed = ""
    for item in items:
        event, name = item.get("Event", ""), item.get("Queue", "")
        if event == "QueueParams" and name:
            params[name] = item
            listed = name
        elif event == "QueueMember" and name == listed:
            member = _member(item)
            if member is not None:
                members.setdefault(name, []).append(member)
    return {
        name: PbxQueue(
            name,
            _number(item.get("Max")),
            _number(item.get("Weight")),
            item.get("Strategy", ""),
            tuple(members.get(name, ())),
        )
        for name, item in params.items()
    }


def _member(item: Item) -> PbxMember | None:
    interface = item.get("Location", "")
    if not clean.interface(interface):
        return None
    membership = item.get("Membership", "").lower()
    return PbxMember(
        interface,
        item.get("StateInterface", ""),
        item.get("Name", ""),
        membership if membership in _MEMBERSHIPS else "static",
        _number(item.get("Penalty")),
        item.get("Paused") == "1",
    )


def hints_of(items: Iterable[Item]) -> dict[str, str]:
    """``extension@context`` to its devices (pbx.c, action_extensionstatelist)."""
    return {
        f"{item['Exten']}@{item['Context']}": item.get("Hint", "")
        for item in items
        if item.get("Event") == "ExtensionStatus" and item.get("Exten") and item.get("Context")
    }


def database_of(items: Iterable[Item]) -> dict[str, str]:
    """Key to value of AstDB (db.c, manager_db_tree_get)."""
    return {
        item["Key"]: item.get("Val", "")
        for item in items
        if item.get("Event") == "DBGetTreeResponse" and "Key" in item
    }


def _endpoints(answers: Answers) -> dict[str, PbxEndpoint] | None:
    if answers.endpoints is None and not answers.details:
        return None
    found = dict(answers.endpoints or {})
    # AMI writes `set_var` as SetVar (main/utils.c, ast_to_camel_case).
    names = {option.replace("_", ""): option for option in (*OPTIONS, "set_var")}
    for item in answers.details:
        if item.get("Event") != "EndpointDetail" or not item.get("ObjectName"):
            continue
        options = {names[x.lower()]: value for x, value in item.items() if x.lower() in names}
        pairs = [text.partition("=") for text in variables_of(options.pop("set_var", ""))]
        variables = {name: value for name, _, value in pairs}
        found[item["ObjectName"]] = PbxEndpoint(options, variables, all_variables=True)
    return found


def variables_of(text: str) -> tuple[str, ...]:
    """``A=1,B()=2`` as Asterisk joins an endpoint's variables (pjsip_configuration.c,
    set_var_to_str), split into ``name=value``.
    """
    return tuple(piece for piece in _NEXT_VARIABLE.split(text) if piece)


def _number(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else 0
