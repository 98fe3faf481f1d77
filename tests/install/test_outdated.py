"""`asterisk-avp check` finds files of ours that an earlier version wrote, or that were edited."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.adapters.cli_run import Avp
from tests.install.test_render_all import Place

INCLUDES = {
    "extensions.conf": "asterisk_avp.conf",
    "queues.conf": "avp_queues.conf",
    "features.conf": "avp_features.conf",
    "manager.conf": "avp_manager.conf",
    "ari.conf": "avp_ari.conf",
    "pjsip.conf": "avp_pjsip.conf",
}
OURS = {"avp_extensions.conf", *INCLUDES.values()} - {"asterisk_avp.conf"}


class Installed(Place):
    """An Asterisk with our files, as INSTALL.txt says."""

    def install(self, *more: str) -> None:
        code, output = self.render(*more, "--write")
        assert code == 0, output
        for name in (*OURS, "asterisk_avp.conf"):
            shutil.copy(self.out / name, self.etc / name)

    def include(self) -> None:
        for name, ours in INCLUDES.items():
            with (self.etc / name).open("a") as file:
                file.write(f"\n#include {ours}\n")

    def outdated(self, ids: tuple[str, ...] = ("rendered", "dialplan")) -> list[str]:
        shutil.copy(self.out / "environment", Path.cwd() / ".env")
        answer = self.avp("check", "--config-dir", str(self.etc), "--offline", "--json")
        found = json.loads(answer.out)["findings"]
        return [x["where"] for x in found if x["id"] in ids and x["severity"] != "ok"]

    def change(self, name: str, pattern: str, new: str) -> None:
        text, count = re.subn(pattern, new, (self.etc / name).read_text(), count=1)
        assert count, pattern
        (self.etc / name).write_text(text)


@pytest.fixture
def place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Installed:
    work = tmp_path / "work"
    work.mkdir()
    installed = Installed(Avp(capsys, monkeypatch, work), tmp_path)
    installed.install()
    installed.include()
    return installed


@pytest.mark.parametrize("options", [(), ("--asterisk", "22.5.0"), ("--agent", "1009")])
def test_what_this_version_wrote_is_as_it_should_be(
    place: Installed, options: tuple[str, ...]
) -> None:
    place.install(*options)
    assert place.outdated() == []


@pytest.mark.parametrize(
    ("name", "pattern", "new"),
    [
        ("avp_queues.conf", r"timeoutpriority = app\n", ""),
        ("avp_queues.conf", r"leavewhenempty = .*", "leavewhenempty = no"),
        ("avp_queues.conf", r"wrapuptime = .*\n", ""),
        ("avp_extensions.conf", r" same => n,Gosub\(avp-colleague,s,1\)\n", ""),
        ("avp_extensions.conf", r"\$\{AVP_PHONE\}", "PJSIP/1001"),
        ("avp_features.conf", r"avp_transfer => \*7,self", "avp_transfer => *7,peer"),
        ("avp_features.conf", r"\*7", "*8"),
        ("avp_manager.conf", r"read = .*", "read = call"),
        ("avp_manager.conf", r"deny = .*\n", ""),
        ("avp_manager.conf", r"eventfilter.*Hangup.*\n", ""),
        ("avp_ari.conf", r"read_only = no", "read_only = yes"),
        ("avp_pjsip.conf", r"message_context = avp-nowhere\n", ""),
        ("avp_pjsip.conf", r"(?s)\[avp-no-control-characters\].*?\n\n", ""),
        ("avp_pjsip.conf", r"ari-only", "core-only"),
    ],
)
def test_what_another_version_wrote_is_found(
    place: Installed, name: str, pattern: str, new: str
) -> None:
    place.change(name, pattern, new)
    assert place.outdated() == [name]


def test_what_the_call_centre_changes_is_none_of_it(place: Installed) -> None:
    for name, pattern, new in (
        ("queues.conf", r"(\[night-desk\])", r"\1\nmember => PJSIP/1004\nwrapuptime = 9"),
        ("avp_queues.conf", r"wrapuptime = \d+", "wrapuptime = 77"),
        ("avp_manager.conf", r"secret = .*", r"secret = another\;one"),
        ("avp_manager.conf", r"permit = .*", "permit = 192.0.2.7"),
        ("avp_ari.conf", r"password = .*", "password = another"),
        ("avp_queues.conf", r"\A", "; a comment of the administrator's\n\n"),
    ):
        place.change(name, pattern, new)
    assert place.outdated() == []


def test_in_a_folder_of_their_own(place: Installed) -> None:
    (place.etc / "avp").mkdir()
    for name in INCLUDES.values():
        (place.etc / name).rename(place.etc / "avp" / name)
    for name, ours in INCLUDES.items():
        place.change(name, f"#include {ours}", f"#include avp/{ours}")
    assert place.outdated() == []
    place.change("avp/avp_queues.conf", "retry = 1", "retry = 5")
    assert place.outdated(("rendered",)) == ["avp/avp_queues.conf"]
