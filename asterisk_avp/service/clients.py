"""Create the engine, the two clients and what performs by AMI."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from functools import partial

from asterisk_avp.ami import translate as from_ami
from asterisk_avp.ami.client import AmiClient
from asterisk_avp.ami.membership import MembershipChanges
from asterisk_avp.ami.perform import AmiPerformer, Ends
from asterisk_avp.ami.recording import Recordings
from asterisk_avp.ami.wire import OnDefect
from asterisk_avp.ari import translate as from_ari
from asterisk_avp.ari.client import AriClient
from asterisk_avp.config.sections import AmiSettings
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.pbx import ami_rights
from asterisk_avp.core.pbx.beyond import phone_beyond
from asterisk_avp.core.transfer.session import SECRET_BYTES


def new_engine(settings: Settings) -> TransferEngine:
    session = settings.session
    return TransferEngine(
        settings.world(),
        new_id=lambda: secrets.token_hex(6),
        ring_seconds=session.ring_seconds,
        ring_outside_seconds=session.ring_outside_seconds,
        orphan_seconds=session.orphan_seconds,
        new_secret=lambda: secrets.token_hex(SECRET_BYTES),
    )


def ami_client(settings: AmiSettings, on_defect: OnDefect) -> AmiClient:
    return AmiClient(
        settings.host,
        settings.port,
        settings.username,
        settings.secret.get_secret_value(),
        action_timeout_seconds=settings.action_timeout_seconds,
        backoff_max_seconds=settings.reconnect_max_seconds,
        needs=ami_rights.ACTIONS,
        wanted=from_ami.EVENTS,
        on_defect=on_defect,
    )


def process_name() -> str:
    """How this process is named in the messages of other daemons."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def ari_client(everything: Settings, outdated: Callable[[], None], *, warm: bool) -> AriClient:
    """``warm``: with `--standby`, when another daemon's answer is not waited for so long."""
    settings = everything.ari
    return AriClient(
        settings.url,
        settings.username,
        settings.password.get_secret_value(),
        settings.app,
        who=process_name(),
        outdated=outdated,
        probe_seconds=settings.probe_seconds,
        request_timeout_seconds=settings.request_timeout_seconds,
        backoff_max_seconds=settings.reconnect_max_seconds,
        event_types=from_ari.EVENT_TYPES,
        answer_seconds=everything.standby.frozen_seconds / 2 if warm else None,
    )


def new_ami_performer(
    client: AmiClient,
    engine: TransferEngine,
    recordings: Recordings,
    members: MembershipChanges,
    ends: Ends,
) -> AmiPerformer:
    calls = engine.calls
    return AmiPerformer(
        client, calls.name_of, recordings, members, ends, partial(phone_beyond, calls)
    )
