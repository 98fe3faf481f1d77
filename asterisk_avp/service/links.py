"""The state of the two connections to Asterisk."""

from __future__ import annotations

from typing import Protocol


class _Ami(Protocol):
    @property
    def connected(self) -> bool: ...


class _Ari(Protocol):
    @property
    def connected(self) -> bool: ...

    @property
    def stuck(self) -> bool: ...


class Links:
    def __init__(self, ami: _Ami, ari: _Ari) -> None:
        self._ami = ami
        self._ari = ari

    @property
    def ami(self) -> bool:
        return self._ami.connected

    @property
    def ari(self) -> bool:
        return self._ari.connected

    @property
    def both(self) -> bool:
        return self.ami and self.ari

    @property
    def in_control(self) -> bool:
        """Whether Asterisk executes our requests and delivers events."""
        return self.both and not self._ari.stuck
