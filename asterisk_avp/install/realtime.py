"""Installations whose Asterisk keeps endpoints or queues in a database: the SQL instead of lines.

Nothing here talks to a database. The statements are standard SQL that SQLite, PostgreSQL, MariaDB
and MySQL accept, for the tables and columns that Asterisk ships (contrib/ast-db-manage).
"""

# ruff: noqa: S608 - text for an administrator; nothing is executed here

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asterisk_avp.core.model.world import Group, personal_queue
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.dead_phones import HOLD_SECONDS, RTP_SECONDS
from asterisk_avp.install.personal_queues import PERSONAL_QUEUE_WEIGHT

SPLITTING: Final = frozenset({"odbc", "pgsql", "mysql"})
"""Drivers for which ``;`` separates several values of one column: res_config_odbc.c
(``realtime_odbc``, ``realtime_multi_odbc``), res_config_pgsql.c (``realtime_pgsql``) and
res_config_mysql.c split at it. res_config_sqlite3.c (``row_to_varlist``) and res_config_ldap.c give
the whole text as one value. Several rows never help: each driver takes the first only."""

_GUARD: Final = "PJSIP_TRANSFER_HANDLING()=ari-only"
_REFUSED: Final = "allow_transfer"
_VARIABLE: Final = "set_var"


@dataclass(frozen=True, slots=True)
class Family:
    """Where extconfig.conf says that a family of rows is: driver, database and table."""

    driver: str
    database: str
    table: str

    @property
    def splits(self) -> bool:
        """Whether a column can hold several values."""
        return self.driver in SPLITTING


@dataclass(frozen=True, slots=True)
class Sql:
    """Statements for the administrator's database, and what they cannot do, as sentences."""

    statements: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def families(extconfig: Conf) -> dict[str, Family]:
    """The families in [settings] of extconfig.conf; the one that is asked first of each."""
    found: dict[str, tuple[int, Family]] = {}
    for section in extconfig.named("settings"):
        for line in section.lines:
            driver, database, table, priority = _mapping(line.name, line.value)
            known = found.get(line.name)
            # main/config.c, find_engine: the lowest number counts, and 1 where there is none.
            if driver and (known is None or priority < known[0]):
                found[line.name] = (priority, Family(driver, database, table))
    return {name: family for name, (_, family) in found.items()}


def _mapping(name: str, value: str) -> tuple[str, str, str, int]:
    """``driver,database[,table[,priority]]`` (main/config.c, read_config_maps)."""
    parts = [part.strip().strip('"') for part in value.split(",")]
    driver, database, table, priority = [*parts, "", "", "", ""][:4]
    number = int(priority) if priority.isdecimal() else 1
    return driver.lower(), database, table or name, number


_FILE_SECTIONS: Final = {
    "endpoint": "res_pjsip",
    "identify": "res_pjsip_endpoint_identifier_ip",
}
"""The types of avp-no-replaces, and where sorcery.conf says where each type is."""


def endpoint_family(sorcery: Conf, extconfig: Conf) -> Family | None:
    """Where the database has the endpoints of PJSIP; None: it has none."""
    known = families(extconfig)
    for kind, wizard, data in _wizards(sorcery, "res_pjsip"):
        if kind == "endpoint" and wizard == "realtime":
            return known.get(data.split(",")[0].strip())
    return None


def ignored_in_pjsip_conf(sorcery: Conf) -> tuple[str, ...]:
    """The lines that sorcery.conf lacks for Asterisk to read avp-no-replaces from pjsip.conf.

    A type with a line in sorcery.conf is read from there only, and from pjsip.conf where it has
    none (main/sorcery.c, ``__ast_sorcery_apply_default``).
    """
    missing: list[str] = []
    for kind, section in _FILE_SECTIONS.items():
        wizards = [
            (name, data) for found, name, data in _wizards(sorcery, section) if found == kind
        ]
        if wizards and not any(
            name == "config" and data.startswith("pjsip.conf") for name, data in wizards
        ):
            missing += [f"[{section}](+)", f"{kind} = config,pjsip.conf,criteria=type={kind}"]
    return tuple(missing)


def _wizards(sorcery: Conf, section: str) -> Iterator[tuple[str, str, str]]:
    """Type, wizard and its argument of each line, without caches."""
    for found in sorcery.named(section):
        for line in found.lines:
            wizard, _, data = line.value.partition(",")
            yield line.name.partition("/")[0].strip(), wizard.strip().lower(), data.strip()


def agent_lines(*, current: bool, features: str = "avp_transfer") -> tuple[str, ...]:
    """The lines that an agent's endpoint needs, for one whose own lines are not known.

    ``current``: whether this Asterisk can pass a REFER to ARI. ``features``: DYNAMIC_FEATURES.
    """
    return (
        f"set_var = {_GUARD}" if current else f"{_REFUSED} = no",
        f"set_var = DYNAMIC_FEATURES={features}",
        "message_context = avp-nowhere",
        f"rtp_timeout = {RTP_SECONDS}",
        f"rtp_timeout_hold = {HOLD_SECONDS}",
        "timers = always",
        "timers_min_se = 90",
        "timers_sess_expires = 120",
        "redirect_method = user",
    )


def dialling_sql(endpoints: Iterable[str], where: Family) -> tuple[str, ...]:
    """What an endpoint that dials in avp-agents needs; the others are left alone."""
    ids = _list(endpoints)
    return tuple(
        f"UPDATE {where.table} SET {column} = {quoted(value)}"
        f" WHERE id IN ({ids}) AND context = 'avp-agents';"
        for column, value in (("allow_overlap", "no"), ("overlap_context", "avp-phones"))
    )


def endpoint_sql(lines: Mapping[str, Sequence[str]], where: Family) -> Sql:
    """The rows of endpoints with these lines (``name = value``), instead of pjsip.conf.

    Endpoints that need the same lines share statements. What is in ``set_var`` already is kept.
    ``lines``: endpoint to lines. Running the statements again changes nothing.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for endpoint, wanted in lines.items():
        alike.setdefault(tuple(wanted), []).append(endpoint)
    statements: list[str] = []
    remarks: list[str] = []
    for wanted, endpoints in alike.items():
        values = [_pair(line) for line in wanted]
        variables = [value for name, value in values if name == _VARIABLE]
        found = _variables(variables, endpoints, where)
        statements += found.statements
        remarks += [remark for remark in found.remarks if remark not in remarks]
        statements += [
            f"UPDATE {where.table} SET {name} = {quoted(value)} WHERE id IN ({_list(endpoints)});"
            for name, value in dict(v for v in values if v[0] != _VARIABLE).items()
        ]
    return Sql(tuple(statements), tuple(remarks))


def _variables(variables: Sequence[str], endpoints: Sequence[str], where: Family) -> Sql:
    """Set variables of endpoints; where only one fits, the guard of the Transfer button."""
    if not variables:
        return Sql()
    table, ids = where.table, _list(endpoints)
    if where.splits:
        empty = f"UPDATE {table} SET set_var = '' WHERE id IN ({ids}) AND set_var IS NULL;"
        added = [
            f"UPDATE {table} SET set_var = CASE set_var WHEN '' THEN {quoted(variable)}"
            f" ELSE CONCAT(set_var, {quoted(f';{variable}')}) END"
            f" WHERE id IN ({ids}) AND set_var NOT LIKE {quoted(f'%{_like(variable)}%')};"
            for variable in variables
        ]
        return Sql((empty, *added))
    first = _GUARD if _GUARD in variables else variables[0]
    unset = "(set_var IS NULL OR set_var = '')"
    statements = [f"UPDATE {table} SET set_var = {quoted(first)} WHERE id IN ({ids}) AND {unset};"]
    remarks = []
    others = [variable for variable in variables if variable != first]
    if others:
        remarks.append(
            f"The driver {where.driver} gives an endpoint one set_var. {' and '.join(others)} must"
            " be set elsewhere: in [globals] of extensions.conf, for all channels."
        )
    if first == _GUARD:
        statements.append(
            f"UPDATE {table} SET {_REFUSED} = 'no' WHERE id IN ({ids})"
            f" AND set_var <> {quoted(first)};"
        )
        remarks.append(
            f"An endpoint whose set_var has another value already gets {_REFUSED} = no: its"
            " Transfer button is refused. To use it, set that variable in the dialplan instead."
        )
    return Sql(tuple(statements), tuple(remarks))


_PERSONAL: Final[Mapping[str, object]] = {
    "strategy": "ringall",
    "maxlen": 1,
    "weight": PERSONAL_QUEUE_WEIGHT,
    "ringinuse": "no",
    "retry": 1,
    "timeoutpriority": "app",
    "autofill": "yes",
    "autopause": "no",
    "joinempty": "paused,invalid,unavailable",
    "leavewhenempty": "paused,invalid,unavailable",
    "announce_frequency": 0,
    "announce_holdtime": "no",
    "announce_position": "no",
    "periodic_announce_frequency": 0,
    "reportholdtime": "no",
    "setinterfacevar": "no",
    "setqueuevar": "no",
    "setqueueentryvar": "no",
    "memberdelay": 0,
}
"""The same as in avp_queues.conf (`personal_queues`), by the names of columns."""

_HEADER: Final = """\
-- The agents' personal queues as rows, for call centres that want them in their database.
--
-- Written by: {command}
-- Use this or avp_queues.conf, not both: a queue of a file hides the row. There are no members on
-- purpose: the daemon adds them in app_queue's memory, and writes no row of {members}.
-- Queues that are there already are changed, not replaced: Asterisk forgets the members of a queue
-- that is gone for a moment.
"""


def personal_queues_sql(
    agents: Mapping[str, frozenset[str] | None],
    groups: Mapping[str, Group],
    *,
    ring_seconds: int,
    command: str,
    table: str = "queues",
    members: str = "queue_members",
) -> str:
    """The text of avp_queues.sql: the rows of the same queues as `render_queues`."""
    parts = [_HEADER.format(command=command, members=members)]
    for agent in sorted(agents):
        own = agents[agent]
        counted = groups.keys() if own is None else own & groups.keys()
        values: dict[str, object] = {
            **_PERSONAL,
            "timeout": ring_seconds,
            "wrapuptime": max((groups[group].acw_seconds for group in counted), default=0),
        }
        parts.append(_queue(table, personal_queue(agent), values))
    return "\n".join(parts)


def _queue(table: str, name: str, values: Mapping[str, object]) -> str:
    columns = ", ".join(("name", *values))
    selected = ", ".join(quoted(value) for value in (name, *values.values()))
    changes = ", ".join(f"{column} = {quoted(value)}" for column, value in values.items())
    return (
        f"INSERT INTO {table} ({columns})\n"
        f"  SELECT {selected} FROM (SELECT 1 AS one) AS one\n"
        f"  WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE name = {quoted(name)});\n"
        f"UPDATE {table} SET {changes}\n"
        f"  WHERE name = {quoted(name)};\n"
    )


def quoted(value: object) -> str:
    """A literal of SQL."""
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def _like(text: str) -> str:
    """``_`` and ``%`` match any character, which finds the same rows and needs no escape."""
    return text.replace("%", "_")


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip(), value.removeprefix(">").strip()
