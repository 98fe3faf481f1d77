"""The command line. Exit status: 0 done, 1 refused or failed, 2 usage error."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from asterisk_avp import __version__
from asterisk_avp.cli import run as cli_run
from asterisk_avp.cli.calls import add_call_commands
from asterisk_avp.cli.check import check
from asterisk_avp.cli.client import CommandFailed
from asterisk_avp.cli.number import number
from asterisk_avp.cli.output import load_settings
from asterisk_avp.cli.render import render_all
from asterisk_avp.cli.render_sql import render_endpoints_sql, render_queues_sql
from asterisk_avp.cli.run import PROGRAM, say
from asterisk_avp.cli.settings import show_settings
from asterisk_avp.cli.watch import watch
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.world import AGENT_ID, World

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

app = typer.Typer(
    name=PROGRAM,
    help="Session transfer for the agents of an Asterisk call centre.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
render_app = typer.Typer(
    help="Write Asterisk configuration.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(render_app, name="render")
render_app.command("all")(render_all)
render_app.command("endpoints-sql")(render_endpoints_sql)
render_app.command("queues-sql")(render_queues_sql)
add_call_commands(app)
app.command("watch")(watch)
app.command("number")(number)
app.command("settings")(show_settings)
app.command("check")(check)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. Expected errors are shown without a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=given, prog_name=PROGRAM)
    except CommandFailed as failed:
        if failed.answer is not None and "--json" in given:
            print(json.dumps(failed.answer, indent=2, ensure_ascii=False))  # noqa: T201
        _fail(failed.message)
    except (ConfigError, OSError) as error:
        _fail(str(error))


def _fail(message: str) -> None:
    say(message)
    raise SystemExit(1)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version


@app.command()
def run(
    standby: Annotated[
        bool,
        typer.Option("--standby", help="Wait until no other daemon serves this Asterisk."),
    ] = False,
) -> None:
    """Run the daemon, with the settings from the environment, .env and AVP_CONFIG."""
    raise typer.Exit(cli_run.run(standby=standby))


@app.command("pin-hash")
def pin_hash(
    pin: Annotated[
        str,
        typer.Option(
            prompt="PIN", hide_input=True, confirmation_prompt=True, help="Prefer the prompt."
        ),
    ],
) -> None:
    """Print the hash of a PIN, for AVP_AGENTS__<ID>__PIN_HASH."""
    from asterisk_avp.core.model.pins import AT_REST, SALT_BYTES, PinHash  # noqa: PLC0415

    typer.echo(str(PinHash.of(pin, secrets.token_bytes(SALT_BYTES), AT_REST)))


_Output = Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")]
_Agent = Annotated[
    list[str] | None, typer.Option(help="An agent who is not in the settings (repeatable).")
]
_FromQueues = Annotated[
    Path | None, typer.Option(help="A queues.conf; members of the groups' queues become agents.")
]


@render_app.command("queues")
def queues(output: _Output = None, agent: _Agent = None, from_queues: _FromQueues = None) -> None:
    """Write the agents' personal queues, for an #include in queues.conf."""
    from asterisk_avp.install.personal_queues import at_home, render_queues  # noqa: PLC0415

    settings = load_settings(connect=False)
    world = settings.world()
    text = render_queues(
        at_home(_agents(world, agent or [], from_queues), world),
        world.groups,
        ring_seconds=settings.session.ring_seconds,
        command=_command("queues", agent or [], from_queues),
    )
    _write(text, output)


@render_app.command("extensions")
def extensions(
    output: _Output = None, agent: _Agent = None, from_queues: _FromQueues = None
) -> None:
    """Write the agents' ids as extensions. The dialplan includes this file by itself."""
    from asterisk_avp.install.personal_queues import render_extensions  # noqa: PLC0415

    agents = _agents(load_settings(connect=False).world(), agent or [], from_queues)
    text, left_out = render_extensions(
        agents, command=_command("extensions", agent or [], from_queues)
    )
    for remark in left_out:
        typer.echo(remark, err=True)
    _write(text, output)


def _agents(
    world: World, by_hand: Sequence[str], from_queues: Path | None
) -> dict[str, frozenset[str] | None]:
    from asterisk_avp.install import asterisk_conf  # noqa: PLC0415
    from asterisk_avp.install.personal_queues import agents_to_render  # noqa: PLC0415

    for identifier in by_hand:
        if AGENT_ID.fullmatch(identifier) is None:
            raise typer.BadParameter(f"{identifier!r} is not an agent id", param_hint="--agent")
    members: Mapping[str, tuple[asterisk_conf.Member, ...]] = {}
    if from_queues is not None:
        try:
            text = from_queues.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CommandFailed(f"{from_queues}: {error}") from None
        conf, included = asterisk_conf.alone(str(from_queues), text)
        members = asterisk_conf.members(conf)
        for fault in conf.faults:
            typer.echo(f"{fault.where}: {fault.what}", err=True)
        for file in included:
            typer.echo(f"{from_queues}: #include {file} was not read", err=True)
    agents = agents_to_render(world, by_hand, members)
    if not agents:
        raise CommandFailed(
            "no agent is known: set AVP_AGENTS__<ID>__GROUPS, or use --agent or --from-queues"
        )
    return agents


def _command(what: str, by_hand: Sequence[str], from_queues: Path | None) -> str:
    words = [PROGRAM, "render", what]
    words += [word for identifier in by_hand for word in ("--agent", identifier)]
    words += ["--from-queues", str(from_queues)] if from_queues is not None else []
    return shlex.join(words)


@render_app.command("dialplan")
def dialplan(
    output: Annotated[
        Path | None, typer.Option(help="The file to write; default: standard output.")
    ] = None,
    path: Annotated[bool, typer.Option("--path", help="Only print the files' directory.")] = False,
) -> None:
    """Print the dialplan that an administrator includes in extensions.conf."""
    from asterisk_avp.install.dialplan_files import dialplan_dir, dialplan_files  # noqa: PLC0415

    if path:
        typer.echo(str(dialplan_dir()))
        return
    files = dialplan_files()
    if not files:
        raise CommandFailed(f"{dialplan_dir()} has no dialplan files")
    _write("\n".join(file.read_text(encoding="utf-8") for file in files), output)


class _Role(StrEnum):
    """As `install.systemd_unit.Role`, which is not imported for the other commands."""

    FIRST = "first"
    SECOND = "second"


@render_app.command("systemd")
def systemd(
    output: Annotated[
        Path | None, typer.Option(help="The file to write; default: standard output.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="The daemon's user; default: a dynamic user that systemd allocates."),
    ] = None,
    standby: Annotated[
        _Role | None,
        typer.Option(help="One of two daemons for one Asterisk; `second` is the standby's unit."),
    ] = None,
) -> None:
    """Write a systemd unit for the daemon, or for one of two."""
    from asterisk_avp.install.systemd_unit import Role, render_unit  # noqa: PLC0415

    if user is not None and _USER.fullmatch(user) is None:
        raise typer.BadParameter(f"{user!r} is not a user name", param_hint="--user")
    words = [PROGRAM, "render", "systemd", *(["--user", user] if user is not None else [])]
    words += ["--standby", standby.value] if standby is not None else []
    text = render_unit(
        Path(sys.executable).with_name(PROGRAM),
        drain_seconds=load_settings(connect=False).session.drain_seconds,
        user=user,
        command=shlex.join(words),
        role=Role(standby.value) if standby is not None else None,
    )
    _write(text, output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text, encoding="utf-8")
