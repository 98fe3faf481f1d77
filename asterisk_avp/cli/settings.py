"""`asterisk-avp settings`: the effective settings, and the variable or file that set each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asterisk_avp.cli.output import Json, load_settings, print_json, print_table
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.features import DEFAULT, SETTINGS, SWITCHES, Features

if TYPE_CHECKING:
    from asterisk_avp.config.settings import Settings

Setting = Mapping[str, Any]
"""``value`` and ``origin``."""
Sections = dict[str, dict[str, dict[str, Setting]]]
"""Keys: ``groups``, ``agents`` or ``presets``; the id; the name of the setting."""


def show_settings(
    check: Annotated[
        bool,
        typer.Option("--check", help="Only check whether the daemon could start with them."),
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="List all settings with their meaning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the settings of each group, agent and preset, with the origin of each value."""
    # Imported here because the other commands do not need the settings.
    from asterisk_avp.config.settings import Settings  # noqa: PLC0415

    if reference:
        _show_reference(as_json=as_json)
        return
    if check:
        try:
            Settings.load(whole=True)
        except ConfigError as error:
            if not as_json:
                raise
            problems = [line.strip() for line in str(error).splitlines()[1:]]
            print_json({"ok": False, "problems": problems})
            raise typer.Exit(1) from None
        if as_json:
            print_json({"ok": True, "problems": []})
        else:
            typer.echo("the settings are valid")
        return
    sections = effective(load_settings(connect=False))
    if as_json:
        print_json(sections)
        return
    for title, kind in (("group", "groups"), ("agent", "agents"), ("preset", "presets")):
        for identifier, found in sections[kind].items():
            typer.echo(f"{title} {identifier}")
            rows = [["  SETTING", "VALUE", "ORIGIN"]]
            rows += [["  " + name, _shown(x["value"]), x["origin"]] for name, x in found.items()]
            print_table(rows)
            typer.echo("")


def _show_reference(*, as_json: bool) -> None:
    from asterisk_avp.config.reference import settings  # noqa: PLC0415

    known = list(settings())
    if as_json:
        print_json([asdict(setting) for setting in known])
        return
    for setting in known:
        typer.echo(f"{setting.name} (default: {setting.default.strip('`')})")
        typer.echo(f"    {setting.meaning}")


def effective(settings: Settings) -> Sections:
    """Every effective value with its origin. A secret is shown only as set or not."""
    world = settings.world()
    groups: dict[str, dict[str, Setting]] = {}
    for group in world.groups.values():
        own: dict[str, Any] = {"queue": group.queue, "name": group.name}
        own["account"] = group.account
        own |= {"extension": group.extension, "pop_url": group.pop_url}
        own |= {"shared_with": list(group.shared_with)}
        found = {
            name: _setting(value, settings.origin(("groups", group.id, name)))
            for name, value in {**own, "acw_seconds": group.acw_seconds}.items()
        }
        for name in SETTINGS:
            found[name] = _feature(group.features, name)
        groups[group.id] = found
    agents: dict[str, dict[str, Setting]] = {}
    for agent in world.agents.values():
        known = settings.agents[agent.id]
        pin_field = "pin" if known.pin is not None else "pin_hash"
        pin = getattr(known, pin_field) is not None
        values = {
            "name": agent.name or agent.id,
            "pin": "set" if pin else None,
            "interface": agent.interface,
            "groups": list(agent.groups),
        }
        found = {
            name: _setting(
                value, settings.origin(("agents", agent.id, pin_field if name == "pin" else name))
            )
            for name, value in values.items()
        }
        country, origin = agent.country, settings.origin(("agents", agent.id, "country"))
        first = next((group for group in world.groups if group in agent.groups), None)
        if country is None and first is not None:
            features = world.groups[first].features
            country, origin = features.country, features.origins["country"]
        found["country"] = _setting(country, origin)
        agents[agent.id] = found
    presets = {
        preset.id: {
            name: _setting(getattr(preset, name), settings.origin(("presets", preset.id, name)))
            for name in ("name", "number", "group", "shared_with")
        }
        for preset in world.presets.values()
    }
    return {"groups": groups, "agents": agents, "presets": presets}


def _feature(features: Features, name: str) -> Setting:
    """A setting of a group. If a setting above it disables it, it is off, with that origin."""
    value, origin = getattr(features, name), features.origins[name]
    if name in SWITCHES and value and not features.allows(name):
        above = ("contracted", "session_transfer", "external_transfer")
        value = False
        origin = next(features.origins[x] for x in above if not getattr(features, x))
    return _setting(value, origin)


def _setting(value: Any, origin: str) -> Setting:
    value = list(value) if isinstance(value, tuple) else value
    return {"value": value, "origin": origin if value is not None else DEFAULT}


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value)
    return str(value)
