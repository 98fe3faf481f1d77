"""The command line with the real API, and as a process where necessary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import responses
from scripted_transfer_service import (
    INTEGRATION,
    RunningApi,
    api_in_thread,
    transfer_view,
)

import asterisk_avp
from asterisk_avp.api import panel
from asterisk_avp.cli import app as cli
from asterisk_avp.cli import calls
from asterisk_avp.install.dialplan_files import dialplan_dir, dialplan_files


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AVP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningApi]:
    with api_in_thread() as running:
        monkeypatch.setenv("AVP_URL", running.url)
        monkeypatch.setenv("AVP_TOKEN", INTEGRATION)
        yield running


class Result:
    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def avp(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as exited:
            cli.main(arguments)
        captured = capsys.readouterr()
        return Result(exited.value.code or 0, captured.out, captured.err)

    return run


# --- talking to the daemon -------------------------------------------------------------------


def test_agents(api: RunningApi, avp) -> None:
    result = avp("agents")
    assert result.code == 0
    header, alice, *_ = result.out.splitlines()
    assert header.split() == ["ID", "NAME", "STATE", "SINCE", "GROUPS", "WAITING"]
    assert alice.split()[:3] == ["1001", "Alice", "talking"]
    listed = json.loads(avp("agents", "--json").out)
    assert [agent["id"] for agent in listed] == ["1001", "1002", "1003"]


def test_targets(api: RunningApi, avp) -> None:
    result = avp("targets", "1001")
    assert result.code == 0
    assert result.out.splitlines() == [
        "My agent groups",
        "  sales Sales (1 available)",
        "    1002 Bøb: available",
        "Agent groups",
        "  support Support (0 available)",
    ]
    assert json.loads(avp("targets", "1001", "--json").out)["external_presets"] == []


@pytest.mark.parametrize(
    ("logged_in", "ready", "shown"),
    [(2, 1, "0 available"), (2, 0, "everybody on a break"), (0, 0, "nobody logged in")],
)
def test_a_group_of_nobody(logged_in: int, ready: int, shown: str) -> None:
    group = {"available": 0, "logged_in": logged_in, "ready": ready}
    assert calls._who_is_there(group) == shown


def test_transfer_complete_and_cancel(api: RunningApi, avp) -> None:
    made = avp(
        "transfer", "1001", "--supervised", "--to-agent", "1002", "--notes", "é", "--call", "chan-1"
    )
    assert made.code == 0
    assert "transfer t1: ringing, supervised by 1001 to agent 1002" in made.out
    request = api.board.requests[0]
    assert (request.notes, request.call) == ("é", "chan-1")
    done = avp("complete", "t1", "--json")
    assert json.loads(done.out)["state"] == "completed"
    again = avp("cancel", "t1")
    assert (again.code, again.out) == (1, "")
    assert again.err == "asterisk-avp: The transfer is completed already.\n"


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("--to-agent", "1002", "agent"),
        ("--to-group", "support", "group"),
        ("--to-preset", "billing", "preset"),
        ("--to-number", "+12025550100", "number"),
    ],
)
@responses.activate
def test_each_target_is_asked_for_as_the_api_wants_it(
    avp, option: str, value: str, kind: str
) -> None:
    responses.post(
        "http://127.0.0.1:8766/v1/agents/a%2Fb/transfers",
        status=403,
        json={"error": "refused", "reason": "unknown_target", "message": "There is none."},
    )
    result = avp("transfer", "a/b", "--unsupervised", option, value, "--token", "secret")
    assert (result.code, result.out) == (1, "")
    assert result.err == "asterisk-avp: refused (unknown_target): There is none.\n"
    sent = responses.calls[0].request
    field = "number" if kind == "number" else "id"
    assert json.loads(sent.body) == {
        "mode": "unsupervised",
        "target": {"kind": kind, field: value},
    }
    assert sent.headers["Authorization"] == "Bearer secret"


def test_a_refusal_as_json(api: RunningApi, avp) -> None:
    result = avp("transfer", "1002", "--supervised", "--to-agent", "1001", "--json")
    assert result.code == 1
    assert json.loads(result.out)["reason"] == "no_active_call"
    assert "no_active_call" in result.err


@responses.activate
def test_an_asterisk_that_is_too_busy_is_said_in_a_sentence(avp) -> None:
    busy = "The telephone system is too busy for another transfer at the moment."
    responses.post(
        "http://127.0.0.1:8766/v1/agents/1001/transfers",
        status=503,
        json={"error": "asterisk_busy", "message": busy},
        headers={"Retry-After": "2"},
    )
    result = avp("transfer", "1001", "--supervised", "--to-agent", "1002", "--token", "secret")
    assert (result.code, result.err) == (1, f"asterisk-avp: {busy}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("transfer",),
        ("transfer", "1001", "--to-agent", "1002"),
        ("transfer", "1001", "--supervised"),
        ("transfer", "1001", "--supervised", "--unsupervised", "--to-agent", "1002"),
        ("transfer", "1001", "--supervised", "--to-agent", "1", "--to-group", "sales"),
        ("complete",),
        ("render", "queues", "--agent", "no such/agent"),
        ("render", "queues", "--nonsense"),
    ],
)
def test_wrong_usage(avp, arguments: tuple[str, ...]) -> None:
    result = avp(*arguments)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_version_and_help(avp) -> None:
    assert avp("--version").out == "asterisk-avp 0.1.0\n"
    shown = avp("--help").out
    commands = ("run", "agents", "targets", "transfer", "complete", "cancel", "watch", "render")
    commands += ("number", "settings")
    assert all(command in shown for command in commands)


def test_no_daemon(avp) -> None:
    result = avp("agents", "--url", "http://127.0.0.1:9")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "asterisk-avp: cannot reach the daemon at http://127.0.0.1:9:"
        " is `asterisk-avp run` running there?\n"
    )
    assert avp("watch", "--url", "http://127.0.0.1:9").code == 1
    for command in ("agents", "watch"):
        wrong = avp(command, "--url", "127.0.0.1:9")
        assert wrong.code == 1
        assert "this is not an http:// address" in wrong.err


@responses.activate
def test_no_answer_in_time_and_another_program(avp) -> None:
    responses.get("http://127.0.0.1:8766/v1/agents", body=requests.ReadTimeout())
    assert "no answer within 30 s" in avp("agents").err
    responses.replace(responses.GET, "http://127.0.0.1:8766/v1/agents", body="<html>", status=200)
    assert "is not an asterisk-avp API (status 200)" in avp("agents").err


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8766"),
        ({"AVP_API__HOST": "192.0.2.11"}, "http://192.0.2.11:8766"),
        ({"AVP_API__HOST": "0.0.0.0", "AVP_API__PORT": "9000"}, "http://127.0.0.1:9000"),
        ({"AVP_API__HOST": "::"}, "http://[::1]:8766"),
        ({"AVP_API__HOST": "192.0.2.11", "AVP_URL": "https://a.example"}, "https://a.example"),
    ],
)
@responses.activate
def test_the_daemon_is_where_its_settings_say(
    avp, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], url: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    responses.get(f"{url}/v1/agents", json=[])
    assert avp("agents").code == 0


def test_wrong_token(api: RunningApi, avp) -> None:
    for command in ("agents", "watch"):
        result = avp(command, "--token", "wrong")
        assert result.code == 1
        assert "rejects this token" in result.err


def test_a_proxy_and_netrc_are_not_for_the_daemon(
    api: RunningApi, avp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert avp("agents").code == 0


@pytest.mark.parametrize("as_json", [True, False])
def test_watch_prints_events_as_they_come(api: RunningApi, as_json: bool) -> None:
    command = [sys.executable, "-m", "asterisk_avp", "watch", *(["--json"] if as_json else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as watch:
        assert watch.stdout is not None
        try:
            api.wait_subscribed()
            first = watch.stdout.readline()
            if as_json:
                assert json.loads(first)["type"] == "snapshot"
            else:
                assert first == "ready\n"
                lines = [watch.stdout.readline() for _ in range(5)]
                assert "agent 1001 Alice: talking, call with Zoë" in lines[0]
                assert lines[3:] == [
                    f"group {name}: 1 available, 2 logged in, 0 waiting\n"
                    for name in ("sales Sales", "support Support")
                ]
            api.do(lambda: api.board.changed(transfer_view("t7", "1001", "1002")))
            line = watch.stdout.readline()
            if as_json:
                assert json.loads(line)["transfer"]["id"] == "t7"
            else:
                assert "transfer t7: waiting, unsupervised by 1001 to agent 1002" in line
        finally:
            watch.terminate()


# --- run -------------------------------------------------------------------------------------


def test_run_with_bad_settings_names_them_all(avp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_FOO", "1")
    monkeypatch.setenv("AVP_API__PORT", "x")
    result = avp("run")
    assert result.code == 1
    for name in ("AVP_FOO", "AVP_API__PORT", "AVP_ARI__PASSWORD", "AVP_GROUPS__<ID>__QUEUE"):
        assert name in result.err


# --- render ----------------------------------------------------------------------------------


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_GROUPS__SALES__QUEUE", "sales")
    monkeypatch.setenv("AVP_GROUPS__SALES__ACW_SECONDS", "2")


@pytest.mark.usefixtures("groups")
def test_render_queues_needs_no_connection(avp, tmp_path: Path) -> None:
    (tmp_path / "queues.conf").write_text("[sales]\nmember => PJSIP/1001\n#include more.conf\n")
    arguments = ("render", "queues", "--agent", "1009", "--from-queues", "queues.conf")
    shown = avp(*arguments)
    assert shown.code == 0
    assert "; Written by: asterisk-avp render queues --agent 1009 --from" in shown.out
    assert "[avp-agent-1001](avp-personal)" in shown.out
    assert "[avp-agent-1009](avp-personal)" in shown.out
    assert "more.conf was not read" in shown.err
    written = avp(*arguments, "--output", "personal.conf")
    assert (written.code, written.out) == (0, "")
    assert (tmp_path / "personal.conf").read_text() == shown.out


@pytest.mark.usefixtures("groups")
def test_render_queues_without_agents_or_file(avp) -> None:
    assert "no agent is known" in avp("render", "queues").err
    missing = avp("render", "queues", "--from-queues", "nowhere.conf")
    assert missing.code == 1
    assert "nowhere.conf" in missing.err


@pytest.mark.usefixtures("groups")
def test_render_sql(avp, tmp_path: Path) -> None:
    """tests/asterisk/test_realtime.py runs it."""
    here = ("--config-dir", str(tmp_path))
    nowhere = avp("render", "endpoints-sql", "--agent", "1001", *here)
    assert nowhere.code == 1
    assert "name no table" in nowhere.err
    (tmp_path / "extconfig.conf").write_text("[settings]\nps_endpoints => sqlite3,asterisk\n")
    (tmp_path / "sorcery.conf").write_text("[res_pjsip]\nendpoint = realtime,ps_endpoints\n")
    shown = avp("render", "endpoints-sql", "--agent", "1001", *here)
    assert shown.code == 0
    assert "set_var = 'PJSIP_TRANSFER_HANDLING()=ari-only' WHERE id IN ('1001')" in shown.out
    assert "[globals]" in shown.err
    assert "criteria=type=endpoint" in shown.err
    old = avp("render", "endpoints-sql", "--agent", "1001", "--asterisk", "20.5.0", *here)
    assert "allow_transfer = 'no' WHERE id IN ('1001');" in old.out
    assert "ari-only" not in old.out
    assert "no agent is known" in avp("render", "endpoints-sql", *here).err
    queues = avp("render", "queues-sql", "--agent", "1001")
    assert "-- Written by: asterisk-avp render queues-sql --agent 1001" in queues.out
    assert "INSERT INTO queues (name, strategy" in queues.out
    assert avp("render", "queues-sql", "--agent", "1001", "--table", "q; x").code == 2
    assert "no agent is known" in avp("render", "queues-sql").err


def test_render_dialplan(avp) -> None:
    assert avp("render", "dialplan", "--path").out == f"{dialplan_dir()}\n"
    shown = avp("render", "dialplan")
    assert shown.code == 0
    for file in dialplan_files():
        assert file.read_text() in shown.out


def test_the_wheel_carries_the_dialplan_and_the_panel(tmp_path: Path) -> None:
    checkout = Path(asterisk_avp.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=checkout,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for file in dialplan_files():
            assert archive.read(f"asterisk_avp/dialplan/{file.name}") == file.read_bytes()
        for name, content in panel.files().items():
            assert archive.read(f"asterisk_avp/api/static/{name}") == content
    assert dialplan_files()
    assert "index.html" in panel.files()
    assert "asterisk_avp/py.typed" in names
    assert not any(name.startswith(("tests/", "docker/")) for name in names)
