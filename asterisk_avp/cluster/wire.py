"""The messages of the directory: the one place that writes them, and that cleans what others wrote.

Whatever comes over NATS is hostile until a function of this module has returned it. Each message is
a JSON object with ``v``, the version of its meaning, and fields that a later version may add to;
unknown ones are ignored. What does not fit is refused as a whole (`Bad`); of a list of agents only
the entries that do not fit, so that one of them does not hide the others.

A node is who the subject says it is: NATS lets a node's user publish under its own name only. A
message that names another node inside is refused.

    avp.v1.node.<node>      every 0.5 s: heartbeat
    avp.v1.state.<node>     the agents who have changed, at most every 20 ms
    avp.v1.group.<node>     groups whose waiting callers have changed, at most twice a second
    avp.v1.snapshot.<node>  a request; the answer is one page of the node's agents
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from asterisk_avp.cluster.messages import Changes, Groups, Heartbeat, Message, Page, Told, Waits
from asterisk_avp.core.messages import clean
from asterisk_avp.core.model.agent_state import AgentState
from asterisk_avp.core.model.nodes import RemoteAgent
from asterisk_avp.core.model.world import AGENT_ID

PREFIX: Final = "avp.v1"
VERSION: Final = 1
MOST_BYTES: Final = 262_144
"""Longer messages are not read."""
PAGE: Final = 200
"""Agents of one page of a snapshot, and of one message about changes."""
MOST_GROUPS: Final = 2_000
_MOST_OF_AN_AGENT: Final = 100
"""Groups of one agent."""
_MOST: Final = 2**53
_LATEST: Final = 4e9
"""A time in Unix seconds is earlier than this (the year 2096)."""


class Bad(ValueError):
    """The message is none of ours, or not clean. The text never repeats it."""


# --- writing -------------------------------------------------------------------------------------


def subject(kind: str, node: str) -> str:
    """``kind``: ``node state group snapshot``. ``node``: an id, or ``*`` for all."""
    return f"{PREFIX}.{kind}.{node}"


def write(message: Message) -> bytes:
    body: dict[str, Any] = {
        "v": VERSION,
        "node": message.node,
        "epoch": message.epoch,
        "now": round(message.now, 3),
    }
    match message:
        case Heartbeat():
            body |= {
                "seq": message.seq,
                "ready": message.ready,
                "version": message.version,
                "config_hash": message.config_hash,
                "trunks": dict(message.trunks),
                "standby": message.standby,
                "asterisk": message.asterisk,
            }
        case Changes():
            body |= {
                "seq": message.seq,
                "agents": [_agent_out(told) for told in message.agents],
                "gone": list(message.gone),
            }
        case Page():
            body |= {
                "seq": message.seq,
                "agents": [_agent_out(told) for told in message.agents],
                "next": message.next,
            }
        case Groups():
            body["groups"] = [waits._asdict() for waits in message.waiting]
    return _dumps(body)


def write_request(after: str) -> bytes:
    """The request for the page of a snapshot after this agent; empty: the first."""
    return _dumps({"v": VERSION, "after": after})


def _agent_out(told: Told) -> dict[str, Any]:
    agent = told.agent
    written: dict[str, Any] = {
        "id": told.id,
        "rev": told.revision,
        "seq": told.seq,
        "state": agent.state.value,
        "since": round(agent.since, 3),
        "groups": agent.groups,
        "logged_in": agent.logged_in,
    }
    # What most agents do not have is not written.
    more = {
        "on_break": agent.on_break,
        "paused": agent.paused,
        "reason": agent.pause_reason,
        "acw_end": round(agent.acw_end, 3),
        "waiting_transfer": agent.waiting_transfer,
        "name": agent.name,
    }
    return written | {key: value for key, value in more.items() if value}


def _dumps(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()


# --- reading -------------------------------------------------------------------------------------


def heartbeat(node: str, data: bytes) -> Heartbeat:
    """Raises `Bad`, as all functions below."""
    body, head = _read(node, data)
    trunks = _object(body.get("trunks", {}))
    if len(trunks) > 100:  # noqa: PLR2004 - there are ten nodes
        raise Bad("too many trunks")
    return Heartbeat(
        *head,
        seq=_int(body.get("seq")),
        ready=_bool(body.get("ready")),
        version=_ident(body.get("version", "")),
        config_hash=_ident(body.get("config_hash", "")),
        trunks={_ident(key): _bool(value) for key, value in trunks.items()},
        standby=_bool(body.get("standby", False)),
        asterisk=_ident(body.get("asterisk", "")),
    )


def changes(node: str, data: bytes) -> Changes:
    body, head = _read(node, data)
    agents, refused = _agents(node, body)
    gone = tuple(_agent_id(one) for one in _list(body.get("gone", []), PAGE))
    return Changes(*head, _int(body.get("seq")), agents, gone, refused)


def page(node: str, data: bytes) -> Page:
    body, head = _read(node, data)
    agents, refused = _agents(node, body)
    following = body.get("next", "")
    if following != "":
        following = _agent_id(following)
    return Page(*head, _int(body.get("seq")), agents, following, refused)


def groups(node: str, data: bytes) -> Groups:
    body, head = _read(node, data)
    found = tuple(_waits(_object(x)) for x in _list(body.get("groups"), MOST_GROUPS))
    return Groups(*head, found)


def request(data: bytes) -> str:
    """The agent after whom the page begins; empty: the first page."""
    after = _body(data).get("after", "")
    return after if after == "" else _agent_id(after)


def _read(node: str, data: bytes) -> tuple[dict[str, Any], tuple[str, int, float]]:
    body = _body(data)
    if body.get("node") != node:
        raise Bad("it names another node than its subject")
    return body, (node, _int(body.get("epoch")), _time(body.get("now")))


def _body(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise Bad("too long")
    try:
        body = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # also what is not UTF-8
        raise Bad("not JSON") from None
    body = _object(body)
    if _int(body.get("v")) != VERSION:
        raise Bad("another version")
    return body


def _agents(node: str, body: Mapping[str, Any]) -> tuple[tuple[Told, ...], int]:
    listed = _list(body.get("agents", []), PAGE)
    found = tuple(_clean(listed, lambda one: _agent(node, _object(one))))
    return found, len(listed) - len(found)


def _clean(listed: Iterable[Any], read: Callable[[Any], Told]) -> Iterator[Told]:
    for one in listed:
        try:
            yield read(one)
        except Bad:
            continue


def _agent(node: str, body: Mapping[str, Any]) -> Told:
    state = body.get("state")
    if not isinstance(state, str) or state not in _STATES:
        raise Bad("unknown state")
    groups_ = _group_ids(body.get("groups", []))
    logged_in = _group_ids(body.get("logged_in", []))
    return Told(
        _agent_id(body.get("id")),
        _int(body.get("rev", 0)),
        _int(body.get("seq", 0)),
        RemoteAgent(
            node=node,
            state=_STATES[state],
            since=_time(body.get("since", 0)),
            groups=groups_,
            logged_in=logged_in,
            on_break=_group_ids(body.get("on_break", [])),
            paused=_bool(body.get("paused", False)),
            pause_reason=_name(body.get("reason", "")),
            acw_end=_time(body.get("acw_end", 0)),
            waiting_transfer=_bool(body.get("waiting_transfer", False)),
            name=_name(body.get("name", "")),
        ),
    )


_STATES: Final = {state.value: state for state in AgentState}


def _waits(body: Mapping[str, Any]) -> Waits:
    since = body.get("since")
    return Waits(
        _ident(body.get("group")),
        _int(body.get("callers")),
        None if since is None else _time(since),
    )


def _no_constant(_name: str) -> float:
    raise ValueError("NaN and Infinity are no JSON")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Bad("not an object")
    return value


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise Bad("not a list, or too long")
    return value


def _int(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise Bad("not a number in range")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Bad("not true or false")
    return value


def _time(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < _LATEST or math.isnan(value):
        raise Bad("not a time")
    return float(value)


def _agent_id(value: Any) -> str:
    if not isinstance(value, str) or not AGENT_ID.fullmatch(value):
        raise Bad("not an agent's id")
    return value


def _ident(value: Any) -> str:
    """An id of a group or node, a version, a hash; also empty."""
    if not isinstance(value, str) or (value and not clean.ident(value)):
        raise Bad("not an id")
    return value


def _group_ids(value: Any) -> tuple[str, ...]:
    return tuple(_ident(one) for one in _list(value, _MOST_OF_AN_AGENT))


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise Bad("not a name")
    return clean.name(value)
