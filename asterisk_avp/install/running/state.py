"""The configuration that a running Asterisk has loaded, as AMI tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.install.asterisk_conf import Conf

SAID_BY_ASTERISK: Final = "the running Asterisk"
"""The place of a value that Asterisk has loaded, and that no file here has."""

FEATURES: Final = ("blindxfer", "atxfer", "disconnect", "parkcall", "automixmon")
"""The codes that FEATUREMAP() reads (features_config.c, featuremap_get)."""


@dataclass(frozen=True, slots=True)
class PbxMember:
    """A member of a queue.

    ``membership``: ``static`` (queues.conf), ``dynamic`` (logged in) or ``realtime`` (a database).
    ``state_interface``: the device whose state app_queue watches, e.g. ``hint:1001@ext-local``.
    """

    interface: str
    state_interface: str = ""
    name: str = ""
    membership: str = "static"
    penalty: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class PbxQueue:
    """A queue and its present members. AMI tells no other options of a queue."""

    name: str
    maxlen: int = 0
    weight: int = 0
    strategy: str = ""
    members: tuple[PbxMember, ...] = ()


@dataclass(frozen=True, slots=True)
class PbxEndpoint:
    """A PJSIP endpoint.

    ``options``: by their names in pjsip.conf, without `set_var`. ``variables``: those of `set_var`,
    None where it is known that Asterisk has none of that name. ``all_variables``: whether these are
    all; otherwise only those that were asked for (`answers.VARIABLES`).
    """

    options: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str | None] = field(default_factory=dict)
    all_variables: bool = False


@dataclass(frozen=True, slots=True)
class RunningPbx:
    """What a running Asterisk told. None: the AMI user may not ask for it, or it failed.

    ``all_endpoints``: whether ``endpoints`` are all; otherwise only those that were asked for.
    ``hints``: ``extension@context`` to the devices.
    ``database``: key to value of AstDB, for the families in `answers.FAMILIES`. ``features``: the
    codes in force. ``untold``: a sentence for each thing that could not be asked.
    """

    asked_as: str = ""
    version: str = ""
    queues: Mapping[str, PbxQueue] | None = None
    endpoints: Mapping[str, PbxEndpoint] | None = None
    all_endpoints: bool = False
    hints: Mapping[str, str] | None = None
    database: Mapping[str, str] | None = None
    features: Mapping[str, str] | None = None
    dialplan: Conf | None = None
    untold: tuple[str, ...] = field(default=())

    def family(self, name: str) -> Iterator[tuple[tuple[str, ...], str]]:
        """The rest of each key of an AstDB family, split at ``/``, with its value."""
        prefix = f"/{name}/"
        for key, value in (self.database or {}).items():
            if key.startswith(prefix):
                yield tuple(key[len(prefix) :].split("/")), value

    def members(self) -> Iterator[tuple[PbxQueue, PbxMember]]:
        """Every member with its queue."""
        for queue in (self.queues or {}).values():
            for member in queue.members:
                yield queue, member
