"""What the daemon's parts ask of other nodes, and the answers where there are none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import TransferRequest
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.service.inbox import Post
from asterisk_avp.service.part import Part

Publish = Callable[[Mapping[str, Any]], None]
Variables = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""Channel id, names → the channel's variables."""
Action = Callable[[str, Mapping[str, str]], Awaitable[object]]
"""An AMI action and its fields."""


@dataclass(slots=True)
class Held:
    """The target's slot on another node, while this one decides about a request."""

    request: TransferRequest
    refused: Refused | None = None
    """Why the target's node does not give it."""
    token: str = ""
    """Empty: nothing is reserved; SIP decides."""
    kept: bool = False
    """Whether the request was permitted, so that the call is going to use it up."""

    def checked(self) -> TransferRequest:
        """The request to decide about. Raises the other node's refusal."""
        if self.refused is not None:
            raise self.refused
        return self.request


class Alone:
    """There is one Asterisk. See `service.between` for several."""

    service_type: type[Any] | None = None
    """Instead of `service.facade.TransferService`."""
    parts: tuple[Part, ...] = ()
    """They come before the engine's step, which needs what they have noted."""

    def hold(self, request: TransferRequest) -> AbstractAsyncContextManager[Held]:
        """Reserve the target's slot on its node while the request is being decided."""
        return nullcontext(Held(request))

    def is_elsewhere(self, request: TransferRequest) -> bool:
        """Whether the request's target is an agent of another node."""
        del request
        return False

    async def refer(self, received: ev.ReferReceived, request: TransferRequest) -> str | None:
        """Ask the call's anchor for what a phone's button asks.

        The reason of a refusal; empty: it is done; None: the call is this node's own.
        """
        del received, request
        return None

    async def code(self, used: ev.FeatureUsed) -> bool:
        """Hand a feature code on to the call's anchor; False: the call is this node's own."""
        del used
        return False

    def publisher(self, publish: Publish, board: PopBoard) -> Publish:
        """``publish`` for the pops of agents here; others' pops go to their nodes.

        ``board``: what nodes are told of that ask again.
        """
        del board
        return publish

    def connect(
        self, app: FastAPI, service: Any, phones: Any, variables: Variables, metrics: Any
    ) -> FastAPI:
        """The API's ``app`` with what other nodes ask of it; before anything is asked.

        ``service``: a `service_type`. ``phones``: the part of phones. ``metrics``: the daemon's.
        """
        del service, phones, variables, metrics
        return app


def other_daemons(settings: Settings, engine: TransferEngine, post: Post, action: Action) -> Alone:
    """The other nodes' daemons; one Asterisk needs neither them nor `asterisk_avp.cluster`."""
    if settings.cluster.node is None:
        return Alone()
    from asterisk_avp.service.between import Between  # noqa: PLC0415 - see above

    return Between(settings, engine, post, action)
