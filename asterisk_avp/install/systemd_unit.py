"""The systemd unit of the daemon, as `asterisk-avp render systemd` writes it."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Final

DIRECTORY: Final = "/etc/asterisk-avp"
_STOP_MORE_SECONDS: Final = 20
"""What stopping takes besides waiting for transfers, at the most."""
_HOMES: Final = ("/home", "/root", "/run/user")

_UNIT = """\
# The daemon of asterisk_avp.
#
# Written by: {command}
# Put it into /etc/systemd/system, then: systemctl daemon-reload

[Unit]
Description=Session transfer for Asterisk call centres
# Only the order: without Asterisk the daemon waits for it, and reconnects when it comes back.
After=network-online.target asterisk.service
Wants=network-online.target
# Settings that are not valid do not get better by trying for ever.
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
ExecStart={program} run
# Reads the settings again; calls and transfers go on.
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
# Another daemon serves this Asterisk: that is for a person to look at.
RestartPreventExitStatus=75
TimeoutStartSec=60
# Longer than AVP_SESSION__DRAIN_SECONDS, for transfers that are under way.
TimeoutStopSec={stop_seconds}
# An event loop that stands still is ended and started again.
WatchdogSec=30
# File descriptors: one for each connection of a panel. systemd's own limit is 1024.
LimitNOFILE=65536

# The settings, with their secrets: mode 600, owner root. systemd reads it, the daemon cannot.
EnvironmentFile={directory}/environment
# Where .env and a relative AVP_CONFIG are looked for. What is to be in force on reload belongs
# there, readable by the daemon, since the environment above is read at the start only.
WorkingDirectory={directory}
# Secrets that can be changed by a reload: give their files here, and name them in .env
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


def render_unit(program: Path, *, drain_seconds: float, user: str | None, command: str) -> str:
    """The text of the unit. ``user`` None: one that systemd makes up while the daemon runs."""
    in_a_home = any(program.is_relative_to(home) for home in _HOMES)
    return _UNIT.format(
        command=command,
        program=_escaped(program),
        stop_seconds=ceil(drain_seconds) + _STOP_MORE_SECONDS,
        directory=DIRECTORY,
        user=f"User={user}" if user is not None else "DynamicUser=yes",
        home="read-only" if in_a_home else "yes",
    )


def _escaped(program: Path) -> str:
    """As one word of ExecStart=."""
    text = str(program).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if " " in text or "\\" in text else text
