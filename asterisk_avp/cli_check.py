"""`asterisk-avp check`: is this Asterisk set up so that the transfer rules hold?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asterisk_avp.cli_output import Json, print_json, print_table
from asterisk_avp.core.errors import AvpError, ConfigError

if TYPE_CHECKING:
    from asterisk_avp.checks.model import Facts, Finding
    from asterisk_avp.settings import Settings

_CONFIG_DIR = Path("/etc/asterisk")


def check(
    config_dir: Annotated[
        Path,
        typer.Option(
            help="Asterisk's configuration files.", exists=True, file_okay=False, dir_okay=True
        ),
    ] = _CONFIG_DIR,
    as_json: Json = False,
) -> None:
    """Look at Asterisk's version and configuration: exit status 0 without errors, else 1."""
    # Imported only here: the other commands do not need them.
    from asterisk_avp import checks  # noqa: PLC0415
    from asterisk_avp.checks.model import Severity  # noqa: PLC0415

    findings = checks.run(asyncio.run(collect(config_dir)))
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


async def collect(config_dir: Path) -> Facts:
    """Read the files and the settings, and ask Asterisk for its version."""
    from asterisk_avp.asterisk_conf import read  # noqa: PLC0415
    from asterisk_avp.checks.model import FILES, Facts  # noqa: PLC0415
    from asterisk_avp.settings import Settings  # noqa: PLC0415

    files = {name: read(config_dir, name) for name in FILES}
    try:
        settings = Settings.load()
    except ConfigError as error:
        unreachable = "there are no valid settings to ask it with"
        return Facts(files, None, unreachable, settings=str(error))
    version, unreachable = await _version(settings)
    return Facts(files, version, unreachable, settings.world())


async def _version(settings: Settings) -> tuple[str | None, str]:
    """As Asterisk says it; without it why there is none."""
    from asterisk_avp.ari.resources import AsteriskInfo  # noqa: PLC0415
    from asterisk_avp.ari.rest import AriRest  # noqa: PLC0415

    ari = settings.ari
    rest = AriRest(
        ari.url,
        ari.username,
        ari.password.get_secret_value(),
        timeout_seconds=ari.request_timeout_seconds,
    )
    try:
        return await AsteriskInfo(rest).version(), ""
    except AvpError as error:
        return None, str(error)
    finally:
        await rest.close()


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
            how = "In place of" if ":" in finding.where else "At the end of"
            typer.echo(f"  {how} {finding.where}:")
            for line in finding.mend:
                typer.echo(f"      {line}".rstrip())
        typer.echo("")
