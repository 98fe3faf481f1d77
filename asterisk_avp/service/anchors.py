"""What agents who are at home here ask of the nodes where their calls came in.

Each request is decided there, and audited there and here. It has the key of the client's own
request (`api.outcomes`), so that the anchor knows it again after this daemon was started anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asterisk_avp.api.outcomes import HANDED_ON
from asterisk_avp.cluster.peers import REQUEST_SECONDS, Answer, Peers, check
from asterisk_avp.core.messages import between, fields
from asterisk_avp.core.messages.between import TransferEvent
from asterisk_avp.core.model.errors import (
    AsteriskBusy,
    AsteriskUnavailable,
    AvpError,
    PeerUnavailable,
    Refused,
    UnknownParty,
    UnknownTransfer,
    WrongState,
)
from asterisk_avp.observe.audit import Audit, Forwarded

PATH: Final = "/v1/cluster/transfers"
POPS: Final = "/v1/cluster/pops"
_REQUESTS: Final = "/v1/cluster/requests"
_EARLIER_SECONDS: Final = 1.0
_REASONS: Final = (
    (WrongState, "wrong_state"),
    (UnknownTransfer, "unknown_transfer"),
    (UnknownParty, "unknown_party"),
    (PeerUnavailable, "node_unavailable"),
    (AsteriskBusy, "asterisk_busy"),
    (AsteriskUnavailable, "asterisk_unavailable"),
)


@dataclass(frozen=True, slots=True)
class Anchors:
    peers: Peers
    audit: Audit

    async def ask(
        self,
        forwarded: Forwarded,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        within: float = REQUEST_SECONDS,
    ) -> Any:
        """The body of the anchor's answer. Raises what the anchor raises, and `PeerUnavailable`."""
        key, node = HANDED_ON.get() or secrets.token_urlsafe(24), forwarded.node
        try:
            answer = await self.peers.ask(
                node, method, PATH + path, body, what="request", key=key, within=within
            )
            found = check(node, answer)
        except AvpError as error:
            self.audit.forwarded(forwarded, *_outcome(error))
            raise
        self.audit.forwarded(forwarded, "allow", "ok", _transfer_of(found))
        return found

    async def earlier(self) -> tuple[str, TransferEvent] | None:
        """How another node answered the request with this key, which an earlier daemon handed on.

        With the node. Raises what that node raised. None: no such request is known.
        """
        key = HANDED_ON.get()
        if not key:
            return None
        found = await asyncio.gather(*(self._earlier(node, key) for node in self.peers.peers))
        for node, answer in zip(self.peers.peers, found, strict=True):
            if answer is not None:
                return node, event_of(node, check(node, answer))
        return None

    async def _earlier(self, node: str, key: str) -> Answer | None:
        try:
            answer = await self.peers.ask(
                node, "GET", f"{_REQUESTS}/{key}", what="request", within=_EARLIER_SECONDS
            )
            read = fields.mapping(answer.body, "answer")
            if not answer.ok:
                return None
            return Answer(fields.count(read, "status", 599), read.get("answer"))
        except (AvpError, fields.Unusable):
            return None


def event_of(node: str, body: object) -> TransferEvent:
    """A node's answer. Raises `PeerUnavailable` if it cannot be read."""
    try:
        event = between.transfer_event(body)
    except fields.Unusable:
        event = TransferEvent(0)
    if event.transfer is None:
        raise PeerUnavailable(node, "its answer cannot be read")
    return event


def _outcome(error: AvpError) -> tuple[str, str]:
    """The decision and its reason."""
    if isinstance(error, Refused):
        return "deny", error.reason
    return "fail", next((name for kind, name in _REASONS if isinstance(error, kind)), "failed")


def _transfer_of(body: object) -> str | None:
    transfer = body.get("transfer") if isinstance(body, dict) else None
    found = transfer.get("id") if isinstance(transfer, dict) else None
    return found if isinstance(found, str) else None
