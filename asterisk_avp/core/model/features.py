"""What an agent may do: settings of three levels made into one answer, with where it came from.

The nearest explicit setting wins: group over account over enterprise; where none is explicit, the
default. Contractual access (``contracted``, per account) is a ceiling: without it everything is
off, whatever a level below says. Manual dial inherited under a disabled external transfer is
simply off; `contradictions` finds where it was enabled explicitly all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

DEFAULT: Final = "default"


class MaxHoldAction(StrEnum):
    """What happens to a queued internal transfer when its maximum hold timer expires."""

    HANGUP = "hangup"
    RETURN = "return"
    GROUP = "group"


class ShownNumber(StrEnum):
    """Whose number an external target sees; trunks often carry no number but the account's."""

    ACCOUNT = "account"
    CALLER = "caller"


class ExternalAccept(StrEnum):
    """What an external target has to do before they are connected with agent 1."""

    NONE = "none"
    """Answer; whoever or whatever answers is connected."""
    PRESS1 = "press1"
    """Press 1 on request, which a voicemail box does not."""


class ConsultRecording(StrEnum):
    """What a recording of the caller's channel does while the caller waits for a consultation."""

    CONTINUE = "continue"
    """It goes on, with the music."""
    PAUSE = "pause"
    """Silence is recorded, so that what comes after it stays where it belongs in time."""


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
    max_hold_seconds: int = 120
    max_hold_action: MaxHoldAction = MaxHoldAction.HANGUP
    external_accept: ExternalAccept = ExternalAccept.NONE
    consult_recording: ConsultRecording = ConsultRecording.CONTINUE
    country: str | None = None
    """The client's country (ISO 3166-1 alpha-2): that of the account."""
    caller_id: str | None = None
    """The account's own number, shown to external targets and named as who diverts the call."""
    external_caller_id: ShownNumber = ShownNumber.ACCOUNT
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each value came from: the variable (or file) that set it, or ``default``."""

    def allows(self, name: str) -> bool:
        """Whether a feature is on, all that it depends on included."""
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
"""The features that are on or off, in the order in which permissions are listed."""

_UNDER_EXTERNAL: Final = frozenset({"manual_dial", "presets", "toll_free_service", "toll_service"})


@dataclass(frozen=True, slots=True)
class Level:
    """What one level says: values that were set explicitly, and the name each was set by."""

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
    """Manual dial enabled explicitly where external transfer is off at that level.

    Gives the names of the two variables. ``levels`` from the level in question upwards;
    ``missing`` names the variable that would have to be set where external transfer is off only
    by default.
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
