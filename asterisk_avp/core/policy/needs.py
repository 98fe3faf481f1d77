"""The features that each use of session transfer needs. The rest of policy reads them here.

Every use needs `EACH` first; then its own features are checked in the order of its row. The first
feature that is off is the reason for the refusal.
"""

from __future__ import annotations

from typing import Final

from asterisk_avp.core.model.world import Mode, TargetKind

EACH: Final = ("contracted", "session_transfer")

TRANSFER: Final[dict[tuple[Mode, TargetKind], tuple[str, ...] | str]] = {
    (Mode.SUPERVISED, TargetKind.AGENT): ("internal_transfer",),
    (Mode.SUPERVISED, TargetKind.GROUP): "supervised_group",
    (Mode.SUPERVISED, TargetKind.NUMBER): ("external_transfer", "manual_dial"),
    (Mode.SUPERVISED, TargetKind.PRESET): ("external_transfer", "presets"),
    (Mode.UNSUPERVISED, TargetKind.AGENT): ("internal_transfer", "unsupervised_transfer"),
    (Mode.UNSUPERVISED, TargetKind.GROUP): ("internal_transfer", "unsupervised_transfer"),
    (Mode.UNSUPERVISED, TargetKind.NUMBER): "unsupervised_external",
    (Mode.UNSUPERVISED, TargetKind.PRESET): "unsupervised_external",
}
"""By mode and kind of target: the features, or the reason why it is never possible."""

CONFERENCE: Final = ("conference",)
"""For joining all three parties."""
PARTY: Final = ("conference", "external_transfer", "manual_dial")
"""For adding a typed external number as fourth party."""
COLLEAGUE: Final = ("conference", "internal_transfer")
"""For adding a colleague as fourth party."""
DIAL: Final = ("external_transfer", "manual_dial")
"""For dialling an external number on the phone, outside a transfer."""

OFF: Final = {
    "contracted": "not_contracted",
    "session_transfer": "transfer_disabled",
    "internal_transfer": "internal_disabled",
    "external_transfer": "external_disabled",
    "manual_dial": "manual_dial_disabled",
    "presets": "presets_disabled",
    "unsupervised_transfer": "unsupervised_disabled",
    "conference": "conference_disabled",
}
"""The reason code where a feature is off."""
