"""Collect what `asterisk-avp render all` needs, and render the files."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.world import World, agent_id_of_interface
from asterisk_avp.core.pbx.versions import can_guard
from asterisk_avp.install import files as to
from asterisk_avp.install import given_settings, known, nodes, proposals, realtime
from asterisk_avp.install.additions import DATABASE, Addition, additions, switches
from asterisk_avp.install.asterisk_conf import Conf, Member, Section, is_true, members
from asterisk_avp.install.checks.agents import agents as phones
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.mend import addition
from asterisk_avp.install.checks.model import Facts
from asterisk_avp.install.checks.pjsip import (
    NO_CONTROL_CHARACTERS,
    NO_REPLACES,
    order_lines,
)
from asterisk_avp.install.checks.queues import MONITOR_RECORDS, recorded_by_monitor
from asterisk_avp.install.checks.refer import GUARD, unguarded
from asterisk_avp.install.dialplan_files import dialplan_files
from asterisk_avp.install.group_proposals import KnownQueue, left_out, proposed_groups
from asterisk_avp.install.instructions import notes
from asterisk_avp.install.layout import Layout
from asterisk_avp.install.pbx_dialplan import NAME as PBX_DIALPLAN
from asterisk_avp.install.pbx_dialplan import ROUTES, override, pbx_dialplan
from asterisk_avp.install.personal_queues import (
    agents_to_render,
    at_home,
    colleagues,
    render_extensions,
    render_queues,
)
from asterisk_avp.install.running.ask import AmiAccess, Wanted, wanted_of
from asterisk_avp.install.running.overlay import TABLE, WIZARD, pjsip_of
from asterisk_avp.install.running.state import SAID_BY_ASTERISK, RunningPbx
from asterisk_avp.install.systemd_unit import DIRECTORY, render_unit

Ask = Callable[[AmiAccess | None, Wanted], RunningPbx | None]

_PROGRAM = "asterisk-avp"


class Renderer:
    def __init__(
        self,
        files: Mapping[str, Conf],
        output: Path,
        config_dir: Path,
        command: str,
        source: str,
        layout: Layout,
        sources: Mapping[str, Conf],
    ) -> None:
        """``sources``: files that say where else queues and endpoints are (`overlay.SOURCES`)."""
        self._with_ours = files
        self._files = {name: to.without_ours(conf) for name, conf in files.items()}
        self._output = output.absolute()
        self._config_dir = config_dir.absolute()
        self._command = command
        self._source = source
        self._layout = layout
        self._sources = sources
        self._pbx: RunningPbx | None = None
        self._remarks: list[str] = []
        self.ignored: list[str] = []
        """Settings files that are ignored: a sentence with the reason for each."""

    def texts(
        self, by_hand: list[str], user: str | None, asterisk: str, ask: Ask | None = None
    ) -> dict[str, str]:
        """The text of each file of the folder. Raises `CannotRender`.

        ``ask``: asks the running Asterisk, as the user in these settings if there is one; None: it
        is not asked.
        """
        self._remark_faults()
        written = given_settings.written_environment(self._output)
        variables = given_settings.in_effect(written, self.ignored)
        settings = given_settings.load(variables)
        if ask is not None:
            wanted = wanted_of(self._with_ours["pjsip.conf"], by_hand)
            self._pbx = ask(given_settings.ami_access(settings), wanted)
            self._files["queues.conf"] = known.with_queues(self._files["queues.conf"], self._pbx)
        variables = self._with_groups(variables, settings)
        settings = given_settings.load(variables)
        generated = {**self._addresses(settings), **given_settings.generated(settings)}
        if written is None and ipaddress.ip_address(self._source).is_loopback:
            free, why = given_settings.free_values(settings, self._files["features.conf"])
            generated |= free
            self._remarks += why
        generated |= self._people(settings.world(), by_hand)
        settings = given_settings.load({**variables, **generated})
        world = settings.world()
        command = self._command
        agents = agents_to_render(world, by_hand, members(self._files["queues.conf"]))
        if not agents:
            self._remarks.append(
                "No agent is known, because no queue has members. Render again with one --agent for"
                " each agent: an agent needs a personal queue to receive transferred calls."
            )
        extensions, not_dialled = render_extensions(agents, command=command)
        self._remarks += not_dialled
        facts = Facts({**self._files}, world=world)
        pjsip = self._files["pjsip.conf"]
        there = endpoints(pjsip)
        of_agent = known.phones(self._pbx, agents, world)
        led = {name for names in of_agent.values() for name in names}
        names = dict.fromkeys(x for x in (*phones(facts), *by_hand, *sorted(led)) if x in there)
        elsewhere = {*phones(facts), *by_hand, *led} - there.keys()
        loaded = (self._pbx.endpoints or {}).keys() if self._pbx is not None else set()
        self._remark_missing({*phones(facts)} - there.keys() - loaded, of_agent, world)
        version = asterisk or (self._pbx.version if self._pbx is not None else "")
        current = can_guard(version or "22.10.1")
        self._remarks += [
            f"queues.conf: {section.name} records by Monitor, the default of Asterisk 20."
            f" {MONITOR_RECORDS} Add monitor-type = MixMonitor to [{section.name}]."
            for section in recorded_by_monitor(self._files["queues.conf"], version)
        ]
        given = self._connections(settings)
        features = to.global_features(self._files["extensions.conf"])
        todo = self._elsewhere(
            elsewhere, lambda endpoint: to.agent_lines(endpoint, features, current=current)
        )
        outside, _ = unguarded(Facts({**self._with_ours}, world=world), [*by_hand, *names])
        guards = [line for endpoint, _ in outside for line in self._guard(endpoint)]
        pair = colleagues(agents)
        texts = {
            "asterisk_avp.conf": "\n".join(
                file.read_text(encoding="utf-8") for file in dialplan_files()
            ),
            "avp_extensions.conf": extensions,
            "avp_queues.conf": render_queues(
                at_home(agents, world),
                world.groups,
                ring_seconds=settings.session.ring_seconds,
                command=command,
            ),
            "avp_features.conf": to.features_conf(
                self._files["features.conf"], settings.keys.transfer, command
            ),
            "avp_manager.conf": to.manager_conf(given, command),
            "avp_ari.conf": to.ari_conf(given, command),
            "avp_pjsip.conf": to.pjsip_conf(
                {name: there[name] for name in names},
                order_lines(pjsip, ("header", "request_uri") if current else ("header",)),
                (*NO_REPLACES, *(("", *NO_CONTROL_CHARACTERS) if current else ())),
                current=current,
                command=command,
                features=features,
            ),
            to.ENVIRONMENT: to.environment(written, variables, generated, pair[0]),
            to.UNIT: render_unit(
                Path(sys.executable).with_name(_PROGRAM),
                drain_seconds=settings.session.drain_seconds,
                user=user,
                command=command,
            ),
        }
        texts |= nodes.texts(settings, command, self._remarks)
        overriding: tuple[str, ...] = ()
        if not self._layout.own:
            texts[PBX_DIALPLAN], overriding = self._beside_the_pbx()
        texts[to.NOTES] = notes(
            self._output,
            self._config_dir,
            [
                *additions(
                    *(self._with_ours, given, guards, self._layout, overriding, version),
                    nodes=bool(world.node),
                ),
                *todo,
            ],
            self._remarks,
            DIRECTORY,
            trunk=proposals.trunk(pjsip, names),
            pair=pair,
            layout=self._layout,
            switches=switches(self._with_ours, self._layout, asterisk),
            routes=ROUTES in texts.get(PBX_DIALPLAN, ""),
            node=world.node,
        )
        return texts

    def _remark_missing(
        self, unknown: Iterable[str], of_agent: Mapping[str, Collection[str]], world: World
    ) -> None:
        missing = sorted(name for name in unknown if not of_agent.get(name))
        if missing and not world.node:  # else the phone may be registered at another node
            self._remarks.append(
                f"No endpoint is known for {', '.join(missing)}. Give these endpoints the lines"
                " that avp_pjsip.conf has for the others."
            )

    def _beside_the_pbx(self) -> tuple[str, tuple[str, ...]]:
        """The text of avp_pbx.conf, and the lines that the file of overrides lacks."""
        extensions = self._with_ours["extensions.conf"]
        lines, trouble = override(extensions)
        if trouble:
            self._remarks.append(trouble)
        if lines and not self._layout.override:
            self._remarks.append(
                f"extensions.conf includes no file for overrides. Replace the first line of"
                f" [{lines[0].strip('[]')}] by: {'; '.join(lines[1:])}"
            )
            lines = ()
        return pbx_dialplan(extensions, self._layout.kind.product, self._command), lines

    def _guard(self, endpoint: Section) -> tuple[str, ...]:
        """The lines that refuse a REFER from this trunk or caller."""
        if self._layout.own:
            return addition(endpoint, GUARD)
        return (*to.added_to(endpoint.name), GUARD)

    def _remark_faults(self) -> None:
        for name, conf in self._with_ours.items():
            if not conf.found:
                self._remarks.append(f"{self._config_dir} has no {name}.")
            self._remarks += [f"{fault.where}: {fault.what}." for fault in conf.faults]

    def _addresses(self, settings: Settings) -> dict[str, str]:
        """The addresses of ARI and AMI, if they are not set and the daemon is on this machine."""
        if not ipaddress.ip_address(self._source).is_loopback:
            return {}
        return given_settings.addresses(
            settings, self._files["http.conf"], self._files["manager.conf"]
        )

    def _with_groups(self, variables: Mapping[str, str], settings: Settings) -> dict[str, str]:
        """``variables``, and if they have no group, those that make every queue one."""
        queues = self._files["queues.conf"]
        proposed = proposed_groups(
            map(_known, proposals.queues(queues)),
            dialled=[m for static in members(queues).values() for m in map(_id, static) if m],
        )
        if settings.groups:
            grouped = {group.queue for group in settings.world().groups.values()}
            self._remarks += left_out(proposed, grouped)
            return dict(variables)
        self._remarks += proposed.remarks
        if proposed.settings:
            self._remarks.append(
                "No groups were set, so every queue became an agent group. In the file"
                " `environment`, delete the entries that are not agent groups."
            )
        return {**variables, **proposed.settings}

    def _people(self, world: World, by_hand: Collection[str]) -> dict[str, str]:
        """Settings for agents whom only Asterisk names."""
        if self._pbx is None:
            return {}
        static = agents_to_render(world, by_hand, members(self._files["queues.conf"]))
        found = known.people(self._pbx, static.keys(), world)
        variables, unfit = known.settings_of(found)
        if variables:
            self._remarks.append(
                "Asterisk, but no file, names these agents, who are in the file `environment` now:"
                f" {', '.join(x for x in found if x not in unfit)}. Delete those who are none."
            )
        if unfit:
            self._remarks.append(
                f"These agents need one --agent each: {', '.join(unfit)}. No variable's name can"
                " contain their ids."
            )
        return variables

    def _elsewhere(self, names: Iterable[str], lines: _Wanted) -> list[Addition]:
        """What phones need whose endpoints are in pjsip_wizard.conf or in a database."""
        if self._pbx is None:
            return []
        loaded = endpoints(pjsip_of({**self._with_ours, **self._sources}, self._pbx))
        wizard: list[str] = []
        rows: dict[str, list[str]] = {}
        for name in sorted(names & loaded.keys()):
            missing = [line for line in lines(loaded[name]) if not _has(loaded[name], line)]
            if not missing:
                continue
            if loaded[name].place.file == WIZARD:
                wizard += [f"[{name}](+)", *(f"endpoint/{line}" for line in missing)]
            elif loaded[name].place.file.startswith(TABLE):
                rows[name] = missing
            else:
                self._remarks.append(f"Give the endpoint {name} these lines: {'; '.join(missing)}.")
        found = [Addition(WIZARD, tuple(wizard))] if wizard else []
        sources = self._sources
        where = realtime.endpoint_family(sources["sorcery.conf"], sources["extconfig.conf"])
        if rows and where is not None:
            sql = realtime.endpoint_sql(rows, where)
            self._remarks += sql.remarks
            found.append(Addition(f"{DATABASE}{where.table}", sql.statements))
        needed = realtime.ignored_in_pjsip_conf(sources["sorcery.conf"])
        return [*found, *([Addition("sorcery.conf", needed)] if needed else [])]

    def _connections(self, settings: Settings) -> to.Connections:
        for name, value in (
            ("AVP_AMI__USERNAME", settings.ami.username),
            ("AVP_ARI__USERNAME", settings.ari.username),
        ):
            if re.fullmatch(r"[A-Za-z0-9._-]{1,40}", value) is None:
                raise to.CannotRender(
                    f"{name}: {value!r} cannot be a section name; use letters, digits, '.', '_'"
                    " and '-'"
                )
        host = settings.agi.host
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not listened on
            host = self._source
        return to.Connections(
            settings.ami.username,
            settings.ami.secret.get_secret_value(),
            settings.ari.username,
            settings.ari.password.get_secret_value(),
            (host, settings.agi.port),
            self._source,
        )


_Wanted = Callable[[Section], list[str]]


def _has(endpoint: Section, line: str) -> bool:
    name, _, value = (part.strip() for part in line.partition("="))
    if name in ("allow_transfer", "allow_overlap"):
        return not is_true(endpoint.last(name, "yes"))
    return value in endpoint.all(name)


def _known(section: Section) -> KnownQueue:
    wrapup = section.last("wrapuptime", "0")
    seconds = int(wrapup) if wrapup.isdecimal() else 0
    return KnownQueue(section.name, None if section.place.file == SAID_BY_ASTERISK else seconds)


def _id(member: Member) -> str | None:
    return agent_id_of_interface(member.interface)
