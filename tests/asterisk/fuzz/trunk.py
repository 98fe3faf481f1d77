"""Another node attacks over its trunk: one that was taken over, with its address and password, and
somebody who has only one of the two, or neither.

The node under attack is node a of two; of node b there is the attacker only, and no NATS. The
inputs are made as those of phones (`inputs`), and a seed plays the same ones again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from bed import Bed, World

from asterisk_avp.config.node_secrets import trunk_password
from asterisk_avp.config.settings import Settings
from asterisk_avp.install.trunks import trunks_conf

from .inputs import AGENT, NODE, PLACES, TRUNK, Input, Words, value
from .phone import Phone

IMPOSTORS: Final = ("of its address", "with its password", "of neither")
"""Who is no node: its address with another password, its password from elsewhere, and neither."""
ENDPOINT: Final = "avp-node-b"
PRIVATE: Final = "backoffice"
"""A queue that is no group's, which no node may reach."""
_HOST, _ELSEWHERE = "127.0.0.4", "127.0.0.5"
_TOKENS: Final = {
    "a": "of-node-a-which-nobody-shows-to-us",
    "b": "of-node-b-which-the-attacker-has-taken",
}
HEADERS: Final = ("Transfer", "Call", "Transferor", "Leg", "Hold", "Group", "Others", "Join")
"""What a node says of its call, as X-AVP-…; and what none says."""
_DIALLED: Final = ("agent-1001", "agent-1002", "group-sales", "agent-1003", "group-support")
_USERS: Final = (
    *("agent-", "group-", "agent-1001", "group-sales", f"group-{PRIVATE}", "group-avp-agent-1001"),
    *("agent-1004", "agent-9999", "1001", "s", "h", "T", "join", "rejected", "ended", "911"),
)
_IN_A_CALL: Final = ("INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "MESSAGE", "OPTIONS", "BYE")
_OUT_OF_A_CALL: Final = (
    *("INVITE",) * 14,
    *(
        "MESSAGE",
        "REFER",
        "SUBSCRIBE",
        "OPTIONS",
        "INFO",
        "NOTIFY",
        "PUBLISH",
        "UPDATE",
        "REGISTER",
    ),
)


def world(plain: World) -> World:
    queues = f"[{PRIVATE}]\njoinempty = yes\nmember => PJSIP/1003,0,Carol"
    return replace(plain, queues=f"{plain.queues}\n{queues}")


def settle_in(bed: Bed) -> None:
    """Make it node a of two. Its port for trunks, and node b's, are among those to spare."""
    own, theirs = bed.ports.spare[-1], bed.ports.spare[-2]
    env = {"AVP_CLUSTER__NODE": "a", "AVP_CLUSTER__SERVERS": "nats://127.0.0.1:9"}
    for node, address in (("A", f"127.0.0.1:{own}"), ("B", f"{_HOST}:{theirs}")):
        env[f"AVP_NODES__{node}__URL"] = "http://127.0.0.1:9"
        env[f"AVP_NODES__{node}__SIP"] = address
        env[f"AVP_NODES__{node}__TOKEN"] = _TOKENS[node.lower()]
    settings = Settings.load(env, Path("/nonexistent"), connect=False)
    # The attacker sends no audio.
    trunks = trunks_conf(settings, "the fuzzer").replace("rtp_timeout = 4", "rtp_timeout = 0")
    bed.world = replace(
        bed.world,
        pjsip=f"{bed.world.pjsip}\n{trunks}",
        settings={**bed.world.settings, **env},
    )


def attackers(bed: Bed) -> dict[str, Phone]:
    """The node, and the impostors."""
    proxy, port = bed.ports.spare[-1], bed.ports.spare[-2]
    password = trunk_password(_TOKENS["b"])
    lines = {
        NODE: (_HOST, password, port),
        "of its address": (_HOST, "guessed", 0),
        "with its password": (_ELSEWHERE, password, 0),
        "of neither": (_ELSEWHERE, "guessed", 0),
    }
    return {
        name: Phone(ENDPOINT, host, proxy, secret, at, registers=False)
        for name, (host, secret, at) in lines.items()
    }


def make(seed: int, number: int, words: Words) -> Input:
    """The input with this number."""
    rng = Random(f"trunk/{seed}/{number}")
    kind = rng.choices(("request", "in-call", "flood"), (85, 13, 2))[0]
    if kind == "flood":
        method = rng.choice(("OPTIONS", "OPTIONS", "INVITE", "BYE", "REGISTER"))
        return Input(number, kind, rng.choice((NODE, *IMPOSTORS)), method, ())
    if kind == "in-call":
        return _in_call(rng, number, words)
    sender = rng.choices((NODE, *IMPOSTORS, AGENT, TRUNK), (12, 1, 1, 1, 1, 1))[0]
    method = rng.choice(_OUT_OF_A_CALL)
    parts: dict[str, bytes] = {}
    if rng.random() < 0.5 or sender in (AGENT, TRUNK):
        odd = value(rng, words) if rng.random() < 0.7 else b""
        parts["user"] = rng.choice(_USERS).encode() + odd
    for place in rng.sample(PLACES, rng.choice((0, 0, 1, 2))):
        parts.setdefault(place, value(rng, words)[: 60 if place == "name" else None])
    if method == "REFER":
        parts.setdefault("refer-to", value(rng, words))
    if method == "INVITE" and rng.random() < 0.1:
        parts["replaces"] = value(rng, words)[:60]
    for name in rng.sample(HEADERS, rng.choice((1, 1, 2, 3))):
        parts[f"x-{name}"] = _said(rng, name, words)
    return Input(number, kind, sender, method, tuple(parts.items()), raw=rng.random() < 0.2)


def _in_call(rng: Random, number: int, words: Words) -> Input:
    """The node talks to 1002; one of them sends more."""
    sender, method = rng.choices((NODE, AGENT), (4, 1))[0], rng.choice(_IN_A_CALL)
    parts = {}
    for place in rng.sample(PLACES, rng.choice((1, 1, 2))):
        if place not in ("user", "to", "from"):
            parts[place] = value(rng, words)[: 60 if place == "name" else None]
    if method == "REFER":
        parts["refer-to"] = rng.choice((b"1001", b"agent-1003", b"911", value(rng, words)))
        if rng.random() < 0.4:
            parts["replaces"] = value(rng, words)[:60]
    return Input(number, "in-call", sender, method, tuple(parts.items()), raw=rng.random() < 0.2)


def _said(rng: Random, name: str, words: Words) -> bytes:
    usual = {"Leg": ("consult", "caller", "x"), "Hold": ("1", "-1", "0", "99999999", "1e9", "2 ")}
    ids = usual.get(name, (words.victim, "1001", "sales", "backoffice", "1004", "x" * 3000))
    return rng.choice(ids).encode() if rng.random() < 0.4 else value(rng, words)
