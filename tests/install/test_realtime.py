"""SQL instead of lines: what it does to rows, in a real SQLite; tests/asterisk has PostgreSQL."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import sqlite3

import pytest

from asterisk_avp.install.asterisk_conf import Conf, parse
from asterisk_avp.install.group_proposals import KnownQueue, proposed_groups
from asterisk_avp.install.personal_queues import render_queues
from asterisk_avp.install.realtime import (
    Family,
    agent_lines,
    dialling_sql,
    endpoint_family,
    endpoint_sql,
    families,
    ignored_in_pjsip_conf,
    personal_queues_sql,
)
from tests.core.world import engine

GUARD = "PJSIP_TRANSFER_HANDLING()=ari-only"
CODE = "DYNAMIC_FEATURES=avp_transfer"
LINES = [f"set_var = {GUARD}", f"set_var = {CODE}", "message_context = avp-nowhere"]
ODBC = Family("odbc", "asterisk", "ps_endpoints")
SQLITE = Family("sqlite3", "asterisk", "ps_endpoints")


def extconfig(text: str) -> dict[str, Family]:
    return families(parse("extconfig.conf", lambda _: [("extconfig.conf", text)]))


def test_families() -> None:
    found = extconfig(
        "[settings]\n"
        "queues => odbc,asterisk,call_queues\n"
        "queue_members = odbc,asterisk\n"
        "ps_endpoints => pgsql,second,ps_endpoints,2\n"
        "ps_endpoints => ODBC,first,endpoints,1\n"
        "; ps_auths => odbc,asterisk\n"
        "[other]\nps_aors => odbc,asterisk\n"
    )
    assert found == {
        "queues": Family("odbc", "asterisk", "call_queues"),
        "queue_members": Family("odbc", "asterisk", "queue_members"),
        "ps_endpoints": Family("odbc", "first", "endpoints"),
    }


def conf(name: str, text: str) -> Conf:
    return parse(name, lambda _: [(name, text)])


def test_the_table_of_endpoints() -> None:
    """Where sorcery.conf names no realtime for them, the line of extconfig.conf has no effect."""
    tables = conf("extconfig.conf", "[settings]\nphones => odbc,asterisk,ps_endpoints\n")
    plain = conf(
        "sorcery.conf", "[res_pjsip]\nendpoint = config,pjsip.conf,criteria=type=endpoint\n"
    )
    assert endpoint_family(plain, tables) is None
    both = "[res_pjsip]\nendpoint/cache = memory_cache,expire=60\nendpoint = realtime,phones\n"
    assert endpoint_family(conf("sorcery.conf", both), tables) == ODBC
    assert endpoint_family(conf("sorcery.conf", both), conf("extconfig.conf", "")) is None


def test_what_hides_pjsip_conf() -> None:
    """A type with a line in sorcery.conf is read from there only."""
    assert ignored_in_pjsip_conf(conf("sorcery.conf", "")) == ()
    alone = "[res_pjsip]\nendpoint = realtime,ps_endpoints\nauth = realtime,ps_auths\n"
    assert ignored_in_pjsip_conf(conf("sorcery.conf", alone)) == (
        "[res_pjsip](+)",
        "endpoint = config,pjsip.conf,criteria=type=endpoint",
    )
    mended = alone + "endpoint = config,pjsip.conf,criteria=type=endpoint\n"
    identify = "[res_pjsip_endpoint_identifier_ip]\nidentify = realtime,ps_endpoint_id_ips\n"
    assert ignored_in_pjsip_conf(conf("sorcery.conf", mended)) == ()
    assert ignored_in_pjsip_conf(conf("sorcery.conf", mended + identify)) == (
        "[res_pjsip_endpoint_identifier_ip](+)",
        "identify = config,pjsip.conf,criteria=type=identify",
    )


def test_lines_for_an_endpoint_that_is_not_known() -> None:
    assert agent_lines(current=True, features="apprecord#avp_transfer")[:2] == (
        f"set_var = {GUARD}",
        "set_var = DYNAMIC_FEATURES=apprecord#avp_transfer",
    )
    assert agent_lines(current=False)[0] == "allow_transfer = no"
    assert all(" AND context = 'avp-agents';" in x for x in dialling_sql(["1001"], ODBC))


@pytest.fixture
def database() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:")
    made.create_function("CONCAT", -1, lambda *texts: "".join(texts))  # before SQLite 3.44
    made.execute(
        "CREATE TABLE ps_endpoints (id TEXT PRIMARY KEY, set_var TEXT, message_context TEXT,"
        " allow_transfer TEXT)"
    )
    rows = [("1001", None), ("1002", ""), ("1003", "A=1"), ("1004", GUARD), ("o'hara", None)]
    made.executemany("INSERT INTO ps_endpoints (id, set_var) VALUES (?, ?)", [*rows, ("x", None)])
    return made


AGENTS = ("1001", "1002", "1003", "1004", "o'hara")


def run(database: sqlite3.Connection, where: Family) -> dict[str, tuple[str | None, ...]]:
    """Twice: the second time it changes nothing."""
    found = []
    for _ in range(2):
        database.executescript(
            "\n".join(endpoint_sql(dict.fromkeys(AGENTS, LINES), where).statements)
        )
        rows = database.execute("SELECT * FROM ps_endpoints").fetchall()
        found.append({row[0]: row[1:] for row in rows})
    assert found[0] == found[1]
    return found[0]


def test_several_variables_where_a_column_holds_them(database: sqlite3.Connection) -> None:
    both = f"{GUARD};{CODE}"
    assert run(database, ODBC) == {
        "1001": (both, "avp-nowhere", None),
        "1002": (both, "avp-nowhere", None),
        "1003": (f"A=1;{both}", "avp-nowhere", None),
        "1004": (both, "avp-nowhere", None),
        "o'hara": (both, "avp-nowhere", None),
        "x": (None, None, None),
    }
    assert endpoint_sql({"1001": LINES}, ODBC).remarks == ()


def test_one_variable_where_a_column_holds_one(database: sqlite3.Connection) -> None:
    assert run(database, SQLITE) == {
        "1001": (GUARD, "avp-nowhere", None),
        "1002": (GUARD, "avp-nowhere", None),
        "1003": ("A=1", "avp-nowhere", "no"),
        "1004": (GUARD, "avp-nowhere", None),
        "o'hara": (GUARD, "avp-nowhere", None),
        "x": (None, None, None),
    }
    code, button = endpoint_sql({"1001": LINES}, SQLITE).remarks
    assert CODE in code
    assert "[globals]" in code
    assert "allow_transfer = no" in button


def test_an_old_asterisk_has_no_guard_but_the_refusal() -> None:
    found = endpoint_sql({"1001": ["allow_transfer = no", f"set_var = {CODE}"]}, SQLITE)
    unset = "(set_var IS NULL OR set_var = '')"
    assert found.statements == (
        f"UPDATE ps_endpoints SET set_var = '{CODE}' WHERE id IN ('1001') AND {unset};",
        "UPDATE ps_endpoints SET allow_transfer = 'no' WHERE id IN ('1001');",
    )
    assert found.remarks == ()


def test_endpoints_with_the_same_lines_share_statements() -> None:
    found = endpoint_sql({"1001": LINES, "1002": LINES, "1003": LINES[2:]}, ODBC)
    assert len(found.statements) == 5
    assert [x for x in found.statements if "'1003'" in x] == [
        "UPDATE ps_endpoints SET message_context = 'avp-nowhere' WHERE id IN ('1003');"
    ]
    assert endpoint_sql({}, ODBC).statements == ()


def test_personal_queues_are_those_of_the_file() -> None:
    """Each option of the file has a column with the same value."""
    groups = engine().world.groups
    agents = {"1001": frozenset(groups), "1002": None, "o'hara": frozenset[str]()}
    database = sqlite3.connect(":memory:")
    text = render_queues(agents, groups, ring_seconds=7, command="x")
    conf = parse("queues.conf", lambda _: [("queues.conf", text)])
    written = {
        section.name: {line.name.replace("-", "_"): line.value for line in section.lines}
        for section in conf.sections
        if not section.template
    }
    columns = sorted(written["avp-agent-1001"])
    database.execute(f"CREATE TABLE queues (name TEXT PRIMARY KEY, {', '.join(columns)})")
    database.execute("INSERT INTO queues (name, weight) VALUES ('avp-agent-1002', 3), ('a', 3)")
    for _ in range(2):
        database.executescript(
            personal_queues_sql(agents, groups, ring_seconds=7, command="asterisk-avp x")
        )
        rows = database.execute(f"SELECT name, {', '.join(columns)} FROM queues").fetchall()
        found = {name: dict(zip(columns, map(str, rest), strict=True)) for name, *rest in rows}
        assert found.pop("a")["weight"] == "3"
        assert found == written


def test_groups_of_queues_with_names_and_numbers() -> None:
    found = proposed_groups(
        [
            KnownQueue("600", 10, "Sales"),
            KnownQueue("front-desk", 0),
            KnownQueue("front.desk"),
            KnownQueue("911", 0),
            KnownQueue("1001", 0),
            KnownQueue("avp-agent-1001", 5),
            KnownQueue("Vente été", 5),
        ],
        dialled={"1001"},
        countries={"US"},
    )
    assert found.settings == {
        "AVP_GROUPS__QUEUE_1001__QUEUE": "1001",
        "AVP_GROUPS__QUEUE_1001__ACCOUNT": "main",
        "AVP_GROUPS__QUEUE_600__QUEUE": "600",
        "AVP_GROUPS__QUEUE_600__ACCOUNT": "main",
        "AVP_GROUPS__QUEUE_600__NAME": "Sales",
        "AVP_GROUPS__QUEUE_600__ACW_SECONDS": "10",
        "AVP_GROUPS__QUEUE_600__EXTENSION": "600",
        "AVP_GROUPS__QUEUE_911__QUEUE": "911",
        "AVP_GROUPS__QUEUE_911__ACCOUNT": "main",
        "AVP_GROUPS__FRONT_DESK__QUEUE": "front-desk",
        "AVP_GROUPS__FRONT_DESK__ACCOUNT": "main",
        "AVP_GROUPS__FRONT_DESK_2__QUEUE": "front.desk",
        "AVP_GROUPS__FRONT_DESK_2__ACCOUNT": "main",
        "AVP_ACCOUNTS__MAIN__CONTRACTED": "true",
    }
    taken, emergency, unfit, wrapup = found.remarks
    assert "1001" in taken
    assert "another meaning" in taken
    assert "emergency" in emergency
    assert "AVP_GROUPS__FRONT_DESK_2__ACW_SECONDS" in wrapup
    assert "Vente été" in unfit


def test_no_queues_no_settings() -> None:
    assert proposed_groups([]).settings == {}
