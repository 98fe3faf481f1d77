"""`asterisk-avp render all`: everything that an installation needs, in one folder."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asterisk_avp.cli.client import CommandFailed
from asterisk_avp.cli.output import warn
from asterisk_avp.core.model.world import AGENT_ID
from asterisk_avp.core.pbx.versions import takes_last

if TYPE_CHECKING:
    from asterisk_avp.install.running.ask import AmiAccess, Wanted
    from asterisk_avp.install.running.state import RunningPbx

_PROGRAM = "asterisk-avp"
_CONFIG_DIR = Path("/etc/asterisk")


class Pbx(StrEnum):
    """The configurations that `--for` can name (`install.layout.Kind`)."""

    FREEPBX = "freepbx"
    ISSABEL = "issabel"
    PLAIN = "plain"


_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


def render_all(
    output: Annotated[Path, typer.Option(help="The folder to write into; created if missing.")],
    config_dir: Annotated[
        Path, typer.Option(help="Asterisk's configuration directory, which is only read.")
    ] = _CONFIG_DIR,
    agent: Annotated[
        list[str] | None, typer.Option(help="An agent who is not in the files (repeatable).")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="The daemon's user; default: a dynamic user that systemd allocates."),
    ] = None,
    source: Annotated[
        str,
        typer.Option("--from", help="The address from which the daemon connects to Asterisk."),
    ] = "127.0.0.1",
    asterisk: Annotated[
        str, typer.Option(help="Asterisk's version, if it is an old one, e.g. 22.5.0.")
    ] = "",
    pbx: Annotated[
        Pbx | None,
        typer.Option("--for", help="What writes Asterisk's files; default: found out by itself."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only read the files; do not ask Asterisk.")
    ] = False,
    ami_user: Annotated[
        str,
        typer.Option(help="The user of manager.conf as whom to ask Asterisk; default: any fit."),
    ] = "",
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Write nothing; list what to undo to take it out again."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Also replace existing files that differ.")
    ] = False,
) -> None:
    """Write the dialplan, queues, users, features, endpoints, unit and settings for this Asterisk.

    Your own files stay unchanged: INSTALL.txt says which lines to add to which file. Without
    --write, existing files that differ are shown and kept, and the exit status is 1.
    """
    # Imported here because the other commands do not need them.
    from asterisk_avp.install import files as installation  # noqa: PLC0415
    from asterisk_avp.install import layout, proposals, removal  # noqa: PLC0415
    from asterisk_avp.install.asterisk_conf import read  # noqa: PLC0415
    from asterisk_avp.install.renderer import Renderer  # noqa: PLC0415
    from asterisk_avp.install.running.access import ask_somebody  # noqa: PLC0415
    from asterisk_avp.install.running.overlay import SOURCES  # noqa: PLC0415

    for identifier in agent or []:
        if AGENT_ID.fullmatch(identifier) is None:
            raise typer.BadParameter(f"{identifier!r} is not an agent id", param_hint="--agent")
    if user is not None and _USER.fullmatch(user) is None:
        raise typer.BadParameter(f"{user!r} is not a user name", param_hint="--user")
    try:
        ipaddress.ip_address(source)
    except ValueError:
        raise typer.BadParameter(f"{source!r} is not an address", param_hint="--from") from None
    if not config_dir.is_dir():
        raise typer.BadParameter(f"{config_dir} is not a directory", param_hint="--config-dir")

    kind = layout.Kind(pbx.value) if pbx is not None else None
    where = layout.found(config_dir, installation.CONF_FILES, kind)
    if remove:
        typer.echo(removal.steps(config_dir, output, where))
        return
    last = takes_last(asterisk)
    files = {name: read(config_dir, name, takes_last=last) for name in installation.CONF_FILES}
    words = [_PROGRAM, "render", "all", "--output", str(output), "--config-dir", str(config_dir)]
    words += [word for identifier in agent or [] for word in ("--agent", identifier)]
    words += ["--user", user] if user is not None else []
    words += ["--from", source] if source != "127.0.0.1" else []
    words += ["--asterisk", asterisk] if asterisk else []
    words += ["--for", pbx.value] if pbx is not None else []
    words += ["--offline"] if offline else []
    words += ["--ami-user", ami_user] if ami_user else []
    sources = {name: read(config_dir, name) for name in SOURCES}
    renderer = Renderer(files, output, config_dir, shlex.join(words), source, where, sources)

    def ask(own: AmiAccess | None, wanted: Wanted) -> RunningPbx | None:
        proposed = proposals.addresses(files["http.conf"], files["manager.conf"])
        place = proposed.get("AVP_AMI__HOST", "127.0.0.1"), int(proposed.get("AVP_AMI__PORT", 5038))
        asked = asyncio.run(ask_somebody(own, files["manager.conf"], place, wanted, user=ami_user))
        for sentence in asked.said:
            typer.echo(sentence)
        return asked.pbx

    try:
        texts = renderer.texts(agent or [], user, asterisk, None if offline else ask)
    except installation.CannotRender as error:
        raise CommandFailed(str(error)) from None
    finally:
        warn(renderer.ignored)

    how = "as --for says" if pbx is not None else "found in extensions.conf; --for changes it"
    typer.echo(f"{config_dir} is the configuration of {where.kind.product} ({how}).")
    _write(output, texts, write=write)


def _write(output: Path, texts: dict[str, str], *, write: bool) -> None:
    """Write the files, and say for each what was done with it."""
    from asterisk_avp.install import files as installation  # noqa: PLC0415
    from asterisk_avp.install import folder  # noqa: PLC0415

    todo = texts.pop(installation.NOTES)
    found = folder.compare(output, texts)
    done = {
        file.name: file
        for file in folder.write(output, found, installation.SECRET_FILES, replace=write)
    }
    folder.write(output, folder.compare(output, {installation.NOTES: todo}), (), replace=True)
    left = 0
    for file in found:
        for line in file.difference:
            typer.echo(line)
        if file.name in done:
            kept = done[file.name].kept
            what = "written" if file.state is folder.State.NEW else "replaced"
            what += f"; your edited file is now {kept}" if kept else ""
        elif file.state is folder.State.SAME:
            what = "unchanged"
        else:
            left += 1
            edited = (
                " and was edited after it was written" if file.state is folder.State.EDITED else ""
            )
            what = f"differs{edited}; kept"
        typer.echo(f"{output / file.name}: {what}")
    typer.echo("")
    typer.echo(todo)
    if left:
        raise CommandFailed(f"{left} files differ and were kept; --write replaces them")
