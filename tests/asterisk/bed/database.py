"""Call centres whose queues, members and phones are in a database (Asterisk's realtime).

The database is one of the instance's own: a file of SQLite, or a PostgreSQL server that runs as
Asterisk's user, has its data in the instance's directory, and listens on a socket there only.
"""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .backend import Backend, RootFs, Unavailable
from .instance import Bed, backend_named
from .procs import ProcessId, end, spawn
from .world import CHECKOUT, World

QUEUE_COLUMNS = [
    "musiconhold",
    "timeout",
    "retry",
    "strategy",
    "wrapuptime",
    "weight",
    "maxlen",
    "ringinuse",
    "joinempty",
    "leavewhenempty",
    "autofill",
    "announce_holdtime",
    "announce_position",
    "periodic_announce_frequency",
    "reportholdtime",
    "setinterfacevar",
    "setqueuevar",
    "setqueueentryvar",
    "memberdelay",
    "autopause",
    "timeoutpriority",
    "announce_frequency",
]
MEMBER_COLUMNS = [
    "queue_name",
    "interface",
    "membername",
    "state_interface",
    "penalty",
    "paused",
    "uniqueid",
    "wrapuptime",
    "reason_paused",
]
ENDPOINT_COLUMNS = [
    "id",
    "transport",
    "aors",
    "auth",
    "context",
    "overlap_context",
    "allow_overlap",
    "disallow",
    "allow",
    "direct_media",
    "rtp_symmetric",
    "media_address",
    "bind_rtp_to_media_address",
    "dtmf_mode",
    "rtp_timeout",
    "rtp_timeout_hold",
    "timers",
    "timers_min_se",
    "timers_sess_expires",
    "send_pai",
    "language",
    "message_context",
    "redirect_method",
    "allow_transfer",
    "callerid",
    "mailboxes",
    "set_var",
]
AUTH_COLUMNS = ["id", "auth_type", "username", "password"]
AOR_COLUMNS = ["id", "mailboxes", "max_contacts", "remove_existing", "qualify_frequency"]
_NUMBERS = {"timeout", "retry", "wrapuptime", "weight", "maxlen", "penalty", "paused"}

FAMILIES = ("queues", "queue_members", "ps_endpoints", "ps_auths", "ps_aors")


def _table(name: str, columns: Iterable[str], key: str) -> str:
    parts = [
        f"{column} {'INTEGER' if column in _NUMBERS else 'TEXT'}"
        + (" PRIMARY KEY" if column == key else "")
        for column in columns
    ]
    return f"CREATE TABLE {name} ({', '.join(parts)});"


SCHEMA = "\n".join(
    [
        _table("queues", ["name", *QUEUE_COLUMNS], "name"),
        _table("queue_members", MEMBER_COLUMNS, "uniqueid"),
        _table("ps_endpoints", ENDPOINT_COLUMNS, "id"),
        _table("ps_auths", AUTH_COLUMNS, "id"),
        _table("ps_aors", AOR_COLUMNS, "id"),
    ]
)


def quoted(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def insert(table: str, **values: object) -> str:
    """A row as SQL."""
    return (
        f"INSERT INTO {table} ({', '.join(values)})"
        f" VALUES ({', '.join(map(quoted, values.values()))});"
    )


class Database(ABC):
    """A database of an instance. The methods that talk to it block."""

    #: How extconfig.conf names it: driver and database.
    driver: str
    #: Modules that modules.conf must not exclude.
    modules: tuple[str, ...]

    def __init__(self, bed: Bed) -> None:
        self.bed = bed

    @abstractmethod
    def configure(self, etc: Path) -> None:
        """Write what Asterisk needs to connect."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def execute(self, sql: str) -> list[tuple[str, ...]]:
        """Run statements. Returns the rows of the last one, as text."""


class Sqlite(Database):
    """``res_config_sqlite3``: a file, which the tests write as another program does."""

    driver = "sqlite3,asterisk"
    modules = ("res_config_sqlite3.so",)

    @property
    def file(self) -> Path:
        return self.bed.directory / "var" / "realtime.sqlite3"

    def configure(self, etc: Path) -> None:
        inside = self.bed.backend.directories(self.bed.name)["LIB"]
        (etc / "res_config_sqlite3.conf").write_text(
            # Without batch=0, Asterisk keeps the file locked (res_config_sqlite3.conf.sample).
            f"[asterisk]\ndbfile => {inside}/{self.file.name}\nbatch=0\n"
        )

    def start(self) -> None:
        self.file.touch()
        self.bed.backend.give(self.file)

    def stop(self) -> None:
        """Nothing runs."""

    def execute(self, sql: str) -> list[tuple[str, ...]]:
        *before, last = [part for part in sql.split(";\n") if part.strip()]
        connection = sqlite3.connect(self.file, timeout=10)
        try:
            for statement in before:
                connection.execute(statement)
                connection.commit()
            rows = connection.execute(last).fetchall()
            connection.commit()
        finally:
            connection.close()
        return [tuple("" if value is None else str(value) for value in row) for row in rows]


class Postgres(Database):
    """``res_config_odbc`` with Debian's PostgreSQL and its ODBC driver."""

    driver = "odbc,asterisk"
    modules = ("res_odbc.so", "res_odbc_transaction.so", "res_config_odbc.so")
    _SEPARATOR = "\x1f"

    def __init__(self, bed: Bed) -> None:
        super().__init__(bed)
        self.process: ProcessId | None = None

    @property
    def _root(self) -> Path:
        assert isinstance(self.bed.backend, RootFs)
        return self.bed.backend.root

    @property
    def _place(self) -> str:
        """The server's directory as itself and Asterisk see it."""
        return f"{self.bed.backend.inside(self.bed.name)}/pg"

    def _program(self, name: str) -> str:
        found = sorted(self._root.glob(f"usr/lib/postgresql/*/bin/{name}"))
        return "/" + str(found[-1].relative_to(self._root))

    def _command(self, *argv: str) -> list[str]:
        return self.bed.backend.command(self.bed.name, "postgres", argv, outlive=False)

    def configure(self, etc: Path) -> None:
        (driver,) = self._root.glob("usr/lib/*/odbc/psqlodbcw.so")
        (etc / "odbcinst.ini").write_text(
            f"[PostgreSQL]\nDriver = /{driver.relative_to(self._root)}\n"
        )
        (etc / "odbc.ini").write_text(
            f"[asterisk-pg]\nDriver = PostgreSQL\nServername = {self._place}\nPort = 5432\n"
            "Database = asterisk\nUsername = asterisk\n"
        )
        inside = self.bed.backend.directories(self.bed.name)["ETC"]
        (etc / "res_odbc.conf").write_text(
            f"[ENV]\nODBCSYSINI => {inside}\nODBCINI => {inside}/odbc.ini\n\n"
            "[asterisk]\nenabled => yes\ndsn => asterisk-pg\nusername => asterisk\n"
            "pre-connect => yes\nmax_connections => 5\n"
            # The default of 300 s is how long Asterisk does without a server that has restarted.
            "negative_connection_cache => 1\n"
        )

    def start(self) -> None:
        data = self.bed.directory / "pg"
        log = self.bed.directory / "log" / "postgres.log"
        if not data.exists():
            data.mkdir(mode=0o700)
            self.bed.backend.give(data)
            made = self._command(
                *(self._program("initdb"), "-D", f"{self._place}/data", "-U", "asterisk"),
                *("--locale=C", "--encoding=UTF8", "--auth=peer", "--no-sync", "--no-instructions"),
            )
            done = subprocess.run(made, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"initdb: {done.stderr[-1500:]}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self._place,
            "dynamic_shared_memory_type": "mmap",
            "shared_buffers": "16MB",
            "fsync": "off",
            "autovacuum": "off",
        }
        more = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = self._command(self._program("postgres"), "-D", f"{self._place}/data", *more)
        self.process = spawn(command, log=log)
        self._until_ready(log)
        if ("asterisk",) not in self._run("SELECT datname FROM pg_database;", "postgres"):
            self._run("CREATE DATABASE asterisk;", "postgres")

    def _until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + self.bed.backend.start_seconds
        while True:
            try:
                self._run("SELECT 1;", "postgres")
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"PostgreSQL: {error}: {log.read_text()[-1500:]}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)  # SIGTERM: it waits until its clients have gone, so …
            self.process = None

    def execute(self, sql: str) -> list[tuple[str, ...]]:
        return self._run(sql, "asterisk")

    def _run(self, sql: str, database: str) -> list[tuple[str, ...]]:
        client = self._command(
            *(self._program("psql"), "-h", self._place, "-U", "asterisk", "-d", database),
            *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-F", self._SEPARATOR, "-f", "-"),
        )
        done = subprocess.run(client, input=sql, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return [tuple(line.split(self._SEPARATOR)) for line in done.stdout.splitlines()]


DATABASES: dict[str, type[Database]] = {"sqlite3": Sqlite, "postgresql": Postgres}


def backend_with(database: str) -> Backend:
    """The backend that has what this database needs.

    SQLite is part of Asterisk. PostgreSQL is in a root file system of its own, which is made from
    the usual one. Raises `Unavailable`.
    """
    if database != "postgresql":
        return backend_named(None)
    if os.geteuid() != 0:
        raise Unavailable("PostgreSQL runs in a root file system, which needs root (chroot)")
    done = subprocess.run(
        [str(CHECKOUT / "docker" / "rootfs-database")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable("no root file system with PostgreSQL; see the message above")
    return RootFs(Path(done.stdout.strip()))


@dataclass(frozen=True)
class RealtimeWorld(World):
    """A world whose groups and agents' phones are rows; callers and trunks stay in the files."""

    def render_queues(self) -> str:
        return self.queues

    def render_accounts(self) -> str:
        outside = replace(self, agents=())
        return World(callers=outside.callers, outside=outside.outside, agents=()).render_accounts()

    def rows(self, bed: Bed) -> list[str]:
        """What the tables contain at first: nobody is logged in, and nothing of ours is there."""
        found = []
        for group in self.groups:
            wrapuptime = self.wrapuptime if group.wrapuptime is None else group.wrapuptime
            found.append(
                insert(
                    "queues",
                    name=group.queue,
                    musiconhold="default",
                    timeout=group.timeout,
                    retry=group.retry,
                    strategy=group.strategy,
                    wrapuptime=wrapuptime,
                    weight=group.weight,
                    ringinuse="no",
                    joinempty="yes",
                    leavewhenempty="no",
                    autofill="yes",
                )
            )
        for agent in self.agents:
            found.append(self.endpoint(bed, agent.id))
            found.append(
                insert(
                    "ps_auths",
                    id=agent.id,
                    auth_type="userpass",
                    username=agent.id,
                    password=f"pw-{agent.id}",
                )
            )
            found.append(
                insert(
                    "ps_aors",
                    id=agent.id,
                    max_contacts="1",
                    remove_existing="yes",
                    qualify_frequency=str(self.qualify_frequency),
                )
            )
        return found

    def endpoint(self, bed: Bed, agent: str) -> str:
        """An agent's phone as it was before."""
        media = dict(re.findall(r"(?m)^(\w+) = (\S+)", bed.places.media))
        return insert(
            "ps_endpoints",
            id=agent,
            aors=agent,
            auth=agent,
            context="avp-agents",
            disallow="all",
            allow="ulaw",
            direct_media="no",
            rtp_symmetric="yes",
            media_address=media.get("media_address"),
            bind_rtp_to_media_address=media.get("bind_rtp_to_media_address"),
            dtmf_mode="rfc4733",
            send_pai="yes",
            # NULL in a column of numbers or choices keeps Asterisk from listing the endpoint: the
            # driver of SQLite turns it into an empty text (res_config_sqlite3.c, append_row…).
            redirect_method="user",
            rtp_timeout="0",
            rtp_timeout_hold="0",
            timers="yes",
            timers_min_se="90",
            timers_sess_expires="1800",
            callerid=f"{self.agent(agent).name} <{agent}>",
        )


class RealtimeBed(Bed):
    """A bed with a database. ``queues_in_database``: the groups' queues are rows, not only their
    members; ``personal_in_database``: the personal queues are as well.
    """

    def __init__(
        self,
        world: RealtimeWorld,
        database: str,
        *,
        queues_in_database: bool = True,
        personal_in_database: bool = False,
    ) -> None:
        super().__init__(world, backend=backend_with(database))
        self.centre = world
        self.database = DATABASES[database](self)
        self.queues_in_database = queues_in_database
        self.personal_in_database = personal_in_database
        self._filled = False

    def render(self) -> None:
        super().render()
        etc = self.directory / "etc"
        families = [f for f in FAMILIES if f != "queues" or self.queues_in_database]
        lines = "".join(f"{family} => {self.database.driver},{family}\n" for family in families)
        (etc / "extconfig.conf").write_text(f"[settings]\n{lines}")
        objects = {"endpoint": "ps_endpoints", "auth": "ps_auths", "aor": "ps_aors"}
        (etc / "sorcery.conf").write_text(
            "[res_pjsip]\n"
            + "".join(
                # The file first: avp-no-replaces and the trunks are there.
                f"{kind} = config,pjsip.conf,criteria=type={kind}\n{kind} = realtime,{family}\n"
                for kind, family in objects.items()
            )
        )
        modules = (etc / "modules.conf").read_text()
        for module in self.database.modules:
            modules = modules.replace(f"noload = {module}\n", "")
        modules += "".join(f"preload = {module}\n" for module in self.database.modules)
        (etc / "modules.conf").write_text(modules)
        if self.personal_in_database:
            (etc / "avp_queues.conf").write_text("")
        if not self.queues_in_database:
            with (etc / "queues.conf").open("a") as text:
                text.write(replace(_plain(self.centre), members="dynamic").render_queues())
        self.database.configure(etc)
        self.backend.give(etc)

    async def start_asterisk(self) -> None:
        if not self._filled:
            self._filled = True
            await asyncio.to_thread(self._fill)
        await super().start_asterisk()

    def _fill(self) -> None:
        self.database.start()
        rows = self.centre.rows(self)
        self.database.execute("\n".join([SCHEMA, *rows, ""]))

    async def install(self) -> str:
        """Run the SQL that the product prints. Returns its remarks."""
        remarks = await self._run_printed("endpoints-sql", "--config-dir", self.directory / "etc")
        if self.personal_in_database:
            remarks += await self._run_printed("queues-sql")
        return remarks

    async def _run_printed(self, *words: str | Path) -> str:
        """Run the SQL that a command of `asterisk-avp render` prints. Returns its remarks."""
        settings = dict(self.world.daemon_settings())
        for agent in self.world.agents:
            groups = ",".join(g.queue for g in self.world.groups_of(agent.id))
            settings[f"AVP_AGENTS__{agent.id}__GROUPS"] = groups
        done = await asyncio.to_thread(
            subprocess.run,
            [str(self.program), "render", *map(str, words)],
            env={**self._inherited(), **settings},
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        await self.sql(done.stdout)
        return done.stderr

    async def sql(self, *statements: str) -> list[tuple[str, ...]]:
        return await asyncio.to_thread(self.database.execute, "\n".join([*statements, ""]))

    async def add_member(self, agent: str, queue: str, **columns: object) -> None:
        """Log an agent in by a row, as a program of the administrator's does."""
        values: dict[str, object] = {
            "queue_name": queue,
            "interface": self.world.interface(agent),
            "membername": self.world.agent(agent).name,
            "penalty": 0,
            "paused": 0,
            "uniqueid": f"{queue}-{agent}",
        }
        await self.sql(insert("queue_members", **{**values, **columns}))

    async def change_member(self, agent: str, queue: str, **columns: object) -> None:
        changes = ", ".join(f"{name} = {quoted(value)}" for name, value in columns.items())
        await self.sql(
            f"UPDATE queue_members SET {changes} WHERE uniqueid = {quoted(f'{queue}-{agent}')};"
        )

    async def remove_member(self, agent: str, queue: str) -> None:
        await self.sql(f"DELETE FROM queue_members WHERE uniqueid = {quoted(f'{queue}-{agent}')};")

    async def member_row(self, agent: str, queue: str, column: str) -> str | None:
        rows = await self.sql(
            f"SELECT {column} FROM queue_members WHERE uniqueid = {quoted(f'{queue}-{agent}')};"
        )
        return rows[0][0] if rows else None

    async def idle(self) -> None:
        """All agents are logged in by rows as at first, on no break."""
        await super().idle()
        there = set(await self.sql("SELECT queue_name, interface FROM queue_members;"))
        for group in self.world.groups:
            for agent in group.agents:
                if (group.queue, self.world.interface(agent)) not in there:
                    await self.add_member(agent, group.queue)
        await self.sql("UPDATE queue_members SET paused = 0, penalty = 0;")

    async def stop(self) -> None:
        await super().stop()
        await asyncio.to_thread(self.database.stop)


def _plain(world: RealtimeWorld) -> World:
    """The same groups as queues.conf has them."""
    return World(agents=world.agents, groups=world.groups, wrapuptime=world.wrapuptime)
