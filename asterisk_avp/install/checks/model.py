"""The input of the checks, and their findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asterisk_avp.core.model.world import World
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.nodes_model import NodesFacts
from asterisk_avp.install.checks.running import with_running
from asterisk_avp.install.running.state import RunningPbx

FILES = ("extensions.conf", "features.conf", "pjsip.conf", "queues.conf")
"""The files that are checked, with their includes."""

USERS_FILES = ("manager.conf", "ari.conf", "http.conf")
"""The files about access, which many administrators protect from other users."""

TRANSLATION_FILES = ("asterisk.conf", "codecs.conf")
"""The files with settings of how Asterisk translates between codecs; either may be missing."""

FEATURE_CODE = "*7"
"""The default keys that agents press to transfer a call."""


class Severity(StrEnum):
    """``error``: a rule can be bypassed, or transfers fail. ``warning``: needs attention."""

    ERROR = "error"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    ``id`` names the kind of finding and never changes. ``what`` is the fact, and ``why`` says why
    it matters. ``where`` is a file, or a line of one (`extensions.conf:16`). ``mend`` are the lines
    that fix it: they replace that line, or go at the end of the file. If only the administrator can
    know the lines, they are a comment that says what to write.
    """

    id: str
    severity: Severity
    what: str
    why: str = ""
    where: str = ""
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as loaded in Asterisk. ``agents``: the ids of its members."""

    name: str
    maxlen: int
    weight: int
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The result of running the context avp-check on a channel that rings nobody.

    ``refused``: why ARI did not create the channel. ``ran``: whether the dialplan reached its end.
    ``agi``: the status of the FastAGI connection (AGISTATUS). ``answer``: the version of the daemon
    that answered. ``heard``: the names of the AMI events that were received.
    """

    refused: str = ""
    ran: bool = False
    agi: str = ""
    answer: str = ""
    address: str = ""
    heard: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An INVITE with Replaces that was sent over SIP. It names a dialog that does not exist.

    ``address``: the transport, as in ``udp 127.0.0.1:5060``. ``sender``: the endpoint whose
    password was used; empty: no account. ``large``: the header was longer than Asterisk's header
    match examines. ``answer``: the final status; 100 if only a provisional answer came, None if
    there was no answer.
    """

    address: str
    sender: str
    dialled: str
    large: bool
    answer: int | None


@dataclass(frozen=True, slots=True)
class SipTest:
    """Asterisk's answers over SIP. ``untried``: what was not sent, each with the reason."""

    attempts: tuple[Attempt, ...] = ()
    untried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Live:
    """The facts that Asterisk reported to the daemon's own users.

    ``ami`` and ``ari`` say why there is no connection; facts that could not be queried are None.
    ``actions``: those that the AMI user may send. ``clock``: how many seconds Asterisk's clock is
    ahead of ours. ``extensions``: ``context,extension`` -> whether it exists. ``modules``: their
    status. ``sounds``: the languages of each. ``daemon``: the answer of our API's ``/readyz``;
    None: no answer. ``sip``: the answers to INVITEs with Replaces. ``dialplan``: the loaded one, as
    ``core show dialplan`` prints it. ``pbx``: the other configuration that is loaded. ``contacts``:
    the state of the trunk to each other node.
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
    pbx: RunningPbx | None = None
    contacts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Secret:
    """One of our own secret settings. ``names``: values that it must not resemble."""

    variable: str
    value: str = field(repr=False)
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses in the settings that we listen on and connect to."""

    api: str = "127.0.0.1"
    agi: str = "127.0.0.1"
    agi_port: int = 4583
    ami: str = "127.0.0.1"
    ari: str = "http://127.0.0.1:8088/ari"
    ami_user: str = ""
    ari_user: str = ""


@dataclass(frozen=True, slots=True)
class PanelFacts:
    """The settings of the panel, and who else is on this machine.

    ``secret``: whether the proxy must send one. ``proxies``: the trusted addresses and networks;
    ``named``: whether the administrator chose them. ``other_users``: people with a shell here.
    """

    user_header: str = ""
    secret: bool = False
    proxies: tuple[str, ...] = ()
    named: bool = False
    frame_ancestors: bool = False
    other_users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandbyFacts:
    """The settings of a standby, and those that must suit it."""

    active_url: str = ""
    agi_url: str = ""
    frozen_seconds: float = 1.0
    orphan_seconds: float = 60.0
    api_port: int = 8766


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was collected for the checks.

    ``version``: Asterisk's, or None; ``unreachable`` then says why. Both are empty, and ``live`` is
    None, when Asterisk was not to be queried. ``world``: our own settings, or None; ``settings``
    then says what is wrong with them. ``stale_dialplan``: a file with another version of our
    dialplan, if there is one. ``outdated``: our other files that are not as this version writes
    them. ``ignored``: a sentence for each settings file that is ignored. ``open_files``: files with
    secrets that every user of this machine can read. ``files`` say what is in force: Asterisk's own
    words win (`install.running.overlay`); ``written`` is pjsip.conf as it is written. ``keys``: the
    codes of AVP_KEYS by the end of their names; ``feature_code`` is the one that begins a transfer.
    ``nodes``: of several Asterisk; None: there is one.
    """

    files: Mapping[str, Conf]
    version: str | None = None
    unreachable: str = ""
    world: World | None = None
    settings: str = ""
    feature_code: str = FEATURE_CODE
    keys: Mapping[str, str] = field(default_factory=dict)
    live: Live | None = None
    secrets: tuple[Secret, ...] = ()
    addresses: Addresses = Addresses()
    panel: PanelFacts | None = None
    standby: StandbyFacts | None = None
    stale_dialplan: str = ""
    outdated: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    open_files: tuple[str, ...] = ()
    written: Conf = field(default=Conf("pjsip.conf", found=False), repr=False)
    nodes: NodesFacts | None = None
    _nothing: Conf = field(default=Conf("", found=False), repr=False)

    def file(self, name: str) -> Conf:
        return self.files.get(name, self._nothing)

    def dialplan(self) -> Conf:
        """extensions.conf, and the loaded lines that it does not have."""
        written = self.file("extensions.conf")
        if self.live is None or self.live.dialplan is None:
            return written
        return with_running(written, self.live.dialplan)
