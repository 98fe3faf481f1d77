"""Secrets from files, such as those that Docker and systemd put below `/run`.

``AVP_AMI__SECRET_FILE=/run/secrets/ami`` sets ``AVP_AMI__SECRET`` to the content of that file. A
reload reads the files again. `config.file_trust` says who must own them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from asterisk_avp.config.file_trust import Untrusted, Unusable, read_trusted

Path_ = tuple[str, ...]
Leaves = dict[Path_, tuple[Any, str]]
"""The value at each place in the tree, and the name under which it was set."""

SECRETS: Final[frozenset[Path_]] = frozenset(
    {
        ("ari", "password"),
        ("ami", "secret"),
        ("api", "tokens"),
        ("api", "metrics_token"),
        ("api", "session_key"),
        ("panel", "user_header_secret"),
        ("agents", "*", "pin"),
        ("agents", "*", "pin_hash"),
        ("cluster", "credentials"),
        ("nodes", "*", "token"),
        ("webhook", "url"),
        ("webhook", "secret"),
    }
)
"""The settings that may be in a file: all secrets."""

_SUFFIX = "_file"
_MOST_BYTES = 64 * 1024


class _Unusable(Exception):
    """The file cannot be used; the text says why."""


def read_secret_files(
    leaves: Leaves, directory: Path, problem: Callable[[Path_, str], None]
) -> None:
    """Replace the names of files by their contents.

    A relative name starts at ``directory``. ``problem`` is called with the place of each secret
    that cannot be read, and the reason. This includes a secret that is set both directly and by a
    file, because it is unclear which one is meant.
    """
    for place in sorted(leaves):
        secret = _secret_of(place)
        if secret is None:
            continue
        written, name = leaves.pop(place)
        if secret in leaves:
            _, other = leaves.pop(secret)
            problem(secret, f"{name}: also set as {other}; set only one of the two")
            continue
        try:
            leaves[secret] = (_content(written, directory, secret), name)
        except _Unusable as error:
            problem(secret, f"{name}: {error}")


def _secret_of(place: Path_) -> Path_ | None:
    """``("ami", "secret")`` for ``("ami", "secret_file")``; None if that is not a secret."""
    if not place or not place[-1].endswith(_SUFFIX):
        return None
    secret = (*place[:-1], place[-1].removesuffix(_SUFFIX))
    with_id = len(place) == len(("agents", "<ID>", "pin"))
    return secret if ((place[0], "*", secret[-1]) if with_id else secret) in SECRETS else None


def _content(written: Any, directory: Path, secret: Path_) -> str:
    if not isinstance(written, str) or not written:
        raise _Unusable("must be the name of a file")
    file = directory / written
    try:
        raw = read_trusted(file, _MOST_BYTES)
    except FileNotFoundError as error:
        raise _Unusable(f"{file} cannot be read: {error.strerror}") from None
    except Untrusted as error:
        raise _Unusable(f"{file} is not trusted, because {error}") from None
    except Unusable as error:
        raise _Unusable(f"{file} {error}") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unusable(f"{file} is not text in UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _Unusable(f"{file} is empty")
    if secret[-1] == "tokens":
        # A list may have one token per line; a JSON list may have any line breaks.
        return text if text.lstrip().startswith("[") else ",".join(text.splitlines())
    if not text.isprintable():
        # Our secrets have no line breaks, which would begin another header in AMI.
        raise _Unusable(f"{file} has more than one line, or control characters")
    return text
