"""Read a file that controls where secrets are sent, if only root or this user can have written it.

Used for `.env`, for the file that AVP_CONFIG names, for secret files, and for the `environment` of
a rendered folder. Nothing else opens these files.

A file is trusted if root or the effective user owns it, if neither its group nor others may write
it, and if nobody else could have replaced it. Therefore each directory on the path, from ``/`` on,
and each symbolic link is checked too; sshd does the same (``safe_path`` in OpenSSH's misc.c). A
directory with the sticky bit may be world-writable (`/tmp`, the volumes of Kubernetes secrets):
only the owner of an entry can rename or remove it (unlink(2), EPERM). Access control lists need no
check of their own: their entries never grant more than the mask, which stat(2) returns as the
group bits (acl(5), "Correspondence between ACL entries and file permission bits").

*No race.* The path is walked from open directory to open directory (openat(2)), and the check
applies to the open file that is then read, not to its name. It is opened without blocking and only
if it is a regular file, so a FIFO blocks nobody and no device is touched. Reading stops at the
limit.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LINKS: Final = 40
"""The limit of Linux for one path (path_resolution(7))."""

_FOLDER: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Untrusted(Exception):
    """The file is not trusted. The text, which follows "because", says why and what to do."""


class Unusable(Exception):
    """The file cannot be used. The text, which follows its name, says why."""


def read_trusted(file: Path, max_bytes: int) -> bytes:
    """The content of ``file``.

    Raises `FileNotFoundError`, `Untrusted`, and `Unusable` if it is not a regular file, has more
    than ``most_bytes`` or cannot be read.
    """
    try:
        with _opened(file) as handle:
            content = b""
            while len(content) <= max_bytes:
                more = os.read(handle, max_bytes + 1 - len(content))
                if not more:
                    return content
                content += more
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file)) from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else None
        raise Unusable(f"cannot be read: {reason or error}") from None
    raise Unusable(f"has more than {max_bytes} bytes")


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    """The file, open for reading, after a check of its whole path."""
    walk = _PathWalk()
    try:
        name = walk.to(Path.cwd() / file)
        handle = os.open(name, _FILE, dir_fd=walk.folder)
        try:
            # Check the open file: the directory entry may have been replaced meanwhile.
            _check_file(os.fstat(handle))
            yield handle
        finally:
            os.close(handle)
    finally:
        os.close(walk.folder)


class _PathWalk:
    """Walks the path of a file from open directory to open directory."""

    def __init__(self) -> None:
        self.folder = os.open("/", _FOLDER | os.O_DIRECTORY)
        self._where = "/"
        self._links = 0
        self._faults = [*_folder_faults(os.fstat(self.folder), "/")]
        """Reported only if the file exists."""

    def to(self, file: Path) -> str:
        """Walk to the directory of ``file``, which must be absolute. Returns its name there.

        Raises `OSError`, `Untrusted` and `Unusable`.
        """
        names = deque(_parts(file))
        while names:
            name = names.popleft()
            place = os.path.join(self._where, name)  # noqa: PTH118 - `..` must stay as it is
            entry = os.open(name, _FOLDER, dir_fd=self.folder)
            try:
                status = os.fstat(entry)
                if stat.S_ISLNK(status.st_mode):
                    names.extendleft(reversed(self._follow(entry, status, place)))
                elif names:
                    self._faults += _folder_faults(status, place)
                    self.folder, entry, self._where = entry, self.folder, place
                else:
                    self._check(status)
                    return name
            finally:
                os.close(entry)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def _follow(self, link: int, status: os.stat_result, place: str) -> tuple[str, ...]:
        """The path components that a symbolic link points to."""
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        self._faults += _link_faults(status, place)
        pointed = os.readlink("", dir_fd=link)
        if pointed.startswith("/"):
            os.close(self.folder)
            self.folder = os.open("/", _FOLDER | os.O_DIRECTORY)
            self._where = "/"
        return _parts(Path(pointed))

    def _check(self, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise Unusable("is a directory, not a file")
        if self._faults:
            raise Untrusted(self._faults[0])
        _check_file(status)


def _parts(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path.parts if part != path.root)


def _check_file(status: os.stat_result) -> None:
    owned = status.st_uid in _trusted()
    if owned and not stat.S_ISREG(status.st_mode):
        raise Unusable(f"is {_kind(status.st_mode)}, not a file")
    if not owned or _others_write(status):
        raise Untrusted(f"it {_fault(status)}: {_remedy(status)}")


def _folder_faults(status: os.stat_result, place: str) -> Iterator[str]:
    sticky = bool(status.st_mode & stat.S_ISVTX)
    if status.st_uid not in _trusted() or (_others_write(status) and not sticky):
        fault, remedy = _fault(status), _remedy(status)
        yield f"its directory {place} {fault}: {remedy}, or move the file"


def _link_faults(status: os.stat_result, place: str) -> Iterator[str]:
    if status.st_uid not in _trusted():
        whose = _name(status.st_uid)
        yield f"the symbolic link {place} belongs to {whose}: replace it with one of your own"


def _trusted() -> tuple[int, int]:
    return 0, os.geteuid()


def _others_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _fault(status: os.stat_result) -> str:
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_uid not in _trusted():
        return f"belongs to {_name(status.st_uid)} and has {mode}"
    whose = "others" if status.st_mode & stat.S_IWOTH else "its group"
    return f"can be written by {whose} (owner {_name(status.st_uid)}, {mode})"


def _remedy(status: os.stat_result) -> str:
    foreign, loose = status.st_uid not in _trusted(), _others_write(status)
    to = "root" if os.geteuid() == 0 else f"root or {_name(os.geteuid())}"
    steps = ([f"chown it to {to}"] if foreign else []) + (["chmod go-w it"] if loose else [])
    return " and ".join(steps)


def _name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})" if uid else "root"
    except KeyError:
        return f"uid {uid}"


def _kind(mode: int) -> str:
    return "a FIFO" if stat.S_ISFIFO(mode) else "a device or a socket"
