"""`asterisk-avp render endpoints-sql` and `queues-sql`, for an Asterisk with a database.

The statements go to standard output, for a look before they run; remarks go to standard error.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from asterisk_avp.cli.client import CommandFailed
from asterisk_avp.cli.output import load_settings
from asterisk_avp.core.model.world import AGENT_ID

_PROGRAM = "asterisk-avp"
_CONFIG_DIR = Path("/etc/asterisk")
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,62}")

_Agent = Annotated[
    list[str] | None, typer.Option(help="An agent who is not in the settings (repeatable).")
]
_ConfigDir = Annotated[
    Path, typer.Option(help="Asterisk's configuration directory, which is only read.")
]


def render_endpoints_sql(
    agent: _Agent = None,
    config_dir: _ConfigDir = _CONFIG_DIR,
    features: Annotated[
        str, typer.Option(help="DYNAMIC_FEATURES of the phones, with what is there already.")
    ] = "avp_transfer",
    asterisk: Annotated[str, typer.Option(help="Asterisk's version, e.g. 20.20.1.")] = "",
) -> None:
    """Print the SQL for the endpoints of agents' phones that are in Asterisk's database.

    Agents come from the settings. extconfig.conf and sorcery.conf say which driver and table.
    """
    # Imported here because the other commands do not need them.
    from asterisk_avp.core.pbx.versions import can_guard  # noqa: PLC0415
    from asterisk_avp.install import realtime  # noqa: PLC0415
    from asterisk_avp.install.asterisk_conf import read  # noqa: PLC0415

    world = load_settings(connect=False).world()
    phones = dict.fromkeys(
        _endpoint(known.interface) or known.id for known in world.agents.values()
    ) | dict.fromkeys(_checked(agent))
    if not phones:
        raise CommandFailed("no agent is known: set AVP_AGENTS__<ID>__NAME, or use --agent")
    sorcery = read(config_dir, "sorcery.conf")
    where = realtime.endpoint_family(sorcery, read(config_dir, "extconfig.conf"))
    if where is None:
        raise CommandFailed(
            f"{config_dir}: sorcery.conf and extconfig.conf name no table for PJSIP's endpoints"
        )
    current = can_guard(asterisk) if asterisk else True
    lines = realtime.agent_lines(current=current, features=features)
    found = realtime.endpoint_sql(dict.fromkeys(phones, lines), where)
    dialling = realtime.dialling_sql(phones, where) if current else ()
    typer.echo("\n".join((*found.statements, *dialling)))
    remarks = list(found.remarks)
    ignored = realtime.ignored_in_pjsip_conf(sorcery)
    if ignored:
        remarks.append(
            "Asterisk does not read avp-no-replaces from pjsip.conf, because sorcery.conf names"
            f" other places only. Add to sorcery.conf: {'; '.join(ignored)}"
        )
    for remark in remarks:
        typer.echo(remark, err=True)


def render_queues_sql(
    agent: _Agent = None,
    table: Annotated[str, typer.Option(help="The table of the family `queues`.")] = "queues",
) -> None:
    """Print the SQL for the agents' personal queues as rows, instead of avp_queues.conf."""
    from asterisk_avp.install.personal_queues import agents_to_render, at_home  # noqa: PLC0415
    from asterisk_avp.install.realtime import personal_queues_sql  # noqa: PLC0415

    if _TABLE.fullmatch(table) is None:
        raise typer.BadParameter(f"{table!r} is not a table", param_hint="--table")
    settings = load_settings(connect=False)
    world = settings.world()
    by_hand = _checked(agent)
    agents = agents_to_render(world, by_hand)
    if not agents:
        raise CommandFailed("no agent is known: set AVP_AGENTS__<ID>__GROUPS, or use --agent")
    words = [_PROGRAM, "render", "queues-sql", *(w for one in by_hand for w in ("--agent", one))]
    text = personal_queues_sql(
        at_home(agents, world),
        world.groups,
        ring_seconds=settings.session.ring_seconds,
        command=shlex.join(words),
        table=table,
    )
    typer.echo(text, nl=False)


def _checked(agents: list[str] | None) -> list[str]:
    for identifier in agents or []:
        if AGENT_ID.fullmatch(identifier) is None:
            raise typer.BadParameter(f"{identifier!r} is not an agent id", param_hint="--agent")
    return agents or []


def _endpoint(interface: str | None) -> str:
    """The endpoint of an interface of PJSIP; else an empty text."""
    found = re.fullmatch(r"PJSIP/([^/@&,]+).*", interface or "", re.IGNORECASE)
    return found[1] if found is not None else ""
