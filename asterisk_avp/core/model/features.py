"""Effective features of a group, resolved from three levels of settings, with their origins.

The nearest explicit setting wins: group over account over enterprise, then the default. Contractual
access (``contracted``, per account) is a ceiling: without it everything is off, whatever lower
levels say. Manual dial inherited under a disabled external transfer is off; `contradictions` finds
where it was enabled explicitly all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

DEFAULT: Final = "default"


class MaxHoldAction(StrEnum):
    """What happens to an unsupervised internal transfer when its maximum hold time expires."""

    HANGUP = "hangup"
    RETURN = "return"
    GROUP = "group"


class ShownNumber(StrEnum):
    """Whose number an external target sees; many trunks accept only the account's."""

    ACCOUNT = "account"
    CALLER = "caller"


class ExternalAccept(StrEnum):
    """What an external target must do before they are connected with the transferor."""

    NONE = "none"
    """Answer. Voicemail counts as an answer."""
    PRESS1 = "press1"
    """Press 1 when prompted, which voicemail does not."""


class ConsultRecording(StrEnum):
    """What a recording of the caller's channel does during a consultation."""

    CONTINUE = "continue"
    """It continues, and contains the music on hold."""
    PAUSE = "pause"
    """It contains silence, so that the rest keeps its position in time."""
    RESTART = "restart"
    """It ends, and continues in another file (dialplan, ``avp-recording``)."""


@dataclass(frozen=True, slots=True)
class Features:
    """The effective settings of one agent group."""

    contracted: bool = True
    session_transfer: bool = True
    internal_transfer: bool = True
    external_transfer: bool = False
    manual_dial: bool = False
    presets: bool = False
    unsupervised_transfer: bool = True
    conference: bool = False
    toll_free_service: bool = False
    toll_service: bool = False
    strict_landline: bool = False
    landline_types: tuple[str, ...] = ("fixed_line", "fixed_line_or_mobile")
    domestic_territories: tuple[str, ...] = ()
    max_hold_seconds: int = 120
    max_hold_action: MaxHoldAction = MaxHoldAction.HANGUP
    empty_group_seconds: int = 20
    show_withheld: bool = False
    """Whether agents are told a number that its caller withholds."""
    external_accept: ExternalAccept = ExternalAccept.NONE
    consult_recording: ConsultRecording = ConsultRecording.CONTINUE
    country: str | None = None
    """The account's country (ISO 3166-1 alpha-2)."""
    caller_id: str | None = None
    """The account's own number, presented to external targets and as the diverting party."""
    external_caller_id: ShownNumber = ShownNumber.ACCOUNT
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The origin of each value: the variable (or file) that set it, or ``default``."""

    def allows(self, name: str) -> bool:
        """Whether a feature and all features that it depends on are on."""
        if not (self.contracted and self.session_transfer):
            return False
        if name in _UNDER_EXTERNAL and not self.external_transfer:
            return False
        return bool(getattr(self, name))


SETTINGS: Final = tuple(f.name for f in fields(Features) if f.name != "origins")

SWITCHES: Final = (
    "session_transfer",
    "internal_transfer",
    "external_transfer",
    "manual_dial",
    "presets",
    "unsupervised_transfer",
    "conference",
    "toll_free_service",
    "toll_service",
)
"""The boolean features, in the order in which the API lists permissions."""

_UNDER_EXTERNAL: Final = frozenset({"manual_dial", "presets", "toll_free_service", "toll_service"})


@dataclass(frozen=True, slots=True)
class Level:
    """The explicit settings of one level: values, and the variable that set each."""

    values: Mapping[str, object]
    names: Mapping[str, str]


def resolve(levels: Sequence[Level]) -> Features:
    """The effective settings, nearest level first."""
    chosen: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name in SETTINGS:
        origins[name] = DEFAULT
        for level in levels:
            if name in level.values:
                chosen[name] = level.values[name]
                origins[name] = level.names[name]
                break
    if not chosen.get("external_transfer", False) and chosen.get("manual_dial"):
        chosen["manual_dial"] = False
        origins["manual_dial"] = origins["external_transfer"]
    return Features(**chosen, origins=origins)  # type: ignore[arg-type]  # checked where read


def contradictions(levels: Sequence[Level], missing: str) -> Iterator[tuple[str, str]]:
    """Find manual dial enabled explicitly where external transfer is off.

    Yields the names of the two variables. ``levels`` starts at the level to check, then its
    parents; ``missing`` names the variable to set where external transfer is off by default.
    """
    nearest = levels[0]
    if nearest.values.get("manual_dial") is not True:
        return
    for level in levels:
        if "external_transfer" in level.values:
            if level.values["external_transfer"] is False:
                yield nearest.names["manual_dial"], level.names["external_transfer"]
            return
    yield nearest.names["manual_dial"], missing
