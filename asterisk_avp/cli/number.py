"""`asterisk-avp number`: may this number be called? Asks a daemon, or applies the rules alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import typer

from asterisk_avp.cli.calls import Token, Url
from asterisk_avp.cli.client import OWN_URL, Client, CommandFailed
from asterisk_avp.cli.output import Json, print_json
from asterisk_avp.core import numbers

_USUAL: Final = ",".join(numbers.USUAL_LANDLINES)

Check = Callable[[str, str], Mapping[str, Any]]
"""Maps an agent and a number to the API's answer. Raises `CommandFailed`."""


def number(
    typed: Annotated[
        str,
        typer.Argument(
            metavar="NUMBER",
            help="The number as an agent would type it. -: read JSON lines from standard input,"
            ' {"agent": …, "number": …}, and answer each with one JSON line.',
        ),
    ],
    agent: Annotated[str | None, typer.Option(help="The agent who would call it.")] = None,
    country: Annotated[
        str | None, typer.Option(help="Without a daemon: the agent's country, e.g. US.")
    ] = None,
    client_country: Annotated[
        str | None, typer.Option(help="The client's country; default: the agent's.")
    ] = None,
    toll_free: Annotated[
        bool, typer.Option("--toll-free", help="The client has toll-free service.")
    ] = False,
    toll: Annotated[bool, typer.Option("--toll", help="The client has toll service.")] = False,
    strict_landline: Annotated[
        bool, typer.Option("--strict-landline", help="Refuse numbers that may be mobile numbers.")
    ] = False,
    landline_types: Annotated[
        str,
        typer.Option(
            help="The types that count as land lines, separated by commas:"
            f" {', '.join(numbers.LANDLINE_TYPES)}. [default: {_USUAL}]",
            show_default=False,
        ),
    ] = "",
    domestic_territories: Annotated[
        str, typer.Option(help="Territories that count as their country, e.g. PR,VI.")
    ] = "",
    url: Url = OWN_URL,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Check whether a number may be called. Exit status: 0 if so, else 1."""
    check: Check
    rules = {
        "--client-country": client_country,
        "--toll-free": toll_free,
        "--toll": toll,
        "--strict-landline": strict_landline,
        "--landline-types": landline_types,
        "--domestic-territories": domestic_territories,
    }
    if country is not None:
        check = _offline(
            country,
            client_country,
            toll_free_service=toll_free,
            toll_service=toll,
            strict_landline=strict_landline,
            landline_types=_listed(
                "--landline-types", landline_types.lower() or _USUAL, numbers.LANDLINE_TYPES
            ),
            domestic_territories=_listed(
                "--domestic-territories", domestic_territories.upper(), numbers.TERRITORIES
            ),
        )
    elif any(rules.values()):
        raise typer.BadParameter(", ".join(rules) + " need --country")
    else:
        check = Client(url, token).check_number
    if typed == "-":
        lines = typer.get_binary_stream("stdin")
        allowed = _answer_lines(lines, check, agent, agent_needed=country is None)
    elif agent is None and country is None:
        raise typer.BadParameter("use --agent, or --country to check without a daemon")
    else:
        allowed = _answer(check(agent or "", typed), as_json=as_json)
    if not allowed:
        raise typer.Exit(1)


def _offline(
    country: str,
    client_country: str | None,
    **rules: Any,
) -> Check:
    for value, option in ((country, "--country"), (client_country, "--client-country")):
        if value is not None and value.upper() not in numbers.COUNTRIES:
            raise typer.BadParameter(
                f"{value!r} is not a country code such as GB", param_hint=option
            )

    # Imported only here: the models take longer to load than the rest of the command line.
    from asterisk_avp.api.number_schemas import number_check_out  # noqa: PLC0415

    def check(_agent: str, typed: str) -> Mapping[str, Any]:
        checked = numbers.check(
            typed,
            agent_country=country,
            client_country=client_country or country,
            **rules,
        )
        return number_check_out(checked).model_dump()

    return check


def _listed(option: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    values = tuple(part.strip() for part in text.split(",") if part.strip())
    for value in values:
        if value not in known:
            raise typer.BadParameter(f"{value!r} is not of {', '.join(known)}", param_hint=option)
    return values


def _answer(answer: Mapping[str, Any], *, as_json: bool) -> bool:
    if as_json:
        print_json(answer)
    elif answer["allowed"]:
        typer.echo(f"allowed: {answer['e164']} ({answer['region']}, {answer['line_type']})")
    else:
        typer.echo(f"refused ({answer['reason']}): {answer['message']}")
    return bool(answer["allowed"])


def _answer_lines(
    lines: Iterable[bytes], check: Check, agent: str | None, *, agent_needed: bool
) -> bool:
    """Print one answer per line, in order. Returns whether all were allowed. Skips empty lines."""
    all_allowed = True
    for line in lines:
        if not line.strip():
            continue
        try:
            answer = check(*_parse_line(line, agent, agent_needed=agent_needed))
        except _Malformed as error:
            answer = {"error": "malformed", "message": str(error)}
        except CommandFailed as failed:
            # The answer concerns this line only; other errors concern every line.
            if failed.answer is None or failed.answer.get("error") == "unauthorized":
                raise
            answer = failed.answer
        all_allowed = all_allowed and answer.get("allowed") is True
        typer.echo(json.dumps(answer, ensure_ascii=False))
    return all_allowed


class _Malformed(Exception):
    pass


def _parse_line(line: bytes, agent: str | None, *, agent_needed: bool) -> tuple[str, str]:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _Malformed("the line is not JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("number"), str):
        raise _Malformed('the line is not an object such as {"agent": "1001", "number": "…"}')
    who = value.get("agent", agent)
    if who is None and not agent_needed:
        who = ""
    if not isinstance(who, str):
        raise _Malformed('"agent" is missing or not a string')
    return who, value["number"]
