"""`asterisk-avp render all`: its output, and that no edited file is ever lost."""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.pbx.ami_rights import READ, WRITE
from asterisk_avp.install.asterisk_conf import read
from tests.adapters.cli_run import Avp

QUEUES = """
[general]
persistentmembers = yes
[usual](!)
wrapuptime = 5
[sales](usual)
member => PJSIP/1001,0,Alice
member => Local/1002@agents/n,0,Bob,PJSIP/1002
[After Hours]
[night-desk]
member => PJSIP/1003
"""
PJSIP = """
[agent](!)
type = endpoint
[1001](agent)
[1001]
type = auth
password = x
[1003](agent)
[trunk]
type = endpoint
[mine]
type = global
endpoint_identifier_order = ip,username
"""
EXTENSIONS = "[general]\n[globals]\n[callers]\nexten => 800,1,Queue(sales)\n"
FEATURES = "[featuremap]\n[applicationmap]\nmonitor => *9,self,MixMonitor\n"
MANAGER = "[general]\nenabled = yes\nbindaddr = 127.0.0.1\n"


class Place:
    def __init__(self, avp: Avp, directory: Path) -> None:
        self.avp = avp
        self.etc, self.out = directory / "etc", directory / "out"
        self.etc.mkdir()
        texts = {"queues": QUEUES, "pjsip": PJSIP, "extensions": EXTENSIONS}
        texts |= {"features": FEATURES, "manager": MANAGER, "ari": "", "http": ""}
        for name, text in texts.items():
            (self.etc / f"{name}.conf").write_text(text)

    def render(self, *more: str, into: Path | None = None) -> tuple[int, str]:
        output = str(into or self.out)
        result = self.avp("render", "all", "--output", output, "--config-dir", str(self.etc), *more)
        return int(str(result.code)), result.out + result.err

    def text(self, name: str) -> str:
        return (self.out / name).read_text()

    def variables(self) -> dict[str, str | None]:
        return dotenv_values(self.out / "environment", interpolate=False)


@pytest.fixture
def place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Place:
    work = tmp_path / "work"
    work.mkdir()
    return Place(Avp(capsys, monkeypatch, work), tmp_path)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_installation_with_no_settings_at_all(place: Place) -> None:
    before = everything(place.etc)
    code, output = place.render()
    assert code == 0, output
    assert everything(place.etc) == before  # the administrator's files are untouched

    variables = place.variables()
    groups = {name: value for name, value in variables.items() if "GROUPS" in name}
    assert groups == {
        "AVP_GROUPS__SALES__QUEUE": "sales",
        "AVP_GROUPS__SALES__ACCOUNT": "main",
        "AVP_GROUPS__SALES__ACW_SECONDS": "5",
        "AVP_GROUPS__NIGHT_DESK__QUEUE": "night-desk",
        "AVP_GROUPS__NIGHT_DESK__ACCOUNT": "main",
    }  # "After Hours" cannot be used in AMI and in a dial string
    assert "'After Hours' cannot be an agent group" in output
    assert not {"AVP_ARI__URL", "AVP_AMI__HOST", "AVP_AMI__PORT"} & variables.keys()
    settings = Settings.load({k: v for k, v in variables.items() if v}, place.out)
    assert settings.world().groups["sales"].acw_seconds == 5

    queues = read_out(place, "avp_queues.conf")
    waits = {s.name: s.last("wrapuptime") for s in queues.sections if not s.template}
    assert waits == {"avp-agent-1001": "5", "avp-agent-1002": "5", "avp-agent-1003": "0"}
    # Asterisk would reject the file for a phone that pjsip.conf does not have.
    pjsip = place.text("avp_pjsip.conf")
    assert re.findall(r"^\[(\S+)\]\(\+type=\^endpoint", pjsip, re.MULTILINE) == ["1001", "1003"]
    assert (
        "[mine](+type=global)\nendpoint_identifier_order = header,request_uri,ip,username\n"
        in pjsip
    )
    assert "No endpoint is known for 1002" in output
    assert "[applicationmap](+)" in place.text("avp_features.conf")
    manager = place.text("avp_manager.conf")
    assert f"read = {','.join(READ)}\nwrite = {','.join(WRITE)}\n" in manager
    # The remaining steps, line by line, and no completed ones.
    todo = place.text("INSTALL.txt")
    assert todo in output
    assert f"install -m 600 {place.out}/environment /etc/asterisk-avp/environment" in todo
    assert "shared_lastcall = yes" in todo
    assert "persistentmembers" not in todo
    for name in ("extensions", "queues", "features", "pjsip", "manager", "ari"):
        assert f"{name}.conf, at the end:" in todo


NO_YES = "[general]\npersistentmembers = yes\nshared_lastcall = no\nshared_lastcall = yes\n"
YES_NO = "[general]\npersistentmembers = yes\nshared_lastcall = yes\nshared_lastcall = no\n"


@pytest.mark.parametrize(
    ("text", "version", "line"),
    [
        (NO_YES, "20.20.1", 3),
        (NO_YES, "22.10.1", 3),
        (NO_YES, "23.4.1", None),
        (YES_NO, "22.10.1", None),
        (YES_NO, "23.4.1", 4),
        (NO_YES, "GIT-master-5a2b3c4d5e", 3),
        (YES_NO, "GIT-master-5a2b3c4d5e", 4),
    ],
)
def test_a_wrong_line_is_replaced_and_not_added_to(
    place: Place, text: str, version: str, line: int | None
) -> None:
    """Of several lines of [general], app_queue takes the first up to 22, the last from 23 on."""
    (place.etc / "queues.conf").write_text(text + "[sales]\nmember => PJSIP/1001\n")
    assert place.render("--asterisk", version)[0] == 0
    todo = place.text("INSTALL.txt")
    if line is None:
        assert "shared_lastcall" not in todo
        return
    told = f"{place.etc}/queues.conf, replace line {line} (shared_lastcall = no):"
    assert todo.split(told)[1].split()[:3] == ["shared_lastcall", "=", "yes"]
    assert todo.count("shared_lastcall = yes") == 1
    lines = text.splitlines()
    lines[line - 1] = "shared_lastcall = yes"
    (place.etc / "queues.conf").write_text("\n".join([*lines, "[sales]\nmember => PJSIP/1001\n"]))
    assert place.render("--asterisk", version, "--write")[0] == 0
    assert "shared_lastcall" not in place.text("INSTALL.txt")


def test_asterisk_20_is_told_to_record_by_mixmonitor(place: Place) -> None:
    queues = QUEUES + "[taped]\nmonitor-format = wav\n"
    (place.etc / "queues.conf").write_text(queues)
    for version, told in (("20.20.1", True), ("22.10.1", False), ("21.12.3", False)):
        assert place.render("--asterisk", version, "--write")[0] == 0
        assert ("monitor-type = MixMonitor to [taped]" in place.text("INSTALL.txt")) is told
    (place.etc / "queues.conf").write_text(queues + "monitor-type = mixmonitor\n")
    assert place.render("--asterisk", "20.20.1", "--write")[0] == 0
    assert "MixMonitor" not in place.text("INSTALL.txt")


def test_what_the_settings_file_suggests_can_be_switched_on(place: Place) -> None:
    code, output = place.render()
    assert code == 0, output
    text = re.sub(
        "^#(AVP_(?:ENTERPRISE|ACCOUNTS))", r"\1", place.text("environment"), flags=re.MULTILINE
    )
    variables = dotenv_values(stream=io.StringIO(text), interpolate=False)
    settings = Settings.load({k: v for k, v in variables.items() if v}, place.out)
    features = settings.world().groups["sales"].features
    assert (features.manual_dial, features.country) == (True, "US")


def test_the_example_of_a_pin_is_an_agent_of_theirs(place: Place) -> None:
    queues = QUEUES.replace("PJSIP/1001", "PJSIP/anna").replace("Local/1002", "Local/Ben")
    (place.etc / "queues.conf").write_text(queues)
    assert place.render()[0] == 0
    assert "\n#AVP_AGENTS__anna__PIN_HASH=" in place.text("environment")


def test_asterisk_on_other_ports_and_addresses(place: Place) -> None:
    http = "[general]\nenabled = yes\nbindaddr = 192.0.2.7\nbindport = 8090\nprefix = pbx\n"
    (place.etc / "http.conf").write_text(http)
    (place.etc / "manager.conf").write_text("[general]\nbindaddr = ::\nport = 5039\n")
    code, output = place.render()
    assert code == 0, output
    variables = place.variables()
    assert variables["AVP_ARI__URL"] == "http://192.0.2.7:8090/pbx/ari"
    assert variables["AVP_AMI__HOST"] == "::1"
    assert variables["AVP_AMI__PORT"] == "5039"
    # Existing settings are kept.
    (place.etc / "manager.conf").write_text("[general]\nport = 5040\n")
    code, output = place.render()
    assert code == 0, output
    assert place.variables()["AVP_AMI__PORT"] == "5039"


@pytest.mark.parametrize(
    ("more", "trunk"),
    [
        ("[carrier]\ntype = endpoint\n[x]\ntype = identify\nendpoint = carrier\n", "carrier"),
        ("[sip-out]\ntype = endpoint\noutbound_auth = y\n", "sip-out"),
        ("[sip-out]\ntype = endpoint\n[x]\ntype = registration\nendpoint = sip-out\n", "sip-out"),
        # With two, it is unclear which one it is.
        ("[a]\ntype = endpoint\noutbound_auth = y\n[b]\ntype = endpoint\noutbound_auth = y\n", ""),
        # An agent's phone that is identified by its address is not a trunk.
        ("[x]\ntype = identify\nendpoint = 1001\n", ""),
        ("", ""),
    ],
)
def test_the_way_out_is_named_where_there_is_one_trunk(place: Place, more: str, trunk: str) -> None:
    (place.etc / "pjsip.conf").write_text(PJSIP + more)
    code, output = place.render()
    assert code == 0, output
    todo = place.text("INSTALL.txt")
    assert f"Dial(PJSIP/${{AVP_NUMBER}}@{trunk or 'trunk'},60,i)" in todo
    assert ("Replace `trunk`" in todo) is not bool(trunk)


def test_the_first_transfer_is_between_colleagues(place: Place) -> None:
    queues = QUEUES.replace("[sales]", "[early]\nmember => PJSIP/1000\n[sales]")
    (place.etc / "queues.conf").write_text(queues)
    assert place.render()[0] == 0
    assert "transfer 1001 --supervised --to-agent 1002" in place.text("INSTALL.txt")


def read_out(place: Place, name: str):
    conf = read(place.out, name)
    assert conf.faults == ()
    return conf


def test_secrets_are_made_once_and_never_shown(place: Place) -> None:
    code, first = place.render()
    assert code == 0
    secrets = [place.variables()[f"AVP_{x}"] or "" for x in SECRETS]
    assert len(set(secrets)) == 3
    assert min(map(len, secrets)) >= 32
    for name in ("environment", "avp_manager.conf", "avp_ari.conf"):
        assert stat.S_IMODE((place.out / name).stat().st_mode) == 0o600
    assert f"secret = {secrets[1]}\n" in place.text("avp_manager.conf")
    assert f"password = {secrets[0]}\n" in place.text("avp_ari.conf")

    # A new secret is a difference, but neither the old nor the new one is shown.
    place.avp._monkeypatch.setenv("AVP_AMI__SECRET", "an-entirely-new-one;")
    code, second = place.render()
    assert code == 1
    assert "AVP_AMI__SECRET= (not shown)" in second
    code, third = place.render("--write")
    assert code == 0
    assert "secret = an-entirely-new-one\\;\n" in place.text("avp_manager.conf")
    for secret in (*secrets, "an-entirely-new-one"):
        assert secret not in first + second + third
    # The next run finds it in the folder's own file, without the variable.
    place.avp._monkeypatch.delenv("AVP_AMI__SECRET")
    code, output = place.render()
    assert code == 0, output
    assert output.count(": unchanged") == 9


SECRETS = ("ARI__PASSWORD", "AMI__SECRET", "API__TOKENS")


def test_secrets_that_are_set_elsewhere_stay_there(place: Place, tmp_path: Path) -> None:
    (tmp_path / "ami").write_text("from-a-file\n")
    place.avp._monkeypatch.setenv("AVP_AMI__SECRET_FILE", str(tmp_path / "ami"))
    Path(".env").write_text("AVP_ARI__PASSWORD='from dotenv'\nAVP_ARI__USERNAME=portal\n")
    code, output = place.render()
    assert code == 0, output
    assert "secret = from-a-file\n" in place.text("avp_manager.conf")
    assert "[portal]\ntype = user\nread_only = no\npassword = from dotenv\n" in place.text(
        "avp_ari.conf"
    )
    variables = place.variables()
    assert "AVP_AMI__SECRET" not in variables
    assert variables["AVP_AMI__SECRET_FILE"] == str(tmp_path / "ami")
    assert variables["AVP_ARI__PASSWORD"] == "from dotenv"


def test_once_more_after_the_lines_were_added_nothing_changes(place: Place) -> None:
    """Rendering depends on the administrator's files, not on our own files beside them."""
    place.render()
    before = everything(place.out)
    for name in ("asterisk_avp", "avp_queues", "avp_features", "avp_pjsip", "avp_manager"):
        (place.etc / f"{name}.conf").write_text(place.text(f"{name}.conf"))
    (place.etc / "avp_ari.conf").write_text(place.text("avp_ari.conf"))
    for line in re.findall(r"^    #include (\S+)$", place.text("INSTALL.txt"), re.MULTILINE):
        of = {"asterisk_avp.conf": "extensions"}.get(line, line[4:-5])
        with (place.etc / f"{of}.conf").open("a") as file:
            file.write(f"\n#include {line}\n")
    code, output = place.render()
    assert code == 0, output
    assert output.count(": unchanged") == 9
    after = everything(place.out)
    changed = {Path(name).name for name in before if before[name] != after[name]}
    assert changed == {"INSTALL.txt", ".asterisk-avp-rendered.json"}  # the lines exist now
    assert "#include" not in place.text("INSTALL.txt").replace("below the #include", "")


def test_a_change_is_shown_and_written_only_on_request(place: Place) -> None:
    place.render()
    before = place.text("avp_queues.conf")
    (place.etc / "queues.conf").write_text(QUEUES + "member => PJSIP/1004\n")
    code, output = place.render()
    assert code == 1
    assert "+[avp-agent-1004](avp-personal)" in output
    assert "avp_queues.conf: differs; kept" in output
    assert place.text("avp_queues.conf") == before
    code, output = place.render("--write")
    assert code == 0
    assert "[avp-agent-1004]" in place.text("avp_queues.conf")
    assert "avp_queues.conf: replaced\n" in output
    assert not list(place.out.glob("*.before-*"))  # it was as we had written it


def test_what_was_edited_is_kept(place: Place) -> None:
    place.render()
    for name in ("asterisk-avp.service", "avp_manager.conf"):
        file = place.out / name
        file.write_text(file.read_text() + "\n; mine\n")
    code, output = place.render()
    assert code == 1
    assert "asterisk-avp.service: differs and was edited after it was written" in output
    assert "; mine" in place.text("asterisk-avp.service")
    code, output = place.render("--write")
    assert code == 0
    assert "your edited file is now asterisk-avp.service.before-1" in output
    assert "; mine" not in place.text("asterisk-avp.service")
    kept = place.out / "avp_manager.conf.before-1"
    assert "; mine" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    # And once more, beside the first backup.
    (place.out / "asterisk-avp.service").write_text("mine again")
    place.render("--write")
    assert (place.out / "asterisk-avp.service.before-2").read_text() == "mine again"
    assert "; mine" in place.text("asterisk-avp.service.before-1")


def test_edits_of_the_environment_file_stay(place: Place) -> None:
    place.render()
    file = place.out / "environment"
    text = file.read_text().replace("AVP_GROUPS__NIGHT_DESK__QUEUE=night-desk\n", "")
    text += "# by hand\nAVP_AGENTS__1001__NAME='Alice O`Hara'\n"
    file.write_text(text)
    code, output = place.render()
    assert code == 1  # agents of the night desk have no group any more
    assert "environment: unchanged" in output
    assert file.read_text() == text
    code, _ = place.render("--write")
    assert code == 0
    assert file.read_text() == text


def test_files_of_others_in_the_folder_are_left(place: Place) -> None:
    """The folder may be Asterisk's own. A file with one of our names may be somebody else's."""
    (place.etc / "avp_ari.conf").write_text("[somebody]\n")
    code, output = place.render(into=place.etc)
    assert code == 1
    assert (place.etc / "avp_ari.conf").read_text() == "[somebody]\n"
    assert "chmod 640" in output


def test_the_daemon_on_another_machine(place: Place) -> None:
    place.avp._monkeypatch.setenv("AVP_AGI__HOST", "0.0.0.0")
    code, output = place.render("--from", "192.0.2.10")
    assert code == 0
    assert "permit = 192.0.2.10\n" in place.text("avp_manager.conf")
    assert "127.0.0.1" not in place.text("avp_manager.conf")
    assert "AVP_AGI = agi://192.0.2.10:4583" in output


def test_an_asterisk_that_cannot_hand_over_the_button(place: Place) -> None:
    place.render("--asterisk", "22.5.0")
    text = place.text("avp_pjsip.conf")
    assert (
        text.count("allow_transfer = no") == 3
    )  # two agents, and the endpoint for senders of Replaces
    assert "ari-only" not in text


def test_lines_for_trunks_and_callers(place: Place) -> None:
    """They are the administrator's endpoints: the lines are listed until they exist."""
    for more, names in (
        ("[trunk](+)\ncontext = other\n", []),
        ("[trunk](+)\ncontext = callers\n[door]\ntype = endpoint\ncontext = callers\n", [1, 1]),
    ):
        (place.etc / "pjsip.conf").write_text(PJSIP + more)
        _, output = place.render("--write")
        assert output.count("    allow_transfer = no\n") == len(names)
    lines = [
        *("    [trunk](+type=endpoint)", "    allow_transfer = no"),
        *("    [door](+type=endpoint)", "    allow_transfer = no", ""),
    ]
    assert "\n".join(lines) in output
    assert "[1001]" not in output
    added = "\n".join(line.strip() for line in lines)
    (place.etc / "pjsip.conf").write_text(PJSIP + more + added)
    _, output = place.render("--write")
    assert "    allow_transfer = no\n" not in output


@pytest.mark.parametrize(
    "wrong",
    [
        ("--from", "here"),
        ("--user", "No Such"),
        ("--agent", "a/b"),
    ],
)
def test_wrong_usage(place: Place, wrong: tuple[str, str]) -> None:
    code, _ = place.render(*wrong)
    assert code == 2
    assert not place.out.exists()
