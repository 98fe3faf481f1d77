"""One action of AMI, and what Asterisk says to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from asterisk_avp.core.model.errors import AmiError

log = structlog.get_logger(__name__)

Answered = Callable[[AmiError | None], None]
"""Gets Asterisk's refusal, or None where it has complied, at the moment that the answer is read."""

Take = Callable[[Mapping[str, str]], None]
"""Gets an item of a list when it is read. It must not raise."""

_SUCCESS: Final = frozenset({"Success", "Follows", "Goodbye"})


class _Link(Protocol):
    def next_id(self) -> str: ...

    def deliver(self, message: Mapping[str, str]) -> None: ...


class AmiRequest:
    """An action that decides itself when it is answered. ``headers`` have been checked.

    panoramisk's takes an error in answer to a list action for the beginning of a list, and the
    first event with the action's id for the answer to an action that is none.

    `replies` is a future: whoever awaits it goes on once the event loop comes to that, after the
    events that came behind the answer in the same segment. ``answered`` is called before them.
    """

    __slots__ = (
        "_answered",
        "_counted",
        "_items",
        "_link",
        "_take",
        "_tell",
        "as_list",
        "deadline",
        "id",
        "name",
        "replies",
        "tampered",
        "text",
    )

    def __init__(
        self,
        name: str,
        headers: Mapping[str, str | list[str]],
        link: _Link,
        *,
        as_list: bool = False,
        answered: Answered | None = None,
        take: Take | None = None,
    ) -> None:
        """``take`` gets each item of a list, instead of `replies`."""
        self.name = name
        self.id = link.next_id()
        self.as_list = as_list
        self.text = _text(name, self.id, headers)
        """As it is written to Asterisk."""
        self.replies: asyncio.Future[list[Mapping[str, str]]]
        self.replies = asyncio.get_running_loop().create_future()
        self.deadline: asyncio.TimerHandle | None = None
        self._link = link
        self._tell = answered
        self._take = take
        self._items: list[Mapping[str, str]] = []
        self._counted = 0
        self.tampered = False
        self._answered = False

    def add_message(self, fields: Mapping[str, str]) -> bool:
        """Take a message with this action's id; True once nothing more will come."""
        # OriginateResponse is an event, although it has a Response header as well.
        if "Event" not in fields:
            if self._answered:
                # Asterisk answers once. This one has the end of an item of the list.
                self.tampered = True
                return False
            self._answered = True
            if fields["Response"] not in _SUCCESS:
                error = AmiError(self.name, fields.get("Message") or fields["Response"])
                self._tell_answer(error)
                self.fail(error)
            elif not self.as_list:
                self._tell_answer(None)
                self._finish([fields])
        elif not self.as_list:
            self._link.deliver(fields)
        elif _ends_list(fields):
            counted = fields.get("ListItems", "")
            self.tampered |= counted.isdigit() and int(counted) != self._counted
            self._finish(self._items)
        else:
            self._counted += 1
            (self._items.append if self._take is None else self._take)(fields)
        return bool(self.replies.done())

    def fail(self, error: Exception) -> None:
        """Give up; whoever waits for the answer gets the error."""
        if not self.replies.done():
            self.replies.set_exception(error)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        if not self.replies.cancel() and not self.replies.cancelled():
            self.replies.exception()  # it may not have been looked at

    def _finish(self, replies: list[Mapping[str, str]]) -> None:
        if not self.replies.done():
            self.replies.set_result(replies)

    def _tell_answer(self, error: AmiError | None) -> None:
        # Once the deadline is over, whoever asked has been told that nobody knows.
        if self._tell is None or self.replies.done():
            return
        try:
            self._tell(error)
        except Exception:
            log.exception("ami_answer_handler_failed", action=self.name)


def _text(name: str, action_id: str, headers: Mapping[str, str | list[str]]) -> str:
    lines = [f"Action: {name}\r\nActionID: {action_id}\r\n"]
    for header, value in headers.items():
        values = (value,) if isinstance(value, str) else value
        lines += [f"{header}: {one}\r\n" for one in values]
    lines.append("\r\n")
    return "".join(lines)


def _ends_list(event: Mapping[str, str]) -> bool:
    """True for the event that closes a list; older actions close theirs without EventList."""
    return event.get("EventList", "").lower() == "complete" or event["Event"].endswith("Complete")
