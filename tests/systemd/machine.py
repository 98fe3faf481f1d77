"""A systemd of its own, as process 1 of new namespaces, on a copy of this machine's files.

It shares the network and nothing else: what it writes goes into memory, on top of the files (an
overlay), and none of this machine's units runs. Needs root, systemd and unshare.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
INIT: Final = Path("/lib/systemd/systemd")
PROGRAM: Final = Path("/opt/asterisk-avp/bin/asterisk-avp")
LOGS: Final = Path("/run/avp-logs")
_HOMES: Final = ("/root", "/home", "/run/user")
_BOOT_SECONDS: Final = 30.0

_BOOT = """\
set -eu
work=$1 name=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root" "$work/files"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
# Only what belongs to us of each hierarchy of control groups.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    for each in /sys/fs/cgroup/*/"$name"; do
        where=sys/fs/cgroup/$(basename "$(dirname "$each")")
        mkdir "$where"
        mount --bind "$each" "$where"
    done
fi
for each in run tmp var/tmp etc/systemd usr/lib/systemd/system-generators \\
        usr/lib/systemd/system/*.wants; do
    mount -t tmpfs -o mode=755 tmpfs "$each"
done
chmod 1777 tmp var/tmp
mkdir -p run/avp-logs etc/systemd/system opt/asterisk-avp/bin opt/asterisk-avp/site \\
    opt/asterisk-avp/checkout etc/asterisk-avp
: >etc/fstab
mount --bind "$3" opt/asterisk-avp/site
mount --bind "$4" opt/asterisk-avp/checkout
tar -x -C . -f "$5"
mkdir -p .former
pivot_root . .former
cd /
umount -l /.former
export container=asterisk-avp
exec /lib/systemd/systemd --system --unit=avp-test.target --log-target=console --show-status=0
"""

_TARGET = """\
[Unit]
Description=Nothing but what tests start
DefaultDependencies=no
"""


class NotHere(Exception):
    """This machine cannot run a systemd of its own. The message says why."""


def python() -> Path:
    """A Python that a service may use, with our version. Raises `NotHere`."""
    own = Path(sys.executable).resolve()
    if not str(own).startswith(_HOMES):
        return own
    debian = Path("/usr/bin/python3")
    version = "import sys; print(*sys.version_info[:2])"
    asked = subprocess.run([debian, "-c", version], capture_output=True, text=True, check=False)
    if asked.stdout.split() != [str(number) for number in sys.version_info[:2]]:
        raise NotHere(f"{own} is in a home, which services do not see, and {debian} is another")
    return debian


class Machine:
    """``files``: what is to be there, by absolute path. Start it with ``with``."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        if os.geteuid() != 0:
            raise NotHere("a systemd of its own needs root")
        for program in (str(INIT), "unshare", "nsenter", "pivot_root"):
            if shutil.which(program) is None:
                raise NotHere(f"there is no {program}")
        self.name = f"avp-systemd-{os.getpid()}"
        self.folder = folder
        site = next(p for p in sys.path if p.endswith("site-packages"))
        main = (
            f"#!{python()}\n"
            "import sys\n"
            "sys.path[:0] = ['/opt/asterisk-avp/site', '/opt/asterisk-avp/checkout']\n"
            "from asterisk_avp.__main__ import main\n"
            "main()\n"
        )
        self._site = Path(site)
        self._files = {str(PROGRAM): main, "/etc/systemd/system/avp-test.target": _TARGET, **files}
        self._outer: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- start and end ---------------------------------------------------------------------------

    def start(self) -> None:
        archive = self.folder / "files.tar"
        self._pack(archive)
        (self.folder / "memory").mkdir()
        groups = self._groups()
        for group in groups:
            group.mkdir()
            for name in ("cpuset.mems", "cpuset.cpus"):  # an empty set admits no process
                if (group / name).exists() and not (group / name).read_text().strip():
                    (group / name).write_text((group.parent / name).read_text())
        words = [self.folder / "memory", self.name, self._site, ROOT, archive]
        unshare = ("unshare", "--pid", "--mount", "--fork", "--uts", "--ipc", "--cgroup")
        with (self.folder / "systemd.log").open("wb") as log:
            self._outer = subprocess.Popen(
                # It joins the groups before its view of them becomes a namespace.
                [
                    *("sh", "-c", 'for g in $0; do echo $$ >"$g/cgroup.procs"; done; exec "$@"'),
                    " ".join(map(str, groups)),
                    *unshare,
                    *("--kill-child=KILL", "sh", "-c", _BOOT, "boot", *map(str, words)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while not self._running():
            if self._outer.poll() is not None or time.monotonic() > deadline:
                raise NotHere(f"systemd does not start: {self.log()[-2000:]}")
            time.sleep(0.05)

    def _pack(self, archive: Path) -> None:
        place = self.folder / "files"
        for name, text in self._files.items():
            file = place / name.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755 if name == str(PROGRAM) else 0o644)
        subprocess.run(["tar", "-c", "-C", place, "-f", archive, "."], check=True)

    def _groups(self) -> list[Path]:
        place = Path("/sys/fs/cgroup")
        if (place / "cgroup.controllers").exists():
            return [place / self.name]
        return [
            each / self.name
            for each in place.iterdir()
            if each.is_dir() and not each.is_symlink() and (each / "cgroup.procs").exists()
        ]

    def _running(self) -> bool:
        assert self._outer is not None
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        try:
            found = children.read_text().split()
            if not found or Path(f"/proc/{found[0]}/comm").read_text() != "systemd\n":
                return False
        except OSError:
            return False
        self._init = int(found[0])
        return self.systemctl("is-system-running", check=False) == "running"

    def stop(self) -> None:
        if self._outer is not None:
            self._outer.kill()  # and with it, process 1 and all others of its namespace
            self._outer.wait()
            self._outer = None
        for group in self._groups():
            for each in (*sorted(group.rglob("*"), reverse=True), group):
                if each.is_dir():
                    self._remove(each)

    @staticmethod
    def _remove(group: Path) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                group.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.05)  # its processes are being ended
            else:
                return

    # --- inside ----------------------------------------------------------------------------------

    def run(self, *command: str, check: bool = True) -> str:
        """The output of a command, as root inside."""
        enter = ("nsenter", "--target", str(self._init), "--mount", "--pid", "--uts", "--ipc")
        done = subprocess.run(
            [*enter, "--cgroup", "--root", "--wd=/", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stderr}\n{self.log()[-3000:]}"
        return done.stdout.strip()

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.run("systemctl", *words, check=check)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit)

    def log_of(self, unit: str) -> str:
        """What a unit's processes have written."""
        return self.run("cat", str(LOGS / unit), check=False)

    def log(self) -> str:
        return (self.folder / "systemd.log").read_text(errors="replace")
