"""`asterisk-avp check`: does this Asterisk's set-up enforce the transfer rules?"""

from __future__ import annotations

import asyncio
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asterisk_avp.cli.output import Json, load_settings, print_json, print_table
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.pbx.versions import takes_last

if TYPE_CHECKING:
    from asterisk_avp.config.settings import Settings
    from asterisk_avp.core.model.world import World
    from asterisk_avp.install.asterisk_conf import Conf
    from asterisk_avp.install.checks.model import (
        Addresses,
        Facts,
        Finding,
        Live,
        PanelFacts,
        Secret,
        StandbyFacts,
    )
    from asterisk_avp.install.checks.nodes_model import NodesFacts

_CONFIG_DIR = Path("/etc/asterisk")


def check(
    config_dir: Annotated[
        Path,
        typer.Option(
            help="Asterisk's configuration directory.", exists=True, file_okay=False, dir_okay=True
        ),
    ] = _CONFIG_DIR,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only read the files; do not contact Asterisk.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check everything that transfers need on this Asterisk. Exit status: 0 without errors, else 1.

    Queries Asterisk as the daemon's own users, runs one channel through the context avp-check,
    which rings nobody, sends SIP requests that must be refused, and reads the configuration files.
    """
    # Imported here because the other commands do not need them.
    from asterisk_avp.install import checks  # noqa: PLC0415
    from asterisk_avp.install.checks.model import Severity  # noqa: PLC0415

    findings = checks.run(asyncio.run(collect(config_dir, connect=not offline)))
    errors, warnings = (
        sum(finding.severity is severity for finding in findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    )
    if as_json:
        counted = {"ok": not errors, "errors": errors, "warnings": warnings}
        print_json(counted | {"findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
        typer.echo(f"errors: {errors}, warnings: {warnings}")
    if errors:
        raise typer.Exit(1)


async def collect(
    config_dir: Path, *, connect: bool = True, clock: Callable[[], float] = time.time
) -> Facts:
    """Read the files and the settings, and query Asterisk.

    ``clock``: this machine's, in Unix seconds.
    """
    from asterisk_avp.install.asterisk_conf import read  # noqa: PLC0415
    from asterisk_avp.install.checks.model import FILES, TRANSLATION_FILES, USERS_FILES, Facts  # noqa: PLC0415
    from asterisk_avp.install.outdated import Given, outdated  # noqa: PLC0415
    from asterisk_avp.install.probe import ask  # noqa: PLC0415
    from asterisk_avp.install.running.overlay import SOURCES, with_running_pbx  # noqa: PLC0415

    names = (*FILES, *USERS_FILES, *TRANSLATION_FILES, *SOURCES)
    files = {name: read(config_dir, name) for name in names}
    stale = _stale_dialplan(config_dir, files["extensions.conf"])
    unreachable = "the settings to connect with are not valid" if connect else ""
    try:
        settings = load_settings()
    except ConfigError as error:
        return Facts(files, None, unreachable, settings=str(error), stale_dialplan=stale)
    world = settings.world()
    given = Given(files, settings.session.ring_seconds, settings.keys.transfer)
    live, version = None, None
    if connect:
        live, version = await ask(settings, world, files, clock)
        unreachable = live.ari
        last = takes_last(version)
        files = {name: read(config_dir, name, takes_last=last) for name in files}
    return Facts(
        with_running_pbx(files, live.pbx if live is not None else None),
        version,
        unreachable,
        world,
        feature_code=settings.keys.transfer,
        keys={name.upper(): keys for name, keys in settings.keys.model_dump().items()},
        live=live,
        secrets=tuple(_secrets(settings)),
        addresses=_addresses(settings),
        panel=_panel(settings),
        standby=_standby(settings),
        stale_dialplan=stale,
        outdated=tuple(outdated(config_dir, given)),
        ignored=settings.ignored,
        open_files=tuple(_open_files(os.environ, Path.cwd())),
        written=files["pjsip.conf"],
        nodes=await _nodes(settings, world, live, clock),
    )


async def _nodes(
    settings: Settings, world: World, live: Live | None, clock: Callable[[], float]
) -> NodesFacts | None:
    """``live``: None if nobody is to be asked."""
    from asterisk_avp import __version__  # noqa: PLC0415
    from asterisk_avp.config.fingerprint import config_hash  # noqa: PLC0415
    from asterisk_avp.install.checks.nodes_model import NodesFacts  # noqa: PLC0415

    if not world.node:
        return None
    known = NodesFacts(
        own=world.node,
        trunks={node.id: node.endpoint for node in world.nodes.values() if node.id != world.node},
        hash=config_hash(settings),
        version=__version__,
        servers=len(settings.cluster.servers),
    )
    if live is None:
        return known
    from asterisk_avp.install.nats_probe import ask_nats  # noqa: PLC0415
    from asterisk_avp.install.peer_probe import ask_certificates, ask_peers  # noqa: PLC0415

    return replace(
        known,
        contacts=None if live.ami else live.contacts,
        nats=await ask_nats(settings, clock),
        peers=await ask_peers(settings),
        certificates=await ask_certificates(settings, clock),
    )


def _open_files(environ: Mapping[str, str], directory: Path) -> Iterator[str]:
    """Files with our secrets that every user of this machine can read.

    Excludes files below /run, which Docker and systemd create for one container or service.
    """
    named = [environ[x] for x in sorted(environ) if x.startswith("AVP_") and x.endswith("_FILE")]
    for name in filter(None, (".env", environ.get("AVP_CONFIG", ""), *named)):
        file = (directory / name).absolute()
        if file.is_relative_to("/run"):
            continue
        try:
            mode = file.stat().st_mode
            closed = any(not folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        except OSError:
            continue  # the settings report it, if it matters
        if stat.S_ISREG(mode) and mode & stat.S_IROTH and not closed:
            yield name


def _stale_dialplan(config_dir: Path, extensions: Conf) -> str:
    """The name of an included file that is our dialplan in another version."""
    from asterisk_avp.install.dialplan_files import dialplan_files  # noqa: PLC0415

    ours = {file.name: file for file in dialplan_files()}
    for name in dict.fromkeys(section.place.file for section in extensions.sections):
        known = ours.get(Path(name).name)
        if known is not None:
            included = (config_dir / name).read_text(encoding="utf-8", errors="replace")
            if included != known.read_text(encoding="utf-8"):
                return name
    return ""


def _secrets(settings: Settings) -> Iterator[Secret]:
    from asterisk_avp.install.checks.model import Secret  # noqa: PLC0415

    ami, ari, api = settings.ami, settings.ari, settings.api
    yield Secret("AVP_AMI__SECRET", ami.secret.get_secret_value(), (ami.username,))
    yield Secret("AVP_ARI__PASSWORD", ari.password.get_secret_value(), (ari.username,))
    for token in api.tokens:
        yield Secret("AVP_API__TOKENS", token.get_secret_value())
    if api.metrics_token.get_secret_value():
        yield Secret("AVP_API__METRICS_TOKEN", api.metrics_token.get_secret_value())
    if api.session_key.get_secret_value():
        yield Secret("AVP_API__SESSION_KEY", api.session_key.get_secret_value())
    if settings.panel.user_header_secret is not None:
        secret = settings.panel.user_header_secret.get_secret_value()
        yield Secret("AVP_PANEL__USER_HEADER_SECRET", secret)
    for identifier, node in settings.nodes.items():
        yield Secret(f"AVP_NODES__{identifier.upper()}__TOKEN", node.token.get_secret_value())
    if settings.webhook.url is not None:
        yield Secret("AVP_WEBHOOK__SECRET", settings.webhook.secret.get_secret_value())
    for identifier, agent in settings.agents.items():
        if agent.pin is not None:
            names = (identifier, agent.name or "")
            yield Secret(f"AVP_AGENTS__{identifier}__PIN", agent.pin.get_secret_value(), names)


def _addresses(settings: Settings) -> Addresses:
    from asterisk_avp.install.checks.model import Addresses  # noqa: PLC0415

    return Addresses(
        api=settings.api.host,
        agi=settings.agi.host,
        agi_port=settings.agi.port,
        ami=settings.ami.host,
        ari=settings.ari.url,
        ami_user=settings.ami.username,
        ari_user=settings.ari.username,
    )


def _standby(settings: Settings) -> StandbyFacts:
    from asterisk_avp.install.checks.model import StandbyFacts  # noqa: PLC0415

    return StandbyFacts(
        active_url=settings.standby.active_url or "",
        agi_url=settings.standby.agi_url or "",
        frozen_seconds=settings.standby.frozen_seconds,
        orphan_seconds=settings.session.orphan_seconds,
        api_port=settings.api.port,
    )


def _panel(settings: Settings) -> PanelFacts:
    from asterisk_avp.core.model.features import DEFAULT  # noqa: PLC0415
    from asterisk_avp.install.checks.model import PanelFacts  # noqa: PLC0415

    return PanelFacts(
        user_header=settings.panel.user_header or "",
        secret=settings.panel.user_header_secret is not None,
        proxies=settings.api.trusted_proxies,
        named=settings.origin(("api", "trusted_proxies")) != DEFAULT,
        frame_ancestors=bool(settings.panel.frame_ancestors),
        other_users=tuple(_people()),
    )


_FIRST_PERSON, _LAST_PERSON = 1000, 60_000
"""User ids of people, as Debian and Red Hat assign them (login.defs)."""


def _people() -> Iterator[str]:
    """The users of this machine who can log in, other than root and this program's."""
    for user in pwd.getpwall():
        shell = Path(user.pw_shell).name
        person = _FIRST_PERSON <= user.pw_uid < _LAST_PERSON and user.pw_uid != os.geteuid()
        if person and shell not in ("nologin", "false", ""):
            yield user.pw_name


def _show(findings: Sequence[Finding]) -> None:
    rows = [["RESULT", "CHECK", "WHERE", "WHAT"]]
    rows += [
        [x.severity.value, x.id, x.where or "-", " ".join(x.what.split())]
        for x in sorted(findings, key=lambda x: ("error", "warning", "ok").index(x.severity))
    ]
    print_table(rows)
    typer.echo("")
    for finding in findings:
        if not finding.why:
            continue
        typer.echo(f"{finding.id}: {finding.what}")
        typer.echo(f"  {finding.why}")
        if finding.mend:
            typer.echo(f"  {_fix_heading(finding.where)}")
            for line in finding.mend:
                typer.echo(f"      {line}".rstrip())
        typer.echo("")


def _fix_heading(where: str) -> str:
    if not where:
        return "To fix it:"
    if where == "the settings":
        return "In the settings:"
    from asterisk_avp.install.checks.running import RUNNING  # noqa: PLC0415
    from asterisk_avp.install.running.overlay import TABLE  # noqa: PLC0415
    from asterisk_avp.install.running.state import SAID_BY_ASTERISK  # noqa: PLC0415

    if where.startswith(RUNNING):
        return f"At the source of this line ({where}):"
    if where.endswith("]") or where.startswith((TABLE, SAID_BY_ASTERISK)):
        return f"In {where}:"
    return f"{'In place of' if ':' in where else 'At the end of'} {where}:"
