"""The settings that `asterisk-avp render all` starts from, and those that it adds."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from asterisk_avp.config.file_trust import Untrusted, Unusable, read_trusted
from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sources import (
    CONFIG_VARIABLE,
    PREFIX,
    is_setting,
    parse_dotenv,
    read_dotenv,
)
from asterisk_avp.core.model.features import DEFAULT
from asterisk_avp.install import files as to
from asterisk_avp.install import proposals
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.choices import free_code, free_keys, free_port
from asterisk_avp.install.nats_conf import credentials
from asterisk_avp.install.running.ask import AmiAccess

_SECRET_BYTES: Final = 24
_MOST_BYTES: Final = 4 * 1024 * 1024


def written_environment(folder: Path) -> str | None:
    """The existing environment file, passwords included, if no other user can have written it.

    Raises `CannotRender` if it is not trusted or not readable.
    """
    file = folder / to.ENVIRONMENT
    try:
        return read_trusted(file, _MOST_BYTES).decode("utf-8")
    except FileNotFoundError:
        return None
    except Untrusted as error:
        raise to.CannotRender(f"{file} is not trusted, because {error}") from None
    except (Unusable, UnicodeDecodeError) as error:
        raise to.CannotRender(f"{file}: {error}") from None


def in_effect(written: str | None, ignored: list[str]) -> dict[str, str]:
    """What is set: in the folder's file, in .env, and in the environment, which wins.

    ``ignored`` receives a sentence for each settings file that is ignored. Raises `CannotRender`.
    """
    problems: list[str] = []
    dotenv = _ours(read_dotenv(Path.cwd() / ".env", problems, ignored))
    if problems:
        raise to.CannotRender("; ".join(problems))
    found = {**_ours(parse_dotenv(written or "")), **dotenv, **_of_environment()}
    if found.get(CONFIG_VARIABLE):
        found[CONFIG_VARIABLE] = str(Path(found[CONFIG_VARIABLE]).absolute())
    return found


def load(variables: Mapping[str, str]) -> Settings:
    return Settings.load(variables, Path.cwd(), connect=False)


def addresses(settings: Settings, http: Conf, manager: Conf) -> dict[str, str]:
    """The addresses of ARI and AMI on this machine, if they are not set."""
    paths = {"AVP_ARI__URL": ("ari", "url"), "AVP_AMI__HOST": ("ami", "host")}
    paths["AVP_AMI__PORT"] = ("ami", "port")
    proposed = proposals.addresses(http, manager)
    return {k: v for k, v in proposed.items() if settings.origin(paths[k]) == DEFAULT}


def ami_access(settings: Settings) -> AmiAccess | None:
    """The daemon's own user, if the settings have one."""
    ami = settings.ami
    if not (ami.username and ami.secret.get_secret_value()):
        return None
    return AmiAccess(ami.host, ami.port, ami.username, ami.secret.get_secret_value())


def generated(settings: Settings) -> dict[str, str]:
    """User names and new secrets for settings that have none."""
    found: dict[str, str] = {}
    if not settings.ari.username:
        found["AVP_ARI__USERNAME"] = "avp"
    if not settings.ari.password.get_secret_value():
        found["AVP_ARI__PASSWORD"] = secrets.token_urlsafe(_SECRET_BYTES)
    if not settings.ami.username:
        found["AVP_AMI__USERNAME"] = "avp"
    if not settings.ami.secret.get_secret_value():
        found["AVP_AMI__SECRET"] = secrets.token_urlsafe(_SECRET_BYTES)
    if not settings.api.tokens:
        found["AVP_API__TOKENS"] = secrets.token_urlsafe(_SECRET_BYTES)
    if settings.cluster.node is not None and not settings.cluster.credentials.get_secret_value():
        found["AVP_CLUSTER__CREDENTIALS"] = credentials(settings)
    return found


def free_values(settings: Settings, features: Conf) -> tuple[dict[str, str], list[str]]:
    """Another port for FastAGI and another transfer code where the defaults are taken, and why.

    For a first rendering on Asterisk's machine: afterwards the daemon itself has the port.
    """
    found: dict[str, str] = {}
    why: list[str] = []
    port = settings.agi.port
    if settings.origin(("agi", "port")) == DEFAULT and (free := free_port(port)) not in (
        None,
        port,
    ):
        found["AVP_AGI__PORT"] = str(free)
        why.append(f"Another program listens on port {port}, so FastAGI has port {free}.")
    code = settings.keys.transfer
    theirs = [
        (line.name.lower(), line.value.split(",")[0].strip())
        for section in features.sections
        if not section.template and section.name.lower() != "general"
        for line in section.lines
        if "AVPFeature" not in line.value
    ]
    taken = [keys for _, keys in theirs]
    if code and settings.origin(("keys", "transfer")) == DEFAULT:
        other = free_code(code, taken)
        if other is not None and other != code:
            found["AVP_KEYS__TRANSFER"] = other
            why.append(
                f"A code of features.conf conflicts with {code}, so agents transfer by {other}."
            )
            code = other
    # `check` demands that those two are switched off.
    in_calls = [keys for name, keys in theirs if name not in ("blindxfer", "atxfer")]
    for name, keys in free_keys(_own_keys(settings), [*in_calls, *filter(None, [code])]).items():
        found[f"AVP_KEYS__{name.upper()}"] = keys
        usual = getattr(settings.keys, name)
        why.append(
            f"{usual} is a code of features.conf, which a phone behind Local/… has during a"
            f" transfer as well, so agents have {keys} there (AVP_KEYS__{name.upper()})."
        )
    return found, why


def _own_keys(settings: Settings) -> dict[str, str]:
    """The codes that control a transfer, if nobody has set them."""
    names = [name for name in type(settings.keys).model_fields if name != "transfer"]
    by_default = [name for name in names if settings.origin(("keys", name)) == DEFAULT]
    return {name: getattr(settings.keys, name) for name in by_default}


def _of_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if is_setting(name) and value}


def _ours(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(PREFIX)}
