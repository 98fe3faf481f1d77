"""What checks are given, and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asterisk_avp.core.model.world import World
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.running import with_running

FILES = ("extensions.conf", "features.conf", "pjsip.conf", "queues.conf")
"""The files that are looked at, with what they include."""

USERS_FILES = ("manager.conf", "ari.conf", "http.conf")
"""Those about who may connect from where, which many administrators keep from other people."""

FEATURE_CODE = "*7"
"""The keys that agents press to transfer a call, unless it is set otherwise."""


class Severity(StrEnum):
    """``error``: a rule can be got round, or transfers fail. ``warning``: to be looked at."""

    ERROR = "error"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    ``id`` names the kind of finding and never changes; ``what`` is the case and ``why`` it matters.
    ``where`` is a file, or a line of one (`extensions.conf:16`). ``mend`` are the lines that mend
    it, to be written in place of that line, or at the end of the file. Where only the administrator
    can know them, they are a comment that says what to write.
    """

    id: str
    severity: Severity
    what: str
    why: str = ""
    where: str = ""
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as Asterisk has it now. ``agents``: the ids of its members."""

    name: str
    maxlen: int
    weight: int
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What came of running the context avp-check on a channel that rings nobody.

    ``refused``: why ARI did not make the channel. ``ran``: whether the dialplan got to its end.
    ``agi``: what Asterisk says of the FastAGI connection (AGISTATUS). ``answer``: the version of
    the daemon that answered it. ``heard``: the AMI events that came of it.
    """

    refused: str = ""
    ran: bool = False
    agi: str = ""
    answer: str = ""
    address: str = ""
    heard: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An INVITE with Replaces that was sent over SIP; it names a dialog that does not exist.

    ``address``: the transport, as in ``udp 127.0.0.1:5060``. ``sender``: the endpoint whose
    password was given; empty: nobody's. ``large``: the header was longer than Asterisk's header
    match looks at. ``answer``: the final status; 100 where only a provisional one came, None where
    nothing did.
    """

    address: str
    sender: str
    dialled: str
    large: bool
    answer: int | None


@dataclass(frozen=True, slots=True)
class SipTest:
    """What Asterisk answered over SIP. ``untried``: what was not sent, each with the reason."""

    attempts: tuple[Attempt, ...] = ()
    untried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Live:
    """What Asterisk said to the daemon's own users.

    ``ami`` and ``ari`` say why there is no connection; what could not be asked then is None.
    ``actions``: those that Asterisk lets the AMI user send. ``clock``: by how many seconds
    Asterisk's clock is ahead of ours. ``extensions``: ``context,extension`` -> whether it is there.
    ``modules``: their status. ``sounds``: the languages of each. ``daemon``: what our API says of
    itself; None: it does not answer. ``sip``: the answers to INVITEs with Replaces. ``dialplan``:
    the one that runs, as ``core show dialplan`` has it.
    """

    ami: str = ""
    ari: str = ""
    actions: frozenset[str] | None = None
    clock: float | None = None
    extensions: Mapping[str, bool] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, Queue] | None = None
    modules: Mapping[str, str] | None = None
    sounds: Mapping[str, frozenset[str]] | None = None
    selftest: SelfTest | None = None
    daemon: Mapping[str, object] | None = None
    sip: SipTest | None = None
    dialplan: Conf | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """One of our own settings that is secret; ``names``: what it must not be."""

    variable: str
    value: str = field(repr=False)
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where we listen and connect to, as the settings say."""

    api: str = "127.0.0.1"
    agi: str = "127.0.0.1"
    agi_port: int = 4573
    ami: str = "127.0.0.1"
    ari: str = "http://127.0.0.1:8088/ari"
    ami_user: str = ""
    ari_user: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was collected.

    ``version``: as Asterisk says it, or None, and then ``unreachable`` says why it did not; both
    are empty where nothing was to be asked. ``live``: None then, too.
    ``world``: our own settings, or None, and then ``settings`` says what is wrong with them.
    ``stale_dialplan``: the file that is our dialplan in another version, where there is one.
    ``ignored``: files of settings that do not count, in a sentence each. ``open_files``: those with
    secrets that every user of this machine can read.
    """

    files: Mapping[str, Conf]
    version: str | None = None
    unreachable: str = ""
    world: World | None = None
    settings: str = ""
    feature_code: str = FEATURE_CODE
    live: Live | None = None
    secrets: tuple[Secret, ...] = ()
    addresses: Addresses = Addresses()
    stale_dialplan: str = ""
    ignored: tuple[str, ...] = ()
    open_files: tuple[str, ...] = ()
    _nothing: Conf = field(default=Conf("", found=False), repr=False)

    def file(self, name: str) -> Conf:
        return self.files.get(name, self._nothing)

    def dialplan(self) -> Conf:
        """extensions.conf, and what runs in Asterisk without being in it."""
        written = self.file("extensions.conf")
        if self.live is None or self.live.dialplan is None:
            return written
        return with_running(written, self.live.dialplan)
