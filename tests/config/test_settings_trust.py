"""Who must own the files that control where secrets are sent: root or this user, on every path."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from asterisk_avp.config.file_trust import Untrusted, Unusable, read_trusted
from asterisk_avp.config.sources import read_inputs
from tests.config.test_settings import CONNECTIONS, NEEDED, load, problems

STRANGER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

SETTINGS = "AVP_AMI__HOST=203.0.113.9\nAVP_ARI__URL=http://203.0.113.9:8088\n"


def give(place: Path) -> None:
    os.chown(place, STRANGER, STRANGER, follow_symlinks=False)


def loose(mode: int) -> Callable[[Path], None]:
    return lambda file: file.chmod(mode)


def of_stranger(file: Path) -> None:
    give(file)


def in_strangers_folder(file: Path) -> None:
    give(file.parent)


def in_strangers_grandfolder(file: Path) -> None:
    """The owner of a directory further up can replace it."""
    give(file.parent.parent)


def in_strangers_sticky_folder(file: Path) -> None:
    """The owner of a sticky directory may remove its entries (unlink(2))."""
    file.parent.chmod(0o1777)
    give(file.parent)


def in_loose_folder(file: Path) -> None:
    file.parent.chmod(0o777)


def in_groups_folder(file: Path) -> None:
    file.parent.chmod(0o775)


def linked_by_stranger(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))
    give(file)


def linked_to_strangers(file: Path) -> None:
    real = file.with_suffix(".real")
    file.rename(real)
    give(real)
    file.symlink_to(real)


def linked_through_loose_folder(file: Path) -> None:
    """The link is ours, but anybody can replace its target."""
    other = file.parent / "other"
    other.mkdir()
    file.rename(other / "real")
    file.symlink_to("other/real")
    other.chmod(0o777)


FOREIGN = [
    pytest.param(of_stranger, "belongs to nobody (uid 65534) and has mode 0644: chown it to root"),
    pytest.param(in_strangers_folder, "its directory {folder} belongs to nobody (uid 65534)"),
    pytest.param(in_strangers_grandfolder, "its directory {above} belongs to nobody (uid 65534)"),
    pytest.param(
        in_strangers_sticky_folder, "its directory {folder} belongs to nobody (uid 65534)"
    ),
    pytest.param(linked_by_stranger, "the symbolic link {file} belongs to nobody (uid 65534)"),
    pytest.param(linked_to_strangers, "belongs to nobody (uid 65534) and has mode 0644"),
]
LOOSE = [
    pytest.param(loose(0o666), "can be written by others (owner {me}, mode 0666): chmod go-w it"),
    pytest.param(loose(0o664), "can be written by its group (owner {me}, mode 0664): chmod go-w"),
    pytest.param(loose(0o646), "can be written by others (owner {me}, mode 0646): chmod go-w it"),
    pytest.param(
        in_loose_folder, "its directory {folder} can be written by others (owner {me}, mode"
    ),
    pytest.param(
        in_groups_folder, "its directory {folder} can be written by its group (owner {me}"
    ),
    pytest.param(
        linked_through_loose_folder, "its directory {folder}/other can be written by others"
    ),
]
WAYS = [*(pytest.param(*x.values, marks=AS_ROOT) for x in FOREIGN), *LOOSE]


def prepared(tmp_path: Path, name: str, text: str, way: Callable[[Path], None]) -> Path:
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        each.chmod(0o755)
    file = folder / name
    file.write_text(text)
    file.chmod(0o644)
    way(file)
    return file


def sentence(says: str, file: Path) -> str:
    me = "root" if os.geteuid() == 0 else ""
    return says.format(file=file, folder=file.parent, above=file.parent.parent, me=me)


@pytest.mark.parametrize(("way", "says"), WAYS)
def test_a_dotenv_that_does_not_count(
    tmp_path: Path, way: Callable[[Path], None], says: str
) -> None:
    file = prepared(tmp_path, ".env", SETTINGS, way)
    settings = load(NEEDED, file.parent)
    assert (settings.ami.host, settings.ari.url) == ("127.0.0.1", "http://127.0.0.1:8088/ari")
    (line,) = settings.ignored
    assert line.startswith(f"{file} is not trusted, because ")
    assert sentence(says, file) in line
    # A daemon does not run with half of its settings.
    assert problems(NEEDED, file.parent, whole=True) == [line]
    # If the rest is not enough, this may be the cause.
    assert line in problems({}, file.parent)


@pytest.mark.parametrize(("way", "says"), WAYS)
def test_a_toml_file_that_does_not_count(
    tmp_path: Path, way: Callable[[Path], None], says: str
) -> None:
    file = prepared(tmp_path, "avp.toml", '[ami]\nhost = "203.0.113.9"\n', way)
    (line,) = problems(NEEDED | {"AVP_CONFIG": str(file)})
    assert line.startswith(f"AVP_CONFIG: {file} is not trusted, because ")
    assert sentence(says, file) in line


@pytest.mark.parametrize(("way", "says"), WAYS)
def test_a_file_of_a_secret_that_does_not_count(
    tmp_path: Path, way: Callable[[Path], None], says: str
) -> None:
    file = prepared(tmp_path, "ami", "a-strangers-hush\n", way)
    environ = {**NEEDED, "AVP_AMI__SECRET": "", "AVP_AMI__SECRET_FILE": str(file)}
    (line,) = problems(environ)
    assert line.startswith(f"AVP_AMI__SECRET_FILE: {file} is not trusted, because ")
    assert sentence(says, file) in line
    assert "hush" not in line


def test_a_strangers_dotenv_names_no_other_file(tmp_path: Path) -> None:
    prepared(tmp_path, "avp.toml", '[ami]\nhost = "203.0.113.9"\n', loose(0o644))
    folder = tmp_path / "above" / "folder"
    (folder / ".env").write_text("AVP_CONFIG=avp.toml\nAVP_AMI__SECRET_FILE=/etc/shadow\n")
    (folder / ".env").chmod(0o666)
    assert load(NEEDED, folder).ami.host == "127.0.0.1"


def keep(_file: Path) -> None:
    """As the administrator left it."""


def link(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


def relative_link(file: Path) -> None:
    (file.parent / "..data").mkdir()
    file.rename(file.parent / "..data" / "real")
    file.symlink_to("../folder/..data/real")


def sticky(file: Path) -> None:
    """Like `/tmp`, and the volumes of Kubernetes secrets."""
    file.parent.chmod(0o1777)


def sticky_for_a_group(file: Path) -> None:
    file.parent.chmod(0o3775)


@pytest.mark.parametrize(
    "way", [keep, link, relative_link, sticky, sticky_for_a_group, *map(loose, (0o400, 0o444))]
)
@pytest.mark.parametrize("relative", [False, True])
def test_a_file_that_counts(
    tmp_path: Path, way: Callable[[Path], None], relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = prepared(tmp_path, "ami", "hush\n", way)
    monkeypatch.chdir(file.parent)
    assert read_trusted(Path(file.name) if relative else file, 5) == b"hush\n"
    with pytest.raises(Unusable, match="has more than 4 bytes"):
        read_trusted(file, 4)


@AS_ROOT
def test_of_the_user_itself_it_counts_and_of_another_user_not(tmp_path: Path) -> None:
    """Files of the user who runs the command, and of root, are trusted."""
    file = prepared(tmp_path, "ami", "hush\n", keep)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        assert folder.stat().st_mode & 0o022 == 0
    os.chown(file, 12345, 12345)
    before = [(place, place.stat().st_mode) for place in (tmp_path, *tmp_path.parents[:-2])]
    try:
        for place, mode in before:
            place.chmod(mode | 0o011)
        for uid, counts in ((12345, True), (12346, False)):
            os.seteuid(uid)
            try:
                if counts:
                    assert read_trusted(file, 100) == b"hush\n"
                else:
                    with pytest.raises(Untrusted, match=r"chown it to root or uid 12346"):
                        read_trusted(file, 100)
            finally:
                os.seteuid(0)
    finally:
        for place, mode in before:
            place.chmod(mode)


def test_what_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    fifo, bound = tmp_path / "fifo", tmp_path / "socket"
    os.mkfifo(fifo, 0o644)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bound))
        for file, says in (
            (fifo, "is a FIFO, not a file"),
            (bound, "is a device or a socket, not a file"),
            (Path("/dev/zero"), "is a device or a socket, not a file"),
            (tmp_path, "is a directory, not a file"),
        ):
            with pytest.raises(Unusable, match=says):
                read_trusted(file, 100)
    (tmp_path / ".env").symlink_to(fifo)
    (line,) = problems(NEEDED, tmp_path)
    assert line == f"{tmp_path}/.env: is a FIFO, not a file"


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(Unusable, match="Too many levels of symbolic links"):
        read_trusted(tmp_path / "a", 100)


def test_none_there_is_no_fault(tmp_path: Path) -> None:
    assert load(NEEDED, tmp_path).ignored == ()
    (tmp_path / ".env").symlink_to("nowhere")
    assert load(NEEDED, tmp_path).ignored == ()
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()  # probably a virtual environment
    assert load(NEEDED, tmp_path, whole=True).ignored == ()


@pytest.mark.parametrize("folder", ["loose", pytest.param("foreign", marks=AS_ROOT)])
def test_a_strangers_folder_without_one_is_nobodys_fault(tmp_path: Path, folder: str) -> None:
    """A command or daemon that runs there reports nothing about a missing file."""
    place = tmp_path / folder
    place.mkdir()
    place.chmod(0o777)
    if folder == "foreign":
        give(place)
    assert load(NEEDED, place, whole=True).ignored == ()
    (line,) = problems(NEEDED | {"AVP_CONFIG": str(place / "avp.toml")})
    assert line == f"AVP_CONFIG: {place}/avp.toml cannot be read: No such file or directory"
    (place / ".env").mkdir()
    assert load(NEEDED, place, whole=True).ignored == ()


def test_a_huge_dotenv_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / ".env").open("wb") as file:
        file.truncate(1 << 40)  # takes no space on the disk
    assert problems(NEEDED, tmp_path) == [f"{tmp_path}/.env: has more than 4194304 bytes"]
    with (tmp_path / "avp.toml").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / ".env").unlink()
    (line,) = problems(NEEDED | {"AVP_CONFIG": "avp.toml"}, tmp_path)
    assert line == f"AVP_CONFIG: {tmp_path}/avp.toml has more than 4194304 bytes"


def test_one_that_is_exchanged_between_look_and_read_is_judged_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check applies to the open file: the entry is replaced by the time that it is opened."""
    file = prepared(tmp_path, ".env", SETTINGS, sticky)
    opened: Callable[..., int] = os.open

    def exchanging(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == ".env" and not flags & os.O_PATH:
            file.chmod(0o666)
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", exchanging)
    with pytest.raises(Untrusted, match="mode 0666"):
        read_trusted(file, 100)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    file = prepared(tmp_path, ".env", SETTINGS, relative_link)
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        read_trusted(file, 1000)
        for other in (tmp_path, tmp_path / "none", Path("/dev/null")):
            with pytest.raises((Unusable, FileNotFoundError)):
                read_trusted(other, 1000)
        read_inputs(CONNECTIONS, file.parent)
    assert set(Path("/proc/self/fd").iterdir()) == before
