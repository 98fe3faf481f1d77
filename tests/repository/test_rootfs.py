"""A root file system with an Asterisk: what is found in it, and what is said to be missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from bed import Unavailable, backend_named
from bed.build import _NEEDED, _NEEDED_MODULES, Build, Incomplete, find


class Folder:
    """A root file system of empty files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files(*_NEEDED)

    def files(self, *names: str, code: bytes = b"") -> None:
        for name in names:
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(code)

    def asterisk(self, program: str, modules: str, data: str) -> None:
        """An Asterisk that was built with these folders."""
        self.files(f"{program}/asterisk", code=f"x\0/{modules}\0/{data}\0".encode())
        self.parts(modules, data)

    def parts(self, modules: str, data: str) -> None:
        self.files(*(f"{modules}/{name}.so" for name in _NEEDED_MODULES))
        self.files(f"{data}/documentation/core-en_US.xml", f"{data}/rest-api/resources.json")
        (self.root / data / "sounds/en/digits").mkdir(parents=True)

    def lacks(self) -> tuple[str, ...]:
        with pytest.raises(Incomplete) as error:
            find(self.root)
        return error.value.parts


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "root")


DEBIAN = ("usr/sbin", "usr/lib/x86_64-linux-gnu/asterisk/modules", "usr/share/asterisk")
MADE = ("usr/sbin", "usr/lib/asterisk/modules", "var/lib/asterisk")
PREFIX = ("opt/asterisk/sbin", "opt/asterisk/lib/asterisk/modules", "opt/asterisk/var/lib/asterisk")
LOCAL = ("usr/local/sbin", "usr/local/lib/asterisk/modules", "usr/local/share/asterisk")


@pytest.mark.parametrize("places", [DEBIAN, MADE, PREFIX, LOCAL])
def test_where_an_asterisk_can_be(folder: Folder, places: tuple[str, str, str]) -> None:
    folder.asterisk(*places)
    program, _, data = places
    assert find(folder.root) == Build(folder.root, f"/{program}/asterisk", f"/{data}", 65534, 65534)
    folder.files(
        "etc/passwd", code=b"root:x:0:0::/root:/bin/sh\nasterisk:x:107:108::/var:/bin/sh\n"
    )
    assert (find(folder.root).uid, find(folder.root).gid) == (107, 108)


def test_of_two_folders_the_one_that_the_program_was_built_with(folder: Folder) -> None:
    folder.asterisk(*MADE)
    folder.parts(*DEBIAN[1:])
    assert find(folder.root).data == "/var/lib/asterisk"
    folder.files("usr/sbin/asterisk", code=b"x\0/usr/share/asterisk\0")
    assert find(folder.root).data == "/usr/share/asterisk"


def test_what_is_missing_is_said_at_once(folder: Folder) -> None:
    (folder.root / "usr/bin/baresip").unlink()
    program, modules, data, phone = sorted(folder.lacks(), key=lambda x: "baresip" in x)
    assert phone == "/usr/bin/baresip (Debian's package baresip-core)"
    assert program.startswith("the program asterisk, in /usr/sbin")
    assert modules.startswith("Asterisk's modules (app_queue.so), in /usr/lib/asterisk/modules")
    assert data.startswith("documentation/core-en_US.xml (astdatadir), in /usr/share/asterisk")
    folder.asterisk(*MADE)
    folder.files("usr/bin/baresip")
    (folder.root / "var/lib/asterisk/sounds/en/digits").rmdir()
    (folder.root / "usr/lib/asterisk/modules/res_pjsip_refer.so").unlink()
    assert folder.lacks() == (
        "the modules res_pjsip_refer in /usr/lib/asterisk/modules",
        "/var/lib/asterisk/sounds/en/digits (the core sounds in English)",
    )


def test_links_begin_at_the_root(folder: Folder) -> None:
    folder.asterisk(*MADE)
    sounds = folder.root / "var/lib/asterisk/sounds/en"
    (sounds / "digits").rmdir()
    sounds.rmdir()
    sounds.symlink_to("/etc/alternatives/asterisk-prompt-en")
    assert "sounds" in folder.lacks()[0]
    (folder.root / "etc/alternatives").mkdir(parents=True)
    (folder.root / "etc/alternatives/asterisk-prompt-en").symlink_to("../../usr/share/prompts")
    (folder.root / "usr/share/prompts/digits").mkdir(parents=True)
    assert find(folder.root).data == "/var/lib/asterisk"
    (folder.root / "usr/share/prompts/digits").rmdir()
    (folder.root / "usr/share/prompts/digits").symlink_to("digits")  # to itself
    assert "sounds" in folder.lacks()[0]


def test_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVP_BED", raising=False)
    monkeypatch.setenv("AVP_ROOTFS", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match=r"nowhere lacks: the folder itself|needs root"):
        backend_named(None)
