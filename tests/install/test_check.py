"""`asterisk-avp check`: each fault that it claims to find, present and absent."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.cli_run import Avp, Result
from tests.adapters.servers.ari_server import Answer, AriServer

GOOD_VERSION = "22.11.0"

EXTENSIONS = """
[general]
static = yes
[globals]
SAFE = ir
OUT = ,60,i
[callers]
exten => 800,1,Queue(sales,${SAFE})
 same => n,Queue(sales,i)
exten => 801,1,Set(HOW=i${IF($["${X}" = "t"]?c:r)})
 same => n,Queue(sales,${HOW}b(avp-member^s^1(tT)),,,30)
[out]
exten => _X.,1,Dial(PJSIP/${EXTEN}@trunk,60,iL(1000:200)U(transfer^T))
 same => n,Dial(PJSIP/to-Tom@trunk&PJSIP/t,30)
 same => n,NoOp(a queue (t) or a dial)
"""
FEATURES = """
[general]
pickupexten = *8
[featuremap]
blindxfer => #1
atxfer => *2
[applicationmap]
record => *9,self,MixMonitor
avp_transfer => *7,self,UserEvent,"AVPFeature"
[mygroup]
record =>
"""
PJSIP = """
[global]
type = global
endpoint_identifier_order = header,ip,username
[agent](!)
type = endpoint
context = avp-agents
message_context = avp-nowhere
set_var = PJSIP_TRANSFER_HANDLING()=ari-only
rtp_timeout = 20
rtp_timeout_hold = 1800
timers = always
[1001](agent)
[1001]
type = auth
password = something-long
[1002](agent)
redirect_method = uri_core
[trunk]
type = endpoint
context = callers
allow_transfer = no
rtp_timeout = 21
rtp_timeout_hold = 1800
timers = always
[nothing]
type = endpoint
context = avp-nowhere
allow_transfer = no
deny = 0.0.0.0/0.0.0.0
deny = ::/0
[replaces]
type = identify
endpoint = nothing
match_header = Replaces: /./
"""
QUEUES = """
[general]
shared_lastcall = yes
persistentmembers = yes
[avp-agent-1001]
retry = 1
ringinuse = no
[avp-agent-1002]
retry = 1
ringinuse = no
[sales]
member => PJSIP/1001,0,Alice
member => Local/1002@agents/n,0,Bob,PJSIP/1002
[other]
member => PJSIP/9999
"""


class Office:
    """An administrator's files and an Asterisk that reports its version."""

    def __init__(self, avp: Avp, place: Path, server: AriServer) -> None:
        self.avp, self.place, self.server = avp, place, server
        self.variables: dict[str, str] = {}
        self.etc = place / "etc"
        self.etc.mkdir()
        texts = {"extensions": EXTENSIONS, "features": FEATURES, "pjsip": PJSIP, "queues": QUEUES}
        for name, text in texts.items():
            self.write(name, text)
        self.version(GOOD_VERSION)
        self.settings = (
            f"AVP_ARI__URL={server.url}\nAVP_ARI__USERNAME=avp\nAVP_ARI__PASSWORD=s3cret\n"
            "AVP_AMI__USERNAME=avp\nAVP_AMI__SECRET=hush-hush\nAVP_API__TOKENS=hush-hush-hush-hush\n"
            "AVP_GROUPS__SALES__QUEUE=sales\n"
        )
        self.set()

    def write(self, name: str, text: str) -> None:
        (self.etc / f"{name}.conf").write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.etc / f"{name}.conf").read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def add(self, name: str, text: str) -> None:
        with (self.etc / f"{name}.conf").open("a") as file:
            file.write(text)

    def set(self, more: str = "") -> None:
        (self.place / ".env").write_text(self.settings + more)

    def version(self, version: str) -> None:
        self.server.answers["GET", "/asterisk/info"] = Answer(200, {"system": {"version": version}})

    def run(self, *arguments: str) -> Result:
        """Without Asterisk. tests/asterisk/test_check_live.py uses a real one."""
        where = ("--config-dir", str(self.etc), "--offline")
        return self.avp("check", *where, *arguments, **self.variables)

    def asked(self) -> list[dict[str, Any]]:
        """The findings that are not ok and depend on the version, which is queried."""
        result = self.avp("check", "--config-dir", str(self.etc), "--json")
        ids = ("version", "transfer_button")
        found = json.loads(result.out)["findings"]
        return [x for x in found if x["id"] in ids and x["severity"] != "ok"]

    def findings(self) -> list[dict[str, Any]]:
        """The findings that are not ok."""
        result = self.run("--json")
        answer = json.loads(result.out)
        assert result.code == (1 if answer["errors"] else 0)
        assert answer["ok"] == (not answer["errors"])
        found: list[dict[str, Any]] = [x for x in answer["findings"] if x["severity"] != "ok"]
        assert len(found) == answer["errors"] + answer["warnings"]
        assert all(x["why"] for x in found)
        return found

    def short(self) -> list[tuple[str, str, str]]:
        return [(x["severity"], x["id"], x["where"]) for x in self.findings()]

    def one(self) -> dict[str, Any]:
        found, *more = self.findings()
        assert not more, more
        return found


@pytest.fixture
def server() -> Iterator[AriServer]:
    """In a separate thread, because the command runs an event loop itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = AriServer()
    asyncio.run_coroutine_threadsafe(server.listen(), loop).result(10)
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def office(
    server: AriServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Office:
    return Office(Avp(capsys, monkeypatch, tmp_path), tmp_path, server)


# --- the command ------------------------------------------------------------------------------


def test_all_is_well(office: Office) -> None:
    result = office.run("--json")
    answer = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert {finding["severity"] for finding in answer["findings"]} == {"ok"}
    assert [finding["id"] for finding in answer["findings"]] == [
        *("settings", "files", "group_queue", "queue_settings", "personal_queue"),
        *("transfer_button", "dead_phone", "sip_refer", "invite_replaces", "sip_message"),
        *("dtmf_transfer", "forwarding", "hangup_extension"),
        *("foreign_values", "feature_code", "exposure", "password"),
    ]
    assert (answer["ok"], answer["errors"], answer["warnings"]) == (True, 0, 0)


def test_an_h_that_a_transferred_call_does_not_run(office: Office) -> None:
    """Ours runs it for the context, whose name it must be able to evaluate."""
    steps = "exten => h,1,System(/opt/cdr)\n same => n,NoOp(over)\n same => n,Hangup()\n"
    office.change("extensions", "[callers]", "[callers]\ninclude => more\ninclude => the rest")
    office.add("extensions", f"[more]\n{steps}[robots: of others]\n{steps}")
    assert not [x for x in office.findings() if x["id"] == "hangup_extension"]
    office.add("extensions", f"[the rest]\n{steps}")
    (found,) = [x for x in office.findings() if x["id"] == "hangup_extension"]
    assert (found["severity"], found["what"].split("]")[0]) == ("warning", "[the rest")
    assert found["mend"] == [
        "; before Queue():",
        "same => n,Set(CHANNEL(hangup_handler_push)=call-ends,s,1)",
        "; instead of h:",
        "[call-ends]",
        "exten => s,1,System(/opt/cdr)",
        "same => n,NoOp(over)",
        "same => n,Return()",
    ]


def test_an_agent_in_other_letters_is_another_one(office: Office) -> None:
    office.add("queues", "[sales](+)\nmember => PJSIP/anna\n")
    office.add("pjsip", "[anna]\ntype = endpoint\nset_var = PJSIP_TRANSFER_HANDLING()=ari-only\n")
    office.set("AVP_AGENTS__ANNA__PIN=hush-hush-hush\n")
    found = [x for x in office.findings() if "ANNA, the queues" in x["what"]]
    assert [(x["severity"], x["id"]) for x in found] == [("warning", "agents")]
    assert "AVP_AGENTS__anna__" in found[0]["mend"][0]
    office.set("AVP_AGENTS__anna__PIN=hush-hush-hush\n")
    assert not [x for x in office.findings() if "the queues a member" in x["what"]]


def test_for_people(office: Office) -> None:
    office.change("pjsip", "ari-only\n", "core\n")
    office.change("extensions", "Queue(sales,i)", "Queue(sales,it)")
    result = office.run()
    assert (result.code, result.err) == (1, "")
    lines = result.out.splitlines()
    assert lines[0].split() == ["RESULT", "CHECK", "WHERE", "WHAT"]
    assert [line.split()[0] for line in lines[1:4]] == ["error"] * 3
    assert [line.split()[0] for line in lines[4:17]] == ["ok"] * 13
    assert "      [1002](+type=endpoint)" in lines
    assert "      set_var = PJSIP_TRANSFER_HANDLING()=ari-only" in lines
    assert "      same => n,Queue(sales,i)" in lines
    assert "  In place of extensions.conf:9:" in lines
    assert "  At the end of pjsip.conf:" in lines
    assert lines[-1] == "errors: 3, warnings: 0"
    assert "hush" not in result.out


def test_wrong_usage(office: Office) -> None:
    for wrong in ("none", "etc/pjsip.conf"):
        assert office.avp("check", "--config-dir", wrong).code == 2
    assert office.run("--what").code == 2


def test_settings(office: Office) -> None:
    office.set("AVP_GROUPS__SALES__ACW_SECONDS=soon\n")
    found = office.findings()
    assert [(x["severity"], x["id"]) for x in found] == [
        ("error", "settings"),
    ]
    assert "AVP_GROUPS__SALES__ACW_SECONDS" in found[0]["what"]


def test_settings_of_a_stranger(office: Office) -> None:
    """They are ignored, and check reports it (see test_strangers_dotenv.py for the rest)."""
    variables = dict(line.split("=", 1) for line in office.settings.splitlines())
    (office.place / ".env").chmod(0o666)
    result = office.avp(
        "check", "--config-dir", str(office.etc), "--offline", "--json", **variables
    )
    found = [x for x in json.loads(result.out)["findings"] if x["severity"] != "ok"]
    assert [(x["severity"], x["id"]) for x in found] == [("warning", "settings")]
    assert "is not trusted" in found[0]["what"]
    assert "hush" not in result.out


def test_secrets_that_everybody_can_read(office: Office) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ami"
        file.write_text("hush-hush-too\n")
        file.chmod(0o644)
        office.settings = office.settings.replace("AVP_AMI__SECRET=hush-hush\n", "")
        office.set()
        office.variables = {"AVP_AMI__SECRET_FILE": str(file)}
        assert office.findings() == []  # the directory is closed to others
        Path(folder).chmod(0o755)
        found = office.one()
        assert (found["severity"], found["id"]) == ("warning", "settings")
        assert str(file) in found["what"]
        assert found["mend"] == [f"# chmod o-r {file}"]
        file.chmod(0o600)
        assert office.findings() == []


# --- files --------------------------------------------------------------------------------------


def test_files_that_are_not_there(office: Office) -> None:
    for name in ("extensions", "features", "pjsip", "queues"):
        (office.etc / f"{name}.conf").unlink()
    office.set("AVP_AGENTS__1001__NAME=Alice\n")
    assert office.short() == [
        ("warning", "files", "extensions.conf"),
        ("warning", "files", "pjsip.conf"),
        ("warning", "files", "queues.conf"),
        ("warning", "agents", "pjsip.conf"),
    ]


def test_what_cannot_be_read(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.add("extensions", "#include more.conf\n")
    office.add("queues", "#exec /usr/bin/queues\n")
    assert office.short() == [
        ("error", "files", "extensions.conf:16"),
        ("warning", "files", "queues.conf:16"),
    ]
    (office.etc / "more.conf").write_text("")
    reading = Path.read_text

    def refuse(path: Path, *arguments: Any, **more: Any) -> str:
        if path.name == "more.conf":
            raise PermissionError(13, "Permission denied")
        return reading(path, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = office.findings()[0]
    assert (found["severity"], found["where"]) == ("error", "more.conf")
    assert found["what"] == "cannot be read: Permission denied"


# --- version --------------------------------------------------------------------------------------


def test_a_version_that_crashes(office: Office) -> None:
    office.version("22.10.1+dfsg+~cs6.17.60671434-1")
    (found,) = office.asked()
    assert (found["severity"], found["id"]) == ("warning", "version")
    assert "22.10.1" in found["what"]
    assert "2021" in found["why"]
    office.version("GIT-22-5a2b3c4d5e")
    assert [x["severity"] for x in office.asked()] == ["warning"]


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        ("13.38.3", "error", "too old"),
        ("16.28.0~dfsg-0+deb11u4", "warning", "not maintained"),
        ("18.26.4", "warning", "not maintained"),
        ("21.12.3", "warning", "security only"),
        ("24.0.0", "warning", "not tested"),
    ],
)
def test_a_version_that_is_not_the_tested_one(
    office: Office, version: str, severity: str, words: str
) -> None:
    office.version(version)
    found = next(x for x in office.asked() if x["id"] == "version")
    assert found["severity"] == severity
    assert found["what"] == f"Asterisk {version}: {words}"
    assert "Asterisk 22" in found["why"]


@pytest.mark.parametrize(
    ("version", "run"),
    [("20.21.0", "20.20.1"), ("22.11.0-rc1", "22.10.1"), ("23.5.0", "23.4.1")],
)
def test_a_version_whose_branch_was_tested(office: Office, version: str, run: str) -> None:
    office.version(version)
    result = office.avp("check", "--config-dir", str(office.etc), "--json")
    (found,) = [x for x in json.loads(result.out)["findings"] if x["id"] == "version"]
    assert (found["severity"], found["what"]) == (
        "ok",
        f"Asterisk {version}; the tests ran on {run}",
    )


@pytest.mark.parametrize("version", ["22.2.0", "22.6.0"])
def test_a_version_that_has_no_way_to_guard_the_button(office: Office, version: str) -> None:
    office.version(version)
    found = office.asked()
    assert "allow_transfer=no" in found[0]["why"]
    errors = [x for x in found if x["severity"] == "error"]
    assert [x["id"] for x in errors] == ["transfer_button"] * 2
    assert errors[0]["mend"] == ["[1001](+type=endpoint)", "allow_transfer = no"]
    office.change("pjsip", "[agent](!)\n", "[agent](!)\nallow_transfer = no\n")
    assert {x["severity"] for x in office.asked()} == {"warning"}


def test_no_answer(office: Office) -> None:
    office.set("AVP_ARI__PASSWORD=wrong\n")
    (refused,) = office.asked()
    assert (refused["severity"], refused["id"]) == ("error", "version")
    assert "ari.conf" in refused["what"]
    office.set("AVP_ARI__URL=http://127.0.0.1:9/ari\n")
    assert [x["id"] for x in office.asked()] == ["version"]
    assert "wrong" not in str(refused)


# --- agents' phones -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "guarded"),
    [
        ("set_var = PJSIP_TRANSFER_HANDLING()=ari-only", True),
        ("set_var => PJSIP_TRANSFER_HANDLING()=ari-only", True),
        ("SET_VAR = PJSIP_TRANSFER_HANDLING()=ari-only", True),
        ("set_var = X=1\nset_var = PJSIP_TRANSFER_HANDLING()=ari-only", True),
        ("allow_transfer = no", True),
        ("allow_transfer = false\nset_var = PJSIP_TRANSFER_HANDLING()=core", True),
        ("", False),
        ("; set_var = PJSIP_TRANSFER_HANDLING()=ari-only", False),
        ("set_var = PJSIP_TRANSFER_HANDLING()=core", False),
        ("set_var = PJSIP_TRANSFER_HANDLING()=ARI-only", False),
        ("set_var = PJSIP_TRANSFER_HANDLING=ari-only", False),
        (
            "set_var = PJSIP_TRANSFER_HANDLING()=ari-only\nset_var = PJSIP_TRANSFER_HANDLING()=",
            False,
        ),
        ("allow_transfer = no\nallow_transfer = yes", False),
    ],
)
def test_the_transfer_button(office: Office, line: str, guarded: bool) -> None:
    office.change("pjsip", "set_var = PJSIP_TRANSFER_HANDLING()=ari-only", "")
    office.change("pjsip", "[1001](agent)\n", f"[1001](agent)\n{line}\n")
    office.change("pjsip", "redirect_method = uri_core", "allow_transfer = no")
    if guarded:
        assert office.findings() == []
        return
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "transfer_button")
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []


def test_whose_phones_they_are(office: Office) -> None:
    """Agents from the settings, from the queues, and from their context; other phones do not
    matter."""
    office.change("pjsip", "set_var = PJSIP_TRANSFER_HANDLING()=ari-only", "")
    office.change("pjsip", "context = avp-agents", "context = mine")
    office.add("pjsip", "[desk](agent)\n[far](agent)\ncontext = avp-agents\n")
    office.set("AVP_AGENTS__1003__INTERFACE=PJSIP/desk\n")

    def phones() -> list[str]:
        found = [x for x in office.findings() if x["id"] == "transfer_button"]
        return [x["what"].split("[")[1].split("]")[0] for x in found]

    assert phones() == ["desk", "1001", "1002", "far"]
    office.change("queues", "[sales]", "[SALES]")
    assert len(phones()) == 4
    office.change("queues", "[SALES]", "[elsewhere]")
    assert len(phones()) == 2


def test_agents_that_are_not_known(office: Office) -> None:
    office.change("queues", "[sales]", "[elsewhere]")
    office.change("pjsip", "context = avp-agents", "context = mine")
    assert office.one()["id"] == "agents"
    office.set("AVP_AGENTS__7__NAME=Seven\n")
    assert "[7]" in next(x["what"] for x in office.findings() if x["id"] == "agents")


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ("rtp_timeout = 20\n", "", "silence when a phone dies"),
        ("rtp_timeout = 20\n", "rtp_timeout = 60\n", "silence when a phone dies"),
        ("rtp_timeout_hold = 1800\n", "", "rtp_timeout_hold"),
        ("timers = always\n", "timers = yes\n", "session timers"),
    ],
)
def test_a_phone_that_dies(office: Office, there: str, instead: str, said: str) -> None:
    office.change("pjsip", there, instead)
    found = office.one()
    assert (found["severity"], found["id"]) == ("warning", "dead_phone")
    assert said in found["what"]
    assert "[1001], [1002]" in found["what"]
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []


def test_a_phone_that_is_not_asked_whether_it_is_there(office: Office) -> None:
    office.change("pjsip", "[1001](agent)\n", "[1001](agent)\naors = 1001\n[1001]\ntype = aor\n")
    found = office.one()
    assert (found["severity"], found["id"]) == ("warning", "dead_phone")
    assert "[1001]" in found["what"]
    assert "[1002]" not in found["what"]
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []


def test_a_trunk_that_dies(office: Office) -> None:
    office.add("pjsip", "[it]\ntype = identify\nendpoint = trunk\nmatch = 192.0.2.1\n")
    office.change("pjsip", "rtp_timeout = 21\n", "")
    found = next(x for x in office.findings() if x["id"] == "dead_phone")
    assert "[trunk]" in found["what"]


def test_redirect_method(office: Office) -> None:
    office.change("pjsip", "redirect_method = uri_core", "redirect_method = uri_pjsip")
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "redirect_method")
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []


def test_bridge_features_of_an_endpoint(office: Office) -> None:
    office.change("pjsip", "[1001](agent)\n", "[1001](agent)\nset_var = BRIDGE_FEATURES=HT\n")
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "dtmf_transfer")
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []


# --- REFER of trunks and callers ---------------------------------------------------------------


def refers(office: Office) -> list[dict[str, Any]]:
    return [x for x in office.findings() if x["id"] == "sip_refer"]


@pytest.mark.parametrize(
    ("lines", "guarded"),
    [
        ("", False),
        ("allow_transfer = yes", False),
        ("allow_transfer = no\nallow_transfer = 1", False),
        ("set_var = PJSIP_TRANSFER_HANDLING()=core", False),
        ("allow_transfer = no", True),
        ("allow_transfer => false", True),
        ("set_var = PJSIP_TRANSFER_HANDLING()=ari-only", True),
    ],
)
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("context = callers", "whose calls reach agents"),
        ("context = a", "whose calls reach agents"),
        ("context = b", "whose calls reach agents"),
        ("context = none\noverlap_context = c", "whose calls reach agents"),
        ("context = none\noutbound_auth = x", "to which Asterisk logs in"),
        ("context = none\n[i]\ntype = identify\nendpoint = x\nmatch = 192.0.2.7", "a trunk"),
        ("context = none\n[i]\ntype = identify\nendpoint = x\nmatch_header = X-A: 1", "a trunk"),
    ],
)
def test_who_may_transfer_by_refer(
    office: Office, more: str, reason: str, lines: str, guarded: bool
) -> None:
    office.add("extensions", "[a]\ninclude => b\n[b]\nexten => 1,1,Goto(c,1,1)\n")
    office.add("extensions", "[c]\nexten => 1,1,Dial(PJSIP/lobby&PJSIP/1001,60,i)\n")
    office.add("pjsip", f"[x]\ntype = endpoint\nmessage_context = avp-nowhere\n{lines}\n{more}\n")
    if guarded:
        assert refers(office) == []
        return
    (found,) = refers(office)
    assert (found["severity"], found["what"]) == (
        "error",
        f"[x], {reason}, may transfer calls by REFER",
    )
    assert "603" in found["why"]
    assert found["mend"] == ["[x](+type=endpoint)", "allow_transfer = no"]
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert refers(office) == []


@pytest.mark.parametrize("way", ["${EXTEN}@out-1,60", "out-1/sip:${EXTEN}@192.0.2.7,60"])
def test_a_way_out_is_a_trunk(office: Office, way: str) -> None:
    """A phone that answers there can send a REFER, whatever the endpoint itself may dial."""
    office.add("pjsip", "[out-1]\ntype = endpoint\ncontext = none\n")
    office.add("pjsip", "[out]\ntype = endpoint\ncontext = none\nallow_transfer = no\n")
    (found,) = refers(office)
    assert found["severity"] == "warning"
    office.add("extensions", f"[way]\nexten => _X,1,Dial(PJSIP/{way})\n")
    (found,) = refers(office)
    assert (found["severity"], "[out-1]" in found["what"]) == ("error", True)


def test_nobody_in_particular_may_transfer(office: Office) -> None:
    office.add("pjsip", "[anonymous]\ntype = endpoint\ncontext = none\n")
    (found,) = refers(office)
    assert (found["severity"], "[anonymous]" in found["what"]) == ("error", True)


def test_the_offices_other_phones(office: Office) -> None:
    """They may need their button, and their calls reach no agent: a single warning."""
    office.add("pjsip", "[door](!)\ntype = endpoint\ncontext = doors\n[7](door)\n[8](door)\n")
    office.add("extensions", "[doors]\nexten => 1,1,Dial(PJSIP/7,60)\n")
    (found,) = refers(office)
    assert found["severity"] == "warning"
    assert found["what"].endswith(": [7], [8]")
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert refers(office) == []


def test_a_version_that_hands_no_refer_over(office: Office) -> None:
    """Below 22.7, only allow_transfer protects against a trunk."""
    office.change("pjsip", "allow_transfer = no", "set_var = PJSIP_TRANSFER_HANDLING()=ari-only")
    for version, expected in ((GOOD_VERSION, []), ("22.5.0", ["error"])):
        office.version(version)
        result = office.avp("check", "--config-dir", str(office.etc), "--json")
        found = [x for x in json.loads(result.out)["findings"] if x["id"] == "sip_refer"]
        assert [x["severity"] for x in found if "[trunk]" in x["what"]] == expected


# --- INVITE with Replaces ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("match_header = Replaces: /./", "match_header = X-Replaces: /./"),
        ("match_header = Replaces: /./", "match_header = Replaces: x"),
        ("match_header = Replaces: /./", "match_header = Replaces: /^$/"),
        ("match_header = Replaces: /./", "match_header = Replaces: /(/"),
        ("type = identify", "type = acl"),
        ("endpoint = nothing", "endpoint = none"),
        ("endpoint_identifier_order = header,ip,username", ""),
        ("header,ip", "ip,header"),
        ("[global]\ntype = global", "[global](!)\ntype = global"),
        ("\ncontext = avp-nowhere", "\ncontext = callers"),
        ("\ncontext = avp-nowhere", ""),  # the context is then "default"
        ("\ncontext = avp-nowhere", "\ncontext = avp-nowhere\noverlap_context = callers"),
        ("deny = ::/0", ""),
        ("deny = 0.0.0.0/0.0.0.0", "deny = 10.0.0.0/255.0.0.0"),
        ("deny = ::/0", "deny = ::/0\npermit = 10.0.0.1"),
        ("deny = ::/0", "auth = none"),
        ("deny = ::/0", "auth = 1001\nauth = open"),
        ("deny = ::/0", "auth = short"),
    ],
)
def test_replaces(office: Office, old: str, new: str) -> None:
    office.add("extensions", "[default]\ninclude => out\n")
    office.add("pjsip", AUTHS)
    assert office.findings() == []
    office.change("pjsip", old, new)
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "invite_replaces")
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []


def test_a_trunk_that_is_known_by_a_header(office: Office) -> None:
    """Anybody can send that header along with Replaces, and be identified as the trunk."""
    trunk = "[trunk]\ntype = identify\nendpoint = trunk\n{}\n"
    office.change("pjsip", "context = callers", "context = callers\nmessage_context = avp-nowhere")
    office.add("pjsip", trunk.format("match = 192.0.2.7"))
    assert office.findings() == []
    office.add("pjsip", trunk.format("match_header = X-Trunk: 1").replace("[trunk]", "[trunk2]"))
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "invite_replaces")
    assert "X-Trunk" in found["what"]
    assert found["where"].startswith("pjsip.conf:")
    office.change("pjsip", "match_header = X-Trunk: 1", "match = 192.0.2.8")
    assert office.findings() == []


AUTHS = """
[short]
type = auth
username = short
password = 6c1f0a7d5e2b493
[open]
type = auth
username = open
auth_type = google_oauth
[long]
type = auth
username = long
password = 6c1f0a7d5e2b4938
[digest]
type = auth
username = digest
password_digest = MD5:0123456789abcdef0123456789abcdef
"""


@pytest.mark.parametrize(
    "line",
    ["auth = long", "auth = digest", "permit = 10.0.0.1\ndeny = 0.0.0.0/0, ::/0", "deny = ::0/0"],
)
def test_other_endpoints_that_nobody_can_be(office: Office, line: str) -> None:
    office.add("pjsip", AUTHS)
    office.change("pjsip", "deny = ::/0", line)
    assert office.findings() == []


# --- other methods ------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["", "message_context = callers", "message_context = inner"])
def test_messages_of_agents(office: Office, line: str) -> None:
    office.add("extensions", "[inner]\ninclude => callers\n")
    office.change("pjsip", "message_context = avp-nowhere", line)
    found = office.findings()
    assert [(x["severity"], x["id"]) for x in found] == [("error", "sip_message")] * 2
    for each in found:
        office.add("pjsip", "\n".join(["", *each["mend"], ""]))
    assert office.findings() == []


def test_messages_by_a_trunk(office: Office) -> None:
    office.add("pjsip", "[trunk]\ntype = identify\nendpoint = trunk\nmatch = 192.0.2.7\n")
    found = office.one()
    assert (found["severity"], found["id"]) == ("warning", "sip_message")
    assert "[trunk]" in found["what"]
    office.add("pjsip", "\n".join(["", *found["mend"], ""]))
    assert office.findings() == []
    # An endpoint that leads nowhere needs nothing, nor does one that must log in.
    office.add("pjsip", "[other]\ntype = endpoint\ncontext = empty\nallow_transfer = no\n")
    office.add("pjsip", "rtp_timeout = 20\nrtp_timeout_hold = 1800\ntimers = always\n")
    office.add("pjsip", "[other]\ntype = identify\nendpoint = other\nmatch = 192.0.2.8\n")
    assert office.findings() == []


def test_device_states_that_phones_publish(office: Office) -> None:
    lines = "[devices]\ntype = inbound-publication\nevent_asterisk-devicestate = peers\n{}\n"
    text = (office.etc / "pjsip.conf").read_text()
    for sender, expected in (("", True), ("endpoint = 1001", True), ("endpoint = trunk", False)):
        office.write("pjsip", text + lines.format(sender))
        found = [(x["severity"], x["id"]) for x in office.findings()]
        assert found == [("error", "sip_publish")] * expected, sender
    office.write("pjsip", text + lines.format("").replace("asterisk-devicestate", "asterisk-mwi"))
    assert office.findings() == []


@pytest.mark.parametrize("header", ["Replaces: /.+/", "replaces:/to-tag/", "REPLACES : /^.*$/"])
def test_other_ways_to_write_it(office: Office, header: str) -> None:
    office.change("pjsip", "Replaces: /./", header)
    assert office.findings() == []


# --- transfer by keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ("1,1,Queue(sales,it)", "1,1,Queue(sales,i)"),
        ("1,1,Queue(sales,Tic,,,30)", "1,1,Queue(sales,ic,,,30)"),
        ("1,1,queue(sales,rtim(T))", "1,1,queue(sales,rim(T))"),
        ("1,1,Dial(PJSIP/1&PJSIP/2,30,tTg)", "1,1,Dial(PJSIP/1&PJSIP/2,30,g)"),
        ("1,1,Dial(PJSIP/${A:-3},,b(x^s^1(a,b))ti)", "1,1,Dial(PJSIP/${A:-3},,b(x^s^1(a,b))i)"),
        ("1,1,Dial(PJSIP/1,30,${SAFE}t)", "1,1,Dial(PJSIP/1,30,${SAFE})"),
        (
            '1,1,ExecIf($["${X}" = ""]?Dial(PJSIP/1,30,T))',
            '1,1,ExecIf($["${X}" = ""]?Dial(PJSIP/1,30,))',
        ),
        ("1,1,RetryDial(a,1,2,PJSIP/1,30,t)", "1,1,RetryDial(a,1,2,PJSIP/1,30,)"),
        ("1,1,Dial(PJSIP/1,30,t", "1,1,Dial(PJSIP/1,30,"),
        ("1,1,Dial(PJSIP/1,30,${TRANSFERS})", None),
        ("1,1,Queue(sales,i${AGAIN})", None),
        ("1,1,Queue(sales,i${IF($[1]?r:t)})", None),
        ("1,1,Set(BRIDGE_FEATURES=T)", "1,1,Set(BRIDGE_FEATURES=)"),
        ("1,1,Set(__BRIDGE_FEATURES=Ht)", "1,1,Set(__BRIDGE_FEATURES=H)"),
    ],
)
def test_options_that_let_keys_transfer(office: Office, line: str, mend: str | None) -> None:
    office.change("extensions", "SAFE = ir", "SAFE = ir\nTRANSFERS = tr\nAGAIN = ${TRANSFERS}")
    assert office.findings() == []
    office.add("extensions", f"[more]\nexten => {line}\n")
    found = office.one()
    place = "extensions.conf:19"
    assert (found["severity"], found["id"], found["where"]) == ("error", "dtmf_transfer", place)
    if mend is None:
        assert "remove t and T" in found["mend"][0]
    else:
        assert found["mend"] == [f"exten => {mend}"]
        office.change("extensions", f"exten => {line}\n", f"exten => {mend}\n")
        assert office.findings() == []


@pytest.mark.parametrize(
    "line",
    [
        "1,1,Queue(t,ri,T,t)",
        "1,1,Dial(PJSIP/t,30,ig,t)",
        "1,1,Dial(PJSIP/1,30,G(T^t^1))",
        "1,1,Dial(PJSIP/1,30,r) ; t",
        "1,1,DialX(PJSIP/1,30,t)",
        "1,1,QueueLog(a,b,t,T,t)",
        "1,1,Set(X=${QUEUE_MEMBER(t,t)})",
        "1,1,Dial(PJSIP/1,30,${LOOP})",
        "1,1,Set(BRIDGE_FEATURES=h)",
    ],
)
def test_options_that_do_not(office: Office, line: str) -> None:
    office.change("extensions", "SAFE = ir", "SAFE = ir\nLOOP = ${LOOP}")
    office.add("extensions", f"[more]\nexten => {line}\n")
    assert office.findings() == []


def test_options_that_are_not_known(office: Office) -> None:
    office.add("extensions", "[more]\nexten => 1,1,Queue(sales,i${WHO}${DB(a/b)})\n")
    found = office.one()
    assert (found["severity"], found["id"]) == ("warning", "dtmf_transfer")
    assert "${DB(a/b)}, ${WHO}" in found["what"]


def test_what_is_included_and_what_is_a_template(office: Office) -> None:
    office.add("extensions", "[t](!)\nexten => 1,1,Queue(sales,t)\n#include more.conf\n")
    (office.etc / "more.conf").write_text("[m]\nexten => 1,1,NoOp()\n same => n,Queue(sales,it)\n")
    assert office.one()["where"] == "more.conf:3"


# --- 302 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ("1,1,Queue(sales)", "1,1,Queue(sales,i)"),
        ("1,1,Queue(SALES,c)", "1,1,Queue(SALES,ic)"),
        ("1,1,Queue(new)", "1,1,Queue(new,i)"),  # agents may log in to it
        ("1,1,Queue(avp-agent-1001,,,,8)", "1,1,Queue(avp-agent-1001,i,,,8)"),
        ("1,1,Queue(sales,rb(ctx^s^1(i)))", "1,1,Queue(sales,irb(ctx^s^1(i)))"),
        ("1,1,Queue(sales,${IF($[${X}]?i:c)}", None),
        ("1,1,Queue(${WHICH},r)", "1,1,Queue(${WHICH},ir)"),
        ("1,1,Dial(PJSIP/1001)", "1,1,Dial(PJSIP/1001,,i)"),
        ("1,1,Dial(PJSIP/1001,30)", "1,1,Dial(PJSIP/1001,30,i)"),
        ("1,1,Dial(PJSIP/lobby&PJSIP/1002,30,g)", "1,1,Dial(PJSIP/lobby&PJSIP/1002,30,ig)"),
        ("1,1,Dial(PJSIP/x@1001/sip:y@z,30)", "1,1,Dial(PJSIP/x@1001/sip:y@z,30,i)"),
        ("1,1,Dial(PJSIP/${EXTEN},30)", "1,1,Dial(PJSIP/${EXTEN},30,i)"),
        ("1,1,Dial(${PHONE},30)", "1,1,Dial(${PHONE},30,i)"),
        ("1,1,Dial(${ANY},30)", "1,1,Dial(${ANY},30,i)"),
        ("1,1,ExecIf($[${X}]?Dial(PJSIP/1001,30))", "1,1,ExecIf($[${X}]?Dial(PJSIP/1001,30,i))"),
        ("1,1,Page(PJSIP/lobby&PJSIP/1001)", "1,1,Page(PJSIP/lobby&PJSIP/1001,i)"),
        ("1,1,Page(PJSIP/1001,d,10)", "1,1,Page(PJSIP/1001,id,10)"),
        ("1,1,RetryDial(a,1,2,PJSIP/1001,30)", "1,1,RetryDial(a,1,2,PJSIP/1001,30,i)"),
        ("1,1,Dial(PJSIP/1001,30,G(i^i^1))", "1,1,Dial(PJSIP/1001,30,iG(i^i^1))"),
        ("1,1,Queue(sales,${NONE})", "1,1,Queue(sales,i${NONE})"),
    ],
)
def test_phones_that_may_send_a_call_on(office: Office, line: str, mend: str | None) -> None:
    office.change("extensions", "SAFE = ir", "SAFE = ir\nPHONE = PJSIP/1001\nNONE = cr")
    office.change("extensions", "[callers]", "[callers]\ninclude => more")
    office.add("extensions", f"[more]\nexten => {line}\n")
    found = office.one()
    expected = ("error" if mend else "warning", "forwarding", "extensions.conf:20")
    assert (found["severity"], found["id"], found["where"]) == expected
    if mend is not None:
        assert found["mend"] == [f"exten => {mend}"]
    office.change("extensions", f"exten => {line}\n", f"{found['mend'][0]}\n")
    assert office.findings() == []


@pytest.mark.parametrize(
    "line",
    [
        "1,1,Queue(robots)",
        "1,1,Dial(PJSIP/${EXTEN}@trunk,60)",
        "1,1,Dial(PJSIP/lobby,30)",
        "1,1,Dial(${OUTSIDE}/${EXTEN},30)",
        "1,1,Dial(Local/1001@inner,30)",
        "1,1,Dial(DAHDI/g1/${EXTEN},30)",
        "1,1,QueueLog(sales,x,PJSIP/1001,EVENT)",
        "1,1,Queue(sales,${IF($[${X}]?i:ic)})",
        "1,1,Queue(sales,tb(ctx^s^1)i) ; and t is another matter",
    ],
)
def test_phones_that_may_not(office: Office, line: str) -> None:
    office.change("extensions", "SAFE = ir", "SAFE = ir\nOUTSIDE = PJSIP/trunk")
    office.add("extensions", f"[more]\nexten => {line}\n")
    office.add("queues", "[robots]\nmember => PJSIP/robot\n")
    found = [x for x in office.findings() if x["id"] != "dtmf_transfer"]
    assert found == []


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        ("", False),
        ("[callers](+)\ninclude => more,9:00-17:00,mon-fri,*,*", True),
        ("[callers](+)\nexten => 9,1,GotoIf($[${X}]?more,1,1:out,1,1)", True),
        ("[callers](+)\nexten => 9,1,GotoIf($[${X}]?out,1,1:more,1,1)", True),
        ("[callers](+)\nexten => 9,1,Gosub(more,1,1(a,b))", True),
        ("[callers](+)\nexten => 9,1,Queue(sales,ib(more^1^1(x)))", True),
        ("[callers](+)\nexten => 9,1,Dial(Local/1@more/n,30,i)", True),
        ("[callers](+)\nexten => 9,1,Goto(one,1,1)\n[one]\ninclude => more", True),
        ("[more](+)\n[macro-x]\ninclude => more\n[callers](+)\nexten => 9,1,Macro(x,1)", True),
        ("[one]\ninclude => more", False),
        ("[callers](+)\nexten => 9,1,Goto(out,more,1)", False),
    ],
)
def test_contexts_that_no_call_comes_to(office: Office, line: str, reached: bool) -> None:
    """Samples of a distribution: a possible agent's phone matters only where calls arrive."""
    office.add("extensions", f"[more]\nexten => 1,1,Dial(${{ARG1}},30)\n{line}\n")
    found = [(x["severity"], x["where"]) for x in office.findings() if x["id"] == "forwarding"]
    assert found == [("error", "extensions.conf:17")] * reached
    # A known agent's phone is enough by itself, and so is a member that dials it.
    office.change("extensions", "Dial(${ARG1}", "Dial(PJSIP/1001")
    assert [x["id"] for x in office.findings() if x["id"] == "forwarding"] == ["forwarding"]
    office.change("extensions", "Dial(PJSIP/1001", "Dial(${ARG1}")
    office.change("queues", "Local/1002@agents", "Local/1002@more")
    assert [x["id"] for x in office.findings() if x["id"] == "forwarding"] == ["forwarding"]


def test_an_application_that_has_no_such_option(office: Office) -> None:
    office.add("extensions", "[more]\nexten => 1,1,Originate(PJSIP/1001,exten,callers,800,1)\n")
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "forwarding")
    assert "Local/" in found["mend"][0]
    office.change("extensions", "Originate(PJSIP/1001,", "Originate(Local/1001@inner,")
    assert office.findings() == []


def test_options_that_may_have_i(office: Office) -> None:
    office.add("extensions", "[more]\nexten => 1,1,Queue(sales,${WHO})\n")
    found = [x for x in office.findings() if x["id"] == "forwarding"]
    assert [x["severity"] for x in found] == ["warning"]
    assert "${WHO}" in found[0]["what"]


# --- values from outside ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('1,1,GotoIf($["${CALLERID(num)}" = "1"]?a,1)', "${CALLERID(num)} is in an expression"),
        ("1,1,Set(X=${LEN(${CALLERID(name)})})", "an argument of LEN()"),
        ("1,1,ExecIf($[1]?Set(X=${PJSIP_HEADER(read,X-A)}))", "the arguments of execif()"),
        ("1,1,System(echo ${CALLERID(num)})", "the arguments of system()"),
        ("1,1,Set(DB(a/${CALLERID(num)})=1)", "an argument of DB()"),
        ("1,1,NoOp(${X_${CALLERID(num)}})", "a variable name"),
        ("1,1,Set(N=${CALLERID(num)})\n same => n,Goto(a,${N},1)", "${N} is in"),
        ("1,1,Set(__N=${DB(a/b)})\n same => n,Set(M=x${N})\n same => n,NoOp($[${M}])", "${M}"),
        ("1,1,Set(N=${CALLERID(num)})\n same => n,NoOp($[${SHIFT(N)}])", "${SHIFT(N)}"),
        ("1,1,UserEvent(Call,Number: ${CALLERID(num)})", "userevent()"),
        ("_X.,1,Dial(PJSIP/${EXTEN}@trunk,60,i)", "${EXTEN} is in the arguments of dial()"),
        ("_9X!,1,Goto(out,${EXTEN:1},1)", "the arguments of goto()"),
        ("_[+0-9].,1,NoOp()\n same => n(x),Queue(q${EXTEN},i)", "the arguments of queue()"),
        ("i,1,Goto(a,${INVALID_EXTEN},1)", "${INVALID_EXTEN}"),
    ],
)
def test_values_that_are_evaluated(office: Office, line: str, words: str) -> None:
    office.change("extensions", "[callers]", f"[callers]\nexten => {line}")
    found = [x for x in office.findings() if x["id"] == "foreign_values"]
    assert [x["severity"] for x in found] == ["warning"]
    assert words in found[0]["what"]
    assert found[0]["where"] == f"extensions.conf:{8 + line.count(chr(10))}"
    # The same contexts, where neither phones nor trunks arrive.
    office.change("extensions", f"[callers]\nexten => {line}", "[callers]")
    office.add("extensions", f"[elsewhere]\nexten => {line}\n")
    assert [x for x in office.findings() if x["id"] == "foreign_values"] == []
    # Through an include or a Goto, they do.
    office.change("extensions", "[callers]", "[callers]\ninclude => elsewhere")
    assert len([x for x in office.findings() if x["id"] == "foreign_values"]) == 1
    office.change("extensions", "include => elsewhere", "exten => 7,1,Goto(elsewhere,s,1)")
    assert len([x for x in office.findings() if x["id"] == "foreign_values"]) == 1


@pytest.mark.parametrize(
    "line",
    [
        "1,1,Set(CALLERID(name)=Sales: ${CALLERID(name)})",
        "1,1,Verbose(1,${CALLERID(num)})",
        "1,1,Set(AVP_POP_NAME=${CALLERID(name)})",
        "_NXXNXXXXXX,1,Dial(PJSIP/${EXTEN}@trunk,60,i)",
        "_1[2-9]XX,1,Dial(PJSIP/${EXTEN:1}@trunk,60,i)",
        "_X.,1,NoOp(${EXTEN})",
        "_X.,1,Playback(ss-noservice)",
        "1,1,Set(N=${LEN(x)})\n same => n,GotoIf($[${N} > 3]?a,1)",
        "1,1,Set(AVP_TEXT=${CALLERID(num)})\n same => n,NoOp($[${AVP_CLEAN}])",
        "1,1,GotoIf($[${QUEUE_MEMBER(sales,ready)} = 0]?a,1)",
        '1,1,GotoIf($["${DIALSTATUS}" = "BUSY"]?a,1)',
    ],
)
def test_values_that_are_not(office: Office, line: str) -> None:
    office.change("extensions", "[callers]", f"[callers]\nexten => {line}")
    assert [x for x in office.findings() if x["id"] == "foreign_values"] == []


@pytest.mark.parametrize("variable", ["TRANSFER_CONTEXT", "__FORWARD_CONTEXT", "globals"])
def test_where_a_phone_sends_a_call(office: Office, variable: str) -> None:
    assert office.findings() == []  # `out` matches any text, and nothing reaches it
    if variable == "globals":
        office.change("extensions", "[globals]", "[globals]\nTRANSFER_CONTEXT = out")
    else:
        office.change("pjsip", "context = callers", f"context = callers\nset_var = {variable}=out")
    assert office.one()["id"] == "foreign_values"


def test_the_way_out(office: Office) -> None:
    """As in earlier READMEs: our dialplan continues there with the dialled number."""
    office.add("extensions", "[avp-external]\nexten => _+X!,1,Dial(PJSIP/${EXTEN}@trunk,60,i)\n")
    found = office.one()
    assert (found["severity"], found["id"]) == ("warning", "foreign_values")
    assert "AVP_NUMBER" in found["mend"][-1]
    office.change("extensions", "PJSIP/${EXTEN}@trunk,60,i)\n", "PJSIP/${AVP_NUMBER}@trunk,60,i)\n")
    assert office.findings() == []


def test_many_lines_with_foreign_values(office: Office) -> None:
    lines = "".join(f"exten => {n},1,System(${{CALLERID(num)}})\n" for n in range(14))
    office.change("extensions", "[callers]", f"[callers]\n{lines}")
    found = [x for x in office.findings() if x["id"] == "foreign_values"]
    assert len(found) == 11
    assert "4 more lines" in found[-1]["what"]


# --- codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("featuremap", "parkcall => *7"),
        ("featuremap", "parkcall => *72"),
        ("featuremap", "disconnect => *"),
        ("applicationmap", "x => *7,peer,Playback,tt-monkeys"),
        ("applicationmap", "x => *77,self,NoOp"),
        ("mygroup", "record => *7"),
    ],
)
def test_codes_that_clash(office: Office, section: str, line: str) -> None:
    office.change("features", f"[{section}]", f"[{section}]\n{line}")
    found = office.one()
    assert (found["severity"], found["id"]) == ("error", "feature_code")
    assert "*7" in found["what"]
    assert found["where"].startswith("features.conf:")
    office.change("features", line, found["mend"][0])
    assert office.findings() == []


def test_hanging_up_by_a_star(office: Office) -> None:
    """Asterisk's default code, if the dialplan enables it."""
    office.add("extensions", "[more]\nexten => 1,1,Dial(PJSIP/1,30,H)\n")
    alone = "[general]\n[applicationmap]\navp_transfer => *7,self,UserEvent,AVPFeature\n"
    for text in (FEATURES, alone):
        office.write("features", text)
        found = office.one()
        assert (found["id"], found["where"]) == ("feature_code", "features.conf")
        office.add("features", "\n".join(["", *found["mend"], ""]))
        assert office.findings() == []


@pytest.mark.parametrize("code", ["", "avp_transfer => *9,self,UserEvent,AVPFeature\n"])
def test_a_transfer_code_that_no_phone_has(office: Office, code: str) -> None:
    office.write("features", f"[featuremap]\ndisconnect =\n[applicationmap]\n{code}")
    found = office.one()
    assert (found["id"], found["severity"]) == ("feature_code", "warning")
    assert "*7" in found["what"]


@pytest.mark.parametrize("line", ["parkcall => #72", "x => 7", "x => #7*7"])
def test_codes_that_do_not_clash(office: Office, line: str) -> None:
    office.change("features", "[featuremap]", f"[featuremap]\n{line}")
    assert office.findings() == []
