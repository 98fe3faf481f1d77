"""The parts of a daemon whose Asterisk is one of several nodes; none where there is one.

Only this module imports `asterisk_avp.cluster`, and only where `AVP_CLUSTER__NODE` is set: one
Asterisk needs neither the package nor nats-py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asterisk_avp.config.fingerprint import config_hash
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.links import Links
from asterisk_avp.service.part import Part
from asterisk_avp.service.trunk_state import Endpoints, Info, TrunkState, show_trunks

if TYPE_CHECKING:
    from asterisk_avp.cluster.directory import Directory


class _Gauge(Protocol):
    def __call__(self, name: str, meaning: str, value: Callable[[], float]) -> None: ...


class Ari(Protocol):
    """What is asked of Asterisk (`ari.client.AriClient`)."""

    @property
    def endpoints(self) -> Endpoints: ...

    @property
    def asterisk(self) -> Info: ...


class _Sync(Protocol):
    synced: bool


def _no_warnings() -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Nodes:
    """What the daemon gets. Empty: there is one Asterisk."""

    parts: tuple[Part, ...] = ()
    warnings: Callable[[], tuple[str, ...]] = _no_warnings
    directory: Directory | None = None

    def reloaded(self, settings: Settings) -> None:
        """These settings are in force now."""
        if self.directory is not None:
            self.directory.config_hash = config_hash(settings)


def several_nodes(
    settings: Settings,
    engine: TransferEngine,
    post: Post,
    links: Links,
    sync: _Sync,
    news: Callable[[], None],
    gauge: _Gauge,
    ari: Ari,
) -> Nodes:
    """``news`` is called when `Nodes.warnings` may have changed."""
    if settings.cluster.node is None:
        return Nodes()
    from asterisk_avp.cluster.directory import Directory  # noqa: PLC0415 - see above
    from asterisk_avp.service.remote_agents import (  # noqa: PLC0415
        DirectoryPart,
        RemoteStep,
        show_directory,
    )

    def ready() -> bool:
        return links.in_control and sync.synced

    directory = Directory(settings.cluster, engine, post, ready, news)
    directory.config_hash = config_hash(settings)
    asked = (ari.endpoints, ari.asterisk)
    trunks = TrunkState(engine, *asked, directory.others, post, ready=ready, news=news)
    directory.trunks, directory.asterisk = trunks.told, trunks.started
    show_directory(gauge, directory)
    show_trunks(gauge, lambda: trunks.cut)
    parts = (RemoteStep(engine, post), DirectoryPart(directory), trunks)
    return Nodes(parts, lambda: (*directory.warnings(), *trunks.warnings()), directory)
