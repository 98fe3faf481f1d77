"""The commands that use a running daemon: agents, targets, transfers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from asterisk_avp.cli.client import OWN_URL, USUAL_URL, Client
from asterisk_avp.cli.output import Json, print_json, print_table
from asterisk_avp.core.model.world import Mode

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="AVP_URL",
        help="The URL of the daemon's API.",
        show_default=f"AVP_API__HOST and __PORT, or {USUAL_URL}",
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar=["AVP_TOKEN", "AVP_API__TOKENS"],
        help="The token of an integration or agent; a variable keeps it out of the process list.",
    ),
]


def add_call_commands(app: typer.Typer) -> None:
    app.command("agents")(agents)
    app.command("targets")(targets)
    app.command("transfer")(transfer)
    app.command("complete")(complete)
    app.command("cancel")(cancel)


def agents(url: Url = OWN_URL, token: Token = "", as_json: Json = False) -> None:
    """List the agents and their states."""
    found = Client(url, token).agents()
    if as_json:
        print_json(found)
        return
    rows = [["ID", "NAME", "STATE", "SINCE", "GROUPS", "WAITING"]]
    rows += [
        [
            agent["id"],
            agent["name"],
            agent["state"],
            agent["since"] or "-",
            ",".join(agent["groups"]) or "-",
            "1 transfer" if agent["waiting_transfer"] else "-",
        ]
        for agent in found
    ]
    print_table(rows)


def _who_is_there(group: dict[str, Any]) -> str:
    """How many can take a call now, or why nobody could ever."""
    if group["ready"]:
        return f"{group['available']} available"
    return "everybody on a break" if group["logged_in"] else "nobody logged in"


def targets(
    agent: Annotated[str, typer.Argument(help="The agent who has the call.")],
    url: Url = OWN_URL,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List the targets to which an agent can transfer a call."""
    found = Client(url, token).targets(agent)
    if as_json:
        print_json(found)
        return
    for title, groups in (
        ("My agent groups", found["my_agent_groups"]),
        ("Agent groups", found["agent_groups"]),
    ):
        if not groups:
            continue
        typer.echo(title)
        for group in groups:
            typer.echo(f"  {group['id']} {group['name']} ({_who_is_there(group)})")
            for member in group["agents"]:
                waiting = ", a transfer waits" if member["waiting_transfer"] else ""
                typer.echo(f"    {member['id']} {member['name']}: {member['state']}{waiting}")
    if found["external_presets"]:
        typer.echo("External presets")
        for preset in found["external_presets"]:
            typer.echo("  " + " ".join(preset.values()))


def transfer(
    agent: Annotated[str, typer.Argument(help="The agent who has the call.")],
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Speak to the target first.")
    ] = False,
    unsupervised: Annotated[
        bool, typer.Option("--unsupervised", help="Transfer the call immediately.")
    ] = False,
    to_agent: Annotated[str | None, typer.Option(help="An agent's id.")] = None,
    to_group: Annotated[str | None, typer.Option(help="A group's id.")] = None,
    to_preset: Annotated[str | None, typer.Option(help="An external preset's id.")] = None,
    to_number: Annotated[str | None, typer.Option(help="An external number.")] = None,
    notes: Annotated[str, typer.Option(help="A note for the target.")] = "",
    call: Annotated[
        str | None, typer.Option(help="The id of the call; default: the one not on hold.")
    ] = None,
    url: Url = OWN_URL,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Transfer an agent's call."""
    if supervised == unsupervised:
        raise typer.BadParameter("use either --supervised or --unsupervised")
    given = [
        {"kind": kind, field: value}
        for kind, field, value in (
            ("agent", "id", to_agent),
            ("group", "id", to_group),
            ("preset", "id", to_preset),
            ("number", "number", to_number),
        )
        if value is not None
    ]
    if len(given) != 1:
        raise typer.BadParameter(
            "use exactly one of --to-agent, --to-group, --to-preset and --to-number"
        )
    body: dict[str, Any] = {
        "mode": (Mode.SUPERVISED if supervised else Mode.UNSUPERVISED).value,
        "target": given[0],
    }
    if notes:
        body["notes"] = notes
    if call is not None:
        body["call"] = call
    _print_transfer(Client(url, token).transfer(agent, body), as_json=as_json)


def complete(
    transfer_id: Annotated[str, typer.Argument(metavar="ID", help="The transfer.")],
    url: Url = OWN_URL,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Connect the caller to the target and release the transferor."""
    _print_transfer(Client(url, token).complete(transfer_id), as_json=as_json)


def cancel(
    transfer_id: Annotated[str, typer.Argument(metavar="ID", help="The transfer.")],
    url: Url = OWN_URL,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Return the transferor to the caller."""
    _print_transfer(Client(url, token).cancel(transfer_id), as_json=as_json)


def target_text(target: dict[str, Any] | None) -> str:
    """The target of a transfer, in a few words."""
    if target is None:
        return "a target (being dialled)"
    return f"{target['kind']} {target.get('id', target.get('number'))}"


def caller_text(of: Mapping[str, Any]) -> str:
    """The caller of a call or a transfer."""
    # A daemon of an earlier version does not tell it.
    return str(of["caller"] or ("withheld" if of.get("caller_withheld") else ""))


def transfer_line(transfer: dict[str, Any]) -> str:
    """A transfer in one line."""
    ended = f" ({transfer['ended_reason']})" if transfer["ended_reason"] else ""
    return (
        f"{transfer['since']} transfer {transfer['id']}: {transfer['state']}{ended},"
        f" {transfer['mode']} by {transfer['agent']}"
        f" to {target_text(transfer['target'])},"
        f" caller {caller_text(transfer)}"
    )


def _print_transfer(transfer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(transfer)
    else:
        typer.echo(transfer_line(transfer))
