"""The sources of the settings: the environment, `.env`, and one TOML file.

All three fill the same tree: ``AVP_GROUPS__SALES__QUEUE=sales`` is the leaf ``("groups", "sales",
"queue")``, and so is ``queue`` in the TOML table ``[groups.sales]``. The environment overrides
`.env`, and `.env` overrides TOML, leaf by leaf. An empty variable counts as not set, because
compose files pass empty strings for missing values.

Sections, ids and fields are case-insensitive and kept in lower case, except the ids of agents:
they are names in Asterisk, which is case-sensitive. Secrets can be in files of their own
(`config.secret_files`).

A command may be run in any directory, so a `.env` that another user may have written
(`config.file_trust`) is ignored with a warning, and the command continues. The daemon refuses to
start or reload with such a file, because it would lack part of its settings. An untrusted file
that was named, by AVP_CONFIG or as a secret file, is always an error.

This module does not check values. It records the origin of each leaf, so that the checks can name
the variable.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from asterisk_avp.config.file_trust import Untrusted, Unusable, read_trusted
from asterisk_avp.config.secret_files import Leaves, Path_, read_secret_files

PREFIX = "AVP_"
DELIMITER = "__"
_MOST_BYTES = 4 * 1024 * 1024
"""The largest `.env` or TOML file. The file of ten thousand agents is smaller."""
CONFIG_VARIABLE = "AVP_CONFIG"

# Our variables that are not settings of the daemon: those of the command line client and of the
# tests, and those that the test bed prints; people export them in the same shell. `AVP_ARI` and
# `AVP_AMI` are addresses there; as settings, they would be whole sections, which a plain variable
# cannot hold.
NOT_SETTINGS = frozenset(
    {
        CONFIG_VARIABLE,
        "AVP_URL",
        "AVP_TOKEN",
        "AVP_BASE_IMAGE",
        "AVP_BED",
        "AVP_CACHE",
        "AVP_CHROMIUM",
        "AVP_DEBIAN_MIRROR",
        "AVP_DEBIAN_SUITE",
        "AVP_KEEP",
        "AVP_NGINX",
        "AVP_PORTS",
        "AVP_NATS",
        "AVP_NATS_SERVER",
        "AVP_PROMTOOL",
        "AVP_ROOTFS",
        "AVP_STATE",
        "AVP_SIP",
        "AVP_ARI",
        "AVP_ARI_USER",
        "AVP_ARI_USERNAME",
        "AVP_ARI_PASSWORD",
        "AVP_AMI",
        "AVP_AMI_USER",
        "AVP_AMI_USERNAME",
        "AVP_AMI_PASSWORD",
        "AVP_AMI_SECRET",
    }
)
_NOT_SETTINGS_PREFIXES = ("AVP_BED_", "AVP_FUZZ_", "AVP_TEST_")
# As docker/up prints them of several nodes, with each node's letter.
_OF_A_NODE = re.compile(r"(AVP_[A-Z_]+)_[ABC]")

# Settings with a second, shorter name.
_ALIASES = {"AVP_LOG_NUMBERS": "AVP_LOG__NUMBERS"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The merged tree, the origin of each leaf, and the problems while reading."""

    tree: dict[str, Any]
    origins: Mapping[Path_, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    at_fault: frozenset[Path_] = frozenset()
    """Places whose value was set but could not be read."""
    ignored: tuple[str, ...] = ()
    """A sentence for each existing file that was ignored."""

    def name(self, path: Path_) -> str:
        """The variable for ``path``, with its file if it was set in one."""
        origin = self.origins.get(path)
        if origin is not None:
            return origin
        below = sorted({name for leaf, name in self.origins.items() if leaf[: len(path)] == path})
        return ", ".join(below) if below and path else variable(path)


def variable(path: Path_) -> str:
    """``("groups", "sales", "queue")`` is ``AVP_GROUPS__SALES__QUEUE``."""
    if path[:1] == ("agents",):
        parts = ["AGENTS", *path[1:2], *(part.upper() for part in path[2:])]
    else:
        parts = [part.upper() for part in path]
    return PREFIX + DELIMITER.join(parts)


def is_setting(name: str) -> bool:
    """Whether a variable is for the daemon: a setting, or AVP_CONFIG."""
    if name == CONFIG_VARIABLE:
        return True
    ours = name.startswith(PREFIX) and not name.startswith(_NOT_SETTINGS_PREFIXES)
    node = _OF_A_NODE.fullmatch(name)
    return ours and name not in NOT_SETTINGS and (node is None or node[1] not in NOT_SETTINGS)


def read_inputs(environ: Mapping[str, str], directory: Path) -> Inputs:
    """Read all sources. ``directory`` contains `.env` and is the base of a relative AVP_CONFIG."""
    problems: list[str] = []
    ignored: list[str] = []
    dotenv_file = directory / ".env"
    dotenv = read_dotenv(dotenv_file, problems, ignored)
    toml: dict[str, Any] = {}
    config = environ.get(CONFIG_VARIABLE) or dotenv.get(CONFIG_VARIABLE)
    if config:
        toml = _read_toml(directory / config, problems)

    leaves: Leaves = {}
    for layer in (
        _toml_leaves(toml, config or ""),
        _variable_leaves(dotenv, f" (in {dotenv_file.name})"),
        _variable_leaves(environ, ""),
    ):
        here: Leaves = {}
        for path, value, name in layer:
            if path in here:
                problems.append(f"{name}: also set as {here[path][1]}")
            here[path] = (value, name)
        leaves.update(here)

    at_fault: set[Path_] = set()

    def add_problem(path: Path_, text: str) -> None:
        at_fault.add(path)
        problems.append(text)

    read_secret_files(leaves, directory, add_problem)
    tree: dict[str, Any] = {}
    origins: dict[Path_, str] = {}
    for path in sorted(leaves):
        value, name = leaves[path]
        if _plant(tree, path, value):
            origins[path] = name
        else:
            above = next(origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins)
            problems.append(f"{name}: contradicts {above}, which sets one value for all of it")
    return Inputs(tree, origins, tuple(problems), frozenset(at_fault), tuple(ignored))


def read_dotenv(file: Path, problems: list[str], ignored: list[str]) -> dict[str, str]:
    """The variables of a `.env`; empty if it does not exist or is a directory."""
    try:
        text = read_trusted(file, _MOST_BYTES).decode("utf-8")
    except FileNotFoundError:
        return {}
    except Untrusted as error:
        ignored.append(f"{file} is not trusted, because {error}")
        return {}
    except Unusable as error:
        if not file.is_dir():
            problems.append(f"{file}: {error}")
        return {}
    except UnicodeDecodeError as error:
        problems.append(f"{file}: cannot be read: {error}")
        return {}
    return parse_dotenv(text)


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables in the text of a `.env`, without empty ones."""
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value}


def _read_toml(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(read_trusted(file, _MOST_BYTES).decode("utf-8"))
    except OSError as error:
        problems.append(f"{CONFIG_VARIABLE}: {file} cannot be read: {error.strerror or error}")
    except Untrusted as error:
        problems.append(f"{CONFIG_VARIABLE}: {file} is not trusted, because {error}")
    except Unusable as error:
        problems.append(f"{CONFIG_VARIABLE}: {file} {error}")
    except ValueError as error:  # invalid TOML or UTF-8, or a number with too many digits
        problems.append(f"{CONFIG_VARIABLE}: {file} is not valid TOML: {error}")
    except RecursionError:
        problems.append(f"{CONFIG_VARIABLE}: {file} is nested too deeply")
    return {}


def _variable_leaves(variables: Mapping[str, str], where: str) -> Iterator[tuple[Path_, str, str]]:
    for name in sorted(variables):
        value = variables[name]
        if not value or not is_setting(name) or name == CONFIG_VARIABLE:
            continue
        full = _ALIASES.get(name, name)
        yield _normal(tuple(full[len(PREFIX) :].split(DELIMITER))), value, name + where


def _toml_leaves(
    table: Mapping[str, Any], file: str, above: Path_ = ()
) -> Iterator[tuple[Path_, Any, str]]:
    for key, value in table.items():
        path = (*above, key)
        # An empty table is a leaf as well: `[groups.sales]` alone declares the group.
        if isinstance(value, dict) and value:
            yield from _toml_leaves(value, file, path)
        else:
            normal = _normal(path)
            yield normal, value, f"{variable(normal)} ({'.'.join(path)} in {file})"


def _normal(path: Path_) -> Path_:
    """The path in lower case, except the ids of agents."""
    lower = tuple(part.lower() for part in path)
    return (*lower[:1], *path[1:2], *lower[2:]) if lower[0] == "agents" else lower


def _plant(tree: dict[str, Any], path: Path_, value: Any) -> bool:
    """Set ``value`` at ``path``; False if a leaf is in the way (paths come shortest first)."""
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            return False
    if isinstance(value, dict):
        return isinstance(node.setdefault(path[-1], {}), dict)
    node[path[-1]] = value
    return True
