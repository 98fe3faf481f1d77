"""Collect what `asterisk-avp render all` needs, and render the files."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from asterisk_avp.config.file_trust import Untrusted, Unusable, read_trusted
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sources import (
    CONFIG_VARIABLE,
    PREFIX,
    is_setting,
    parse_dotenv,
    read_dotenv,
)
from asterisk_avp.core.model.features import DEFAULT
from asterisk_avp.core.pbx.versions import can_guard
from asterisk_avp.install import files as to
from asterisk_avp.install import proposals
from asterisk_avp.install.additions import additions, switches
from asterisk_avp.install.asterisk_conf import Conf, Section, members
from asterisk_avp.install.checks.agents import agents as phones
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.model import Facts
from asterisk_avp.install.checks.pjsip import (
    NO_CONTROL_CHARACTERS,
    NO_REPLACES,
    addition,
    order_lines,
)
from asterisk_avp.install.checks.queues import MONITOR_RECORDS, recorded_by_monitor
from asterisk_avp.install.checks.refer import GUARD, unguarded
from asterisk_avp.install.dialplan_files import dialplan_files
from asterisk_avp.install.instructions import notes
from asterisk_avp.install.layout import Layout
from asterisk_avp.install.pbx_dialplan import NAME as PBX_DIALPLAN
from asterisk_avp.install.pbx_dialplan import ROUTES, override, pbx_dialplan
from asterisk_avp.install.personal_queues import agents_to_render, render_extensions, render_queues
from asterisk_avp.install.systemd_unit import DIRECTORY, render_unit

_PROGRAM = "asterisk-avp"
_SECRET_BYTES = 24
_MOST_BYTES = 4 * 1024 * 1024


class Renderer:
    def __init__(
        self,
        files: Mapping[str, Conf],
        output: Path,
        config_dir: Path,
        command: str,
        source: str,
        layout: Layout,
    ) -> None:
        self._with_ours = files
        self._files = {name: to.without_ours(conf) for name, conf in files.items()}
        self._output = output.absolute()
        self._config_dir = config_dir.absolute()
        self._command = command
        self._source = source
        self._layout = layout
        self._remarks: list[str] = []
        self.ignored: list[str] = []
        """Settings files that are ignored: a sentence with the reason for each."""

    def texts(self, by_hand: list[str], user: str | None, asterisk: str) -> dict[str, str]:
        """The text of each file of the folder. Raises `CannotRender`."""
        self._remark_faults()
        written = self._written_environment()
        variables = self._variables(written)
        settings = _load(variables)
        generated = {**self._addresses(settings), **_generated(settings)}
        settings = _load({**variables, **generated})
        world = settings.world()
        command = self._command
        agents = agents_to_render(world, by_hand, members(self._files["queues.conf"]))
        if not agents:
            self._remarks.append(
                "No agent is known, because no queue in queues.conf has members. Render again with"
                " one --agent for each agent: an agent needs a personal queue to receive"
                " transferred calls."
            )
        extensions, not_dialled = render_extensions(agents, command=command)
        self._remarks += not_dialled
        facts = Facts({**self._files}, world=world)
        pjsip = self._files["pjsip.conf"]
        known = endpoints(pjsip)
        names = dict.fromkeys(name for name in (*phones(facts), *by_hand) if name in known)
        missing = sorted(set(phones(facts)) - known.keys())
        if missing:
            self._remarks.append(
                f"pjsip.conf has no endpoint for {', '.join(missing)}. Give these endpoints the"
                " lines that avp_pjsip.conf has for the others."
            )
        current = can_guard(asterisk or "22.10.1")
        self._remarks += [
            f"queues.conf: {section.name} records by Monitor, the default of Asterisk 20."
            f" {MONITOR_RECORDS} Add monitor-type = MixMonitor to [{section.name}]."
            for section in recorded_by_monitor(self._files["queues.conf"], asterisk)
        ]
        given = self._connections(settings)
        outside, _ = unguarded(Facts({**self._with_ours}, world=world), by_hand)
        guards = [line for endpoint, _ in outside for line in self._guard(endpoint)]
        pair = _colleagues(agents)
        texts = {
            "asterisk_avp.conf": "\n".join(
                file.read_text(encoding="utf-8") for file in dialplan_files()
            ),
            "avp_extensions.conf": extensions,
            "avp_queues.conf": render_queues(
                agents,
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
                {name: known[name] for name in names},
                order_lines(pjsip, ("header", "request_uri") if current else ("header",)),
                (*NO_REPLACES, *(("", *NO_CONTROL_CHARACTERS) if current else ())),
                current=current,
                command=command,
                features=to.global_features(self._files["extensions.conf"]),
            ),
            to.ENVIRONMENT: to.environment(written, variables, generated, pair[0]),
            to.UNIT: render_unit(
                Path(sys.executable).with_name(_PROGRAM),
                drain_seconds=settings.session.drain_seconds,
                user=user,
                command=command,
            ),
        }
        overriding: tuple[str, ...] = ()
        if not self._layout.own:
            texts[PBX_DIALPLAN], overriding = self._beside_the_pbx()
        texts[to.NOTES] = notes(
            self._output,
            self._config_dir,
            additions(self._with_ours, given, guards, self._layout, overriding, asterisk),
            self._remarks,
            DIRECTORY,
            trunk=proposals.trunk(pjsip, names),
            pair=pair,
            layout=self._layout,
            switches=switches(self._with_ours, self._layout, asterisk),
            routes=ROUTES in texts.get(PBX_DIALPLAN, ""),
        )
        return texts

    def _beside_the_pbx(self) -> tuple[str, tuple[str, ...]]:
        """The text of avp_pbx.conf, and the lines that the file of overrides lacks."""
        extensions = self._with_ours["extensions.conf"]
        lines, trouble = override(extensions, self._layout.override)
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

    def _written_environment(self) -> str | None:
        """The existing environment file, passwords included, if no other user can have written it.

        Raises `CannotRender` if it is not trusted or not readable.
        """
        file = self._output / to.ENVIRONMENT
        try:
            return read_trusted(file, _MOST_BYTES).decode("utf-8")
        except FileNotFoundError:
            return None
        except Untrusted as error:
            raise to.CannotRender(f"{file} is not trusted, because {error}") from None
        except (Unusable, UnicodeDecodeError) as error:
            raise to.CannotRender(f"{file}: {error}") from None

    def _variables(self, written: str | None) -> dict[str, str]:
        """What is set: in the folder's file, in .env, and in the environment, which wins."""
        found = {**_ours(parse_dotenv(written or "")), **self._of_dotenv(), **_of_environment()}
        if found.get(CONFIG_VARIABLE):
            found[CONFIG_VARIABLE] = str(Path(found[CONFIG_VARIABLE]).absolute())
        if not _load(found).groups:
            queues = self._files["queues.conf"]
            groups = proposals.groups(queues)
            self._remarks += [
                f"The queue {name!r} cannot be an agent group: a name may have letters, digits,"
                " '.', '_' and '-', and must begin with a letter or a digit."
                for name in proposals.unfit(queues)
            ]
            if groups:
                self._remarks.append(
                    "No groups were set, so every queue of queues.conf became an agent group."
                    " In the file `environment`, delete the entries that are not agent groups."
                )
            found |= groups
        return found

    def _of_dotenv(self) -> dict[str, str]:
        problems: list[str] = []
        found = _ours(read_dotenv(Path.cwd() / ".env", problems, self.ignored))
        if problems:
            raise to.CannotRender("; ".join(problems))
        return found

    def _addresses(self, settings: Settings) -> dict[str, str]:
        """The addresses of ARI and AMI, if they are not set and the daemon is on this machine."""
        if not ipaddress.ip_address(self._source).is_loopback:
            return {}
        proposed = proposals.addresses(self._files["http.conf"], self._files["manager.conf"])
        paths = {"AVP_ARI__URL": ("ari", "url"), "AVP_AMI__HOST": ("ami", "host")}
        paths["AVP_AMI__PORT"] = ("ami", "port")
        return {k: v for k, v in proposed.items() if settings.origin(paths[k]) == DEFAULT}

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


def _colleagues(agents: Mapping[str, frozenset[str] | None]) -> tuple[str, str]:
    """Two agents of one group, or an example if there are none."""
    for one, groups in agents.items():
        for other, theirs in agents.items():
            if one != other and (groups or frozenset()) & (theirs or frozenset()):
                return one, other
    return "1001", "1002"


def _load(variables: Mapping[str, str]) -> Settings:
    return Settings.load(variables, Path.cwd(), connect=False)


def _generated(settings: Settings) -> dict[str, str]:
    """User names and new secrets for settings that have none."""
    found: dict[str, str] = {}
    if not settings.ari.username:
        found["AVP_ARI__USERNAME"] = "avp"
    if not settings.ari.password.get_secret_value():
        found["AVP_ARI__PASSWORD"] = secrets.token_urlsafe(_SECRET_BYTES)
    if not settings.ami.username:
        found["AVP_AMI__USERNAME"] = "avp"
    if not settings.ami.secret.get_secret_value():
        found["AVP_AMI__SECRET"] = secrets.token_urlsafe(_SECRET_BYTES)
    if not settings.api.tokens:
        found["AVP_API__TOKENS"] = secrets.token_urlsafe(_SECRET_BYTES)
    return found


def _of_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if is_setting(name) and value}


def _ours(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(PREFIX)}
