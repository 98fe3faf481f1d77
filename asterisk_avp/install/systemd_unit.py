"""The systemd units of the daemon and its standby, as `asterisk-avp render systemd` writes them."""

from __future__ import annotations

from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Final

DIRECTORY: Final = "/etc/asterisk-avp"
_STOP_MORE_SECONDS: Final = 20
"""The longest time that stopping takes, besides the wait for transfers."""
_HOMES: Final = ("/home", "/root", "/run/user")

_SHARED_USER: Final = "asterisk-avp"
_ORDER: Final = "# This too: of two that stop together, the standby stops before it takes over."
_ANOTHER: Final = """\
# 75: another daemon serves this Asterisk. An administrator must resolve this.
RestartPreventExitStatus=75"""
_WAITS: Final = "# While another daemon serves this Asterisk, this one waits."

_UNIT = """\
# The daemon of asterisk_avp.
#
# Written by: {command}
# Install it in /etc/systemd/system{named}, then run: systemctl daemon-reload

[Unit]
Description=Session transfer for Asterisk call centres{described}
# This is only an order: the daemon waits for Asterisk and reconnects when it returns.
After=network-online.target asterisk.service{after}
Wants=network-online.target
# Do not retry forever with invalid settings.
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
ExecStart={program} run{option}
# Reloads the settings. Calls and transfers continue.
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
{again}
TimeoutStartSec=60
# Longer than AVP_SESSION__DRAIN_SECONDS, so that transfers in progress can end.
TimeoutStopSec={stop_seconds}
# Restart the daemon if its event loop hangs.
WatchdogSec=30
# With all processors busy, each of Asterisk's threads would get as much of them as the daemon, and
# there may be thousands. With a weight, the services share them instead.
CPUWeight=200
# File descriptors: one for each panel connection. The default of systemd is 1024.
LimitNOFILE=65536

# The settings, secrets included: mode 600, owner root. systemd reads it; the daemon cannot.
EnvironmentFile={directory}/environment
# The directory of .env and of a relative AVP_CONFIG. Put settings that a reload may change there,
# readable by the daemon: the environment above is read only at the start.
WorkingDirectory={directory}
# For secrets that a reload may change, load their files here and name them in .env
# (AVP_API__TOKENS_FILE=/run/credentials/asterisk-avp.service/tokens).
#LoadCredential=tokens:{directory}/tokens

{user}
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


class Role(StrEnum):
    """Which of two daemons for one Asterisk a unit runs. Either serves while the other waits."""

    FIRST = "first"
    """The one that serves after the machine has started."""
    SECOND = "second"


def render_unit(
    program: Path, *, drain_seconds: float, user: str | None, command: str, role: Role | None = None
) -> str:
    """The text of the unit. ``user`` None: a dynamic user that systemd allocates.

    ``role``: one of two daemons; None: there is only one. The two have the same user, because the
    standby must be able to end the other if that is frozen.
    """
    dynamic = "DynamicUser=yes" if role is None else f"DynamicUser=yes\nUser={_SHARED_USER}"
    second = role is Role.SECOND
    in_a_home = any(program.is_relative_to(home) for home in _HOMES)
    return _UNIT.format(
        command=command,
        program=_escaped(program),
        stop_seconds=ceil(drain_seconds) + _STOP_MORE_SECONDS,
        directory=DIRECTORY,
        user=f"User={user}" if user is not None else dynamic,
        named=f" as {NAMES[role]}" if role else "",
        described=", standby" if second else "",
        after=f"\n{_ORDER}\nAfter={NAMES[Role.FIRST]}" if second else "",
        option="" if role is None else " --standby",
        again=_ANOTHER if role is None else _WAITS,
        home="read-only" if in_a_home else "yes",
    )


NAMES: Final = {
    Role.FIRST: "asterisk-avp.service",
    Role.SECOND: "asterisk-avp-standby.service",
}


def _escaped(program: Path) -> str:
    """Escape the path as one word of ExecStart=."""
    text = str(program).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if " " in text or "\\" in text else text
