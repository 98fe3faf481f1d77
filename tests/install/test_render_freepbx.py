"""`asterisk-avp render all` on FreePBX and Issabel: only files that these leave to administrators.

The configuration is that of `tests.asterisk.freepbx`, which an Apply Config of ours writes.
"""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from dotenv import dotenv_values

from asterisk_avp.config.settings import Settings
from asterisk_avp.install.asterisk_conf import read
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.checks.model import Facts, Finding
from asterisk_avp.install.checks.override import overridden
from tests.adapters.cli_run import Avp
from tests.asterisk.freepbx.files import CUSTOM, written
from tests.asterisk.freepbx.model import Device, Pbx, Queue, User

VALUES = {
    "BIND": "127.0.0.1",
    "SIP_PORT": "5060",
    "HTTP_PORT": "8088",
    "AMI_PORT": "1",
    "MEDIA": "",
    "ADMIN_SECRET": "never-shown",
    "ARI_SECRET": "x",
    "FASTAGI": "agi://127.0.0.1:4573",
}
PBX = Pbx(
    users=(User("1001", "Alice"), User("1002", "Bob")),
    devices=(Device("1001", "1001"), Device("1002", "1002")),
    queues=(Queue("600", "Sales", ("1001", "1002")), Queue("601", "Support", ("1002",))),
    trunks=("carrier",),
)


class Place:
    def __init__(self, avp: Avp, directory: Path) -> None:
        self.avp = avp
        self.etc, self.out = directory / "etc", directory / "out"
        self.etc.mkdir()
        for name in CUSTOM:
            (self.etc / name).write_text("")
        self.apply(PBX)

    def apply(self, pbx: Pbx) -> None:
        """Apply Config."""
        for name, text in written(pbx, VALUES).items():
            (self.etc / name).write_text(text)

    def render(self, *more: str) -> str:
        place = ("--output", str(self.out), "--config-dir", str(self.etc))
        result = self.avp("render", "all", *place, *more)
        assert result.code == 0, result.out + result.err
        return result.out

    def text(self, name: str) -> str:
        return (self.out / name).read_text()

    def blocks(self) -> dict[str, tuple[str, str]]:
        """The lines for each file, as INSTALL.txt says: where, and what."""
        found = re.findall(
            rf"^  {re.escape(str(self.etc))}/(\S+), (at the end|in \[\w+\]):\n\n((?:    .+\n)+)",
            self.text("INSTALL.txt"),
            re.MULTILINE,
        )
        return {name: (place, re.sub("(?m)^    ", "", lines)) for name, place, lines in found}

    def follow(self) -> None:
        for name in self.out.glob("*.conf"):
            (self.etc / name.name).write_text(name.read_text())
        for name, (place, lines) in self.blocks().items():
            assert place == "at the end"
            with (self.etc / name).open("a") as file:
                file.write(lines)


@pytest.fixture
def place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Place:
    work = tmp_path / "work"
    work.mkdir()
    return Place(Avp(capsys, monkeypatch, work), tmp_path)


def test_only_files_that_the_pbx_leaves_alone(place: Place) -> None:
    output = place.render()
    assert f"{place.etc} is the configuration of FreePBX" in output
    blocks = place.blocks()
    assert set(blocks) == {
        "extensions_custom.conf",
        "extensions_override_freepbx.conf",
        "queues_custom.conf",
        "features_applicationmap_custom.conf",
        "pjsip_custom_post.conf",
        "manager_custom.conf",
        "ari_additional_custom.conf",
    }
    assert set(blocks) <= set(CUSTOM)
    assert blocks["extensions_custom.conf"][1] == (
        "#include asterisk_avp.conf\n#include avp_pbx.conf\n"
    )
    assert "fwconsole reload" in output
    assert "never-shown" not in output
    assert "module reload" not in output


def test_what_asterisk_reads_afterwards(place: Place) -> None:
    """Files of three levels, once more after an Apply Config, which rewrites all but the custom."""
    place.render()
    place.follow()
    for _ in range(2):
        for name in ("extensions", "queues", "features", "pjsip", "manager", "ari"):
            assert read(place.etc, f"{name}.conf").faults == (), name
        known = endpoints(read(place.etc, "pjsip.conf"))
        for agent in ("1001", "1002"):
            variables = known[agent].all("set_var")
            assert "PJSIP_TRANSFER_HANDLING()=ari-only" in variables
            assert "DYNAMIC_FEATURES=apprecord#avp_transfer" in variables
        assert known["carrier"].last("allow_transfer") == "no"
        place.apply(PBX)
    assert "There is nothing to add" in place.render()
    assert place.blocks() == {}


def test_an_extension_that_was_deleted_in_the_web_pages(place: Place) -> None:
    """Asterisk would reject all of pjsip.conf, and start without any endpoint."""
    place.render()
    place.follow()
    place.apply(replace(PBX.without_user("1002"), trunks=("other",)))
    conf = read(place.etc, "pjsip.conf")
    assert conf.faults == ()
    assert set(endpoints(conf)) == {"1001", "other", "avp-no-replaces"}
    text = place.text("avp_pjsip.conf").replace("type = avp-gone", "")
    (place.etc / "avp_pjsip.conf").write_text(text)
    assert read(place.etc, "pjsip.conf").faults != ()


@pytest.mark.parametrize("pattern", ["_.", "_X."])
def test_the_override_fits_the_version_of_the_pbx(place: Place, pattern: str) -> None:
    place.apply(replace(PBX, queue_pattern=pattern))
    place.render()
    override = place.blocks()["extensions_override_freepbx.conf"][1]
    assert override == f"[from-queue]\nexten => {pattern},1,Gosub(avp-from-queue,s,1)\n"


def test_an_unknown_beginning_is_said(place: Place) -> None:
    text = (place.etc / "extensions_additional.conf").read_text()
    (place.etc / "extensions_additional.conf").write_text(text.replace("QAGENT=", "AGENT="))
    output = place.render()
    assert "[from-queue] begins in an unknown way" in output
    assert "extensions_override_freepbx.conf" not in place.blocks()


def test_issabel(place: Place) -> None:
    file = place.etc / "extensions.conf"
    file.write_text(file.read_text().replace("override_freepbx", "override_issabelpbx"))
    (place.etc / "extensions_override_issabelpbx.conf").write_text("")
    output = place.render()
    assert "is the configuration of Issabel" in output
    assert "extensions_override_issabelpbx.conf" in place.blocks()
    assert "fwconsole" not in output
    assert "asterisk -rx 'dialplan reload'" in output


def test_plain_if_somebody_says_so(place: Place) -> None:
    output = place.render("--for", "plain")
    assert "is the configuration of Asterisk (as --for says)" in output
    assert "extensions.conf" in place.blocks()
    assert not (place.out / "avp_pbx.conf").exists()


SWITCHES = {
    "Enable the mini-HTTP Server: Yes": {"http": True},
    "Enable the Asterisk REST Interface: Yes": {"ari": True},
    "Honor Wrapup Time Across Queues: Yes": {"shared_lastcall": True},
    "Persistent Members: Yes": {"persistent_members": True},
    "Asterisk Dial Options: HhTtri": {"dial_options": "HhTtri"},
    "In-Call Asterisk Blind Transfer (##): Disabled": {"disabled_codes": frozenset({"blindxfer"})},
    "In-Call Asterisk Attended Transfer (*2): Disabled": {"disabled_codes": frozenset({"atxfer"})},
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_switches_are_named_until_they_are_changed(place: Place, switch: str) -> None:
    before = replace(PBX, shared_lastcall=False, persistent_members=False)
    place.apply(before)
    assert f"{switch}\n" in place.render()
    place.apply(replace(before, **SWITCHES[switch]))
    assert f"{switch}\n" not in place.render()


def test_a_setting_that_no_switch_writes_goes_into_the_custom_file(place: Place) -> None:
    file = place.etc / "queues_general_additional.conf"
    file.write_text(re.sub("(?m)^(shared_lastcall|persistentmembers).*\n", "", file.read_text()))
    output = place.render()
    assert place.blocks()["queues_custom_general.conf"] == (
        "at the end",
        "shared_lastcall = yes\npersistentmembers = yes\n",
    )
    assert "Honor Wrapup" not in output


def test_numeric_queues_are_groups_that_agents_can_dial(place: Place) -> None:
    place.render()
    variables = dotenv_values(place.out / "environment", interpolate=False)
    assert variables["AVP_GROUPS__QUEUE_600__QUEUE"] == "600"
    assert variables["AVP_GROUPS__QUEUE_600__EXTENSION"] == "600"
    settings = Settings.load({k: v for k, v in variables.items() if v}, place.out)
    assert settings.world().groups["queue_600"].acw_seconds == 2


def test_a_port_and_a_code_that_others_have(place: Place) -> None:
    place.apply(replace(PBX, codes={**PBX.codes, "automon": "*7"}))
    with socket.create_server(("127.0.0.1", 4583)):
        output = place.render()
    assert "Another program listens on port 4583, so FastAGI has port 4584." in output
    assert "conflicts with *7, so agents transfer by *9" in output
    variables = dotenv_values(place.out / "environment", interpolate=False)
    assert variables["AVP_AGI__PORT"] == "4584"
    assert variables["AVP_KEYS__TRANSFER"] == "*9"
    assert place.blocks()["globals_custom.conf"][1] == "AVP_AGI = agi://127.0.0.1:4584\n"
    assert "avp_transfer => *9,self" in place.text("avp_features.conf")
    # The daemon itself has the port by then.
    place.follow()
    with socket.create_server(("127.0.0.1", 4584)):
        place.render()
    assert variables == dotenv_values(place.out / "environment", interpolate=False)


def test_keys_during_a_transfer_that_the_pbx_has(place: Place) -> None:
    """A phone behind a Local channel stays in a bridge where the PBX's codes come first."""
    output = place.render()
    assert "so agents have *9 there (AVP_KEYS__COMPLETE)" in output
    variables = dotenv_values(place.out / "environment", interpolate=False)
    keys = {name: value for name, value in variables.items() if name.startswith("AVP_KEYS__")}
    assert keys == {"AVP_KEYS__COMPLETE": "*9"}, "*2 is to be switched off in the PBX"
    place.apply(replace(PBX, disabled_codes=frozenset({"automon"})))
    place.render("--write")
    again = dotenv_values(place.out / "environment", interpolate=False)
    assert again["AVP_KEYS__COMPLETE"] == "*9", "what agents have learnt stays"


def test_taking_it_out_again(place: Place) -> None:
    place.render()
    before = {file.name: file.read_text() for file in place.etc.glob("*.conf")}
    place.follow()
    output = place.render("--remove")
    for name, number, text in re.findall(
        rf"^    {re.escape(str(place.etc))}/(\S+):(\d+): (.+)$", output, re.MULTILINE
    ):
        lines = (place.etc / name).read_text().splitlines()
        assert lines[int(number) - 1].strip() == text
        lines[int(number) - 1] = ""
        (place.etc / name).write_text("\n".join(lines))
    (rm,) = re.findall(r"cd (\S+) && rm (.+)$", output, re.MULTILINE)
    assert rm[0] == str(place.etc)
    for name in rm[1].split():
        (place.etc / name).unlink()
    after = {file.name: file.read_text() for file in place.etc.glob("*.conf")}
    assert after.keys() == before.keys()
    for name, text in after.items():
        said = [x for x in text.splitlines() if x.strip() and not x.startswith(";")]
        assert said == [x for x in before[name].splitlines() if x.strip() and x[0] != ";"], name
    assert "systemctl disable --now asterisk-avp" in output
    assert "In-Call Asterisk Blind Transfer" in output
    assert "no line that mentions asterisk_avp" in place.render("--remove")


def test_check_sees_that_the_override_fits_no_more(place: Place) -> None:
    """The PBX was upgraded: the first line of its context has another pattern."""
    place.apply(replace(PBX, queue_pattern="_."))
    place.render()
    found = found_by_check(place)
    assert [x.severity for x in found] == ["error"]
    assert found[0].mend == ("[from-queue]", "exten => _.,1,Gosub(avp-from-queue,s,1)")
    place.follow()
    assert [x.severity for x in found_by_check(place)] == ["ok"]
    place.apply(replace(PBX, queue_pattern="_X."))
    found = found_by_check(place)
    assert found[0].mend == ("[from-queue]", "exten => _X.,1,Gosub(avp-from-queue,s,1)")
    place.apply(replace(PBX, queue_pattern="_."))
    (place.etc / "extensions_custom.conf").write_text("")
    assert "does not exist" in found_by_check(place)[0].what


def found_by_check(place: Place) -> list[Finding]:
    files = {name: read(place.etc, name) for name in ("extensions.conf", "queues.conf")}
    return list(overridden(Facts(files)))
