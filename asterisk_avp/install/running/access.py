"""As whom can Asterisk be asked, before the daemon has a user of its own?"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from asterisk_avp.core.model.errors import AmiError, AvpError
from asterisk_avp.install.asterisk_conf import Conf, Section, is_true
from asterisk_avp.install.running.ask import AmiAccess, Wanted, ask_as
from asterisk_avp.install.running.state import RunningPbx

_NEEDED = ("reporting", "call")
"""Classes without which a user cannot see enough to be worth a log-in (ami_rights)."""

Ask = Callable[[AmiAccess, Wanted], Awaitable[RunningPbx]]


@dataclass(frozen=True, slots=True)
class Asked:
    """``pbx``: None if nobody could be asked; ``said``: what was done, in sentences for the
    administrator. No password is in them.
    """

    pbx: RunningPbx | None = None
    said: tuple[str, ...] = field(default=())


def ami_enabled(manager: Conf) -> bool:
    """Whether manager.conf switches AMI on."""
    general = manager.first("general")
    return general is not None and is_true(general.last("enabled"))


def users_of(manager: Conf, name: str = "") -> list[Section]:
    """The users of manager.conf that may be asked as, those with the most rights first.

    ``name``: only this one.
    """
    found = [
        section
        for section in manager.sections
        if not section.template
        and section.name.lower() != "general"
        and section.last("secret")
        and (not name or section.name == name)
        and _rights(section)
    ]
    return sorted(found, key=lambda section: -_rights(section))


def _rights(section: Section) -> int:
    """The more, the more the user may see; 0: too little, or none from this machine."""
    classes = {word.strip().lower() for word in section.last("write").split(",")}
    everything = "all" in classes
    if not everything and not classes.issuperset(_NEEDED):
        return 0
    if not _permits_this_machine(section):
        return 0
    return 1 + sum(everything or x in classes for x in ("system", "config", "command"))


def _permits_this_machine(section: Section) -> bool:
    """Whether the user may connect from 127.0.0.1: the last rule that matches counts (acl.c)."""
    allowed = True
    for line in section.lines:
        rule = line.name.lower()
        if rule not in {"deny", "permit"}:
            continue
        if any(_has_loopback(text) for text in line.value.split(",")):
            allowed = rule == "permit"
    return allowed


def _has_loopback(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text.strip().lstrip("!"), strict=False)
    except ValueError:
        return False
    return network.version == 4 and ipaddress.ip_address("127.0.0.1") in network  # noqa: PLR2004


async def ask_somebody(
    own: AmiAccess | None,
    manager: Conf,
    place: tuple[str, int],
    wanted: Wanted,
    *,
    user: str = "",
    ask: Ask = ask_as,
) -> Asked:
    """Ask as the settings' user (``own``), else as a user of ``manager``.

    ``place``: AMI's host and port. ``user``: only this user of manager.conf. Never raises for what
    Asterisk refuses: `Asked.said` says it.
    """
    said: list[str] = []
    for access in _accesses(own, manager, place, user, said):
        try:
            pbx = await ask(access, wanted)
        except AmiError:
            said.append(f"AMI at {access.host}:{access.port} refuses [{access.username}].")
            continue
        except AvpError as error:
            said.append(f"Asterisk could not be asked: {error}.")
            break
        whose = "" if access is own else " of manager.conf"
        said.append(f"Asked Asterisk as [{access.username}]{whose}.")
        return Asked(pbx, (*said, *pbx.untold))
    said.append("What Asterisk runs with is not known; everything here comes from its files.")
    return Asked(None, tuple(said))


def _accesses(
    own: AmiAccess | None,
    manager: Conf,
    place: tuple[str, int],
    user: str,
    said: list[str],
) -> Iterator[AmiAccess]:
    if own is not None and not user:
        yield own
    if not manager.found or manager.faults:
        said.append("manager.conf could not be read, so that no user of it could be asked as.")
        return
    if not ami_enabled(manager):
        said.append("AMI is switched off in manager.conf ([general] enabled).")
        return
    others = users_of(manager, user)
    if not others:
        said.append(
            f"manager.conf has no user [{user}] with a secret who may see enough from here."
            if user
            else "manager.conf has no user who may see enough (write: reporting and call)."
        )
    for section in others:
        yield AmiAccess(*place, section.name, section.last("secret"))
