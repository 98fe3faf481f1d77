"""What the nodes of one call centre must have in common, as a hash that they compare.

Each decides about the calls that came in at it, by its own settings. Where these differ, an agent
may do with one call what is refused with the next.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asterisk_avp.config.settings import Settings

#: Sections that are compared: who works where, who may do what, and what is dialled for it.
_SECTIONS: Final = ("enterprise", "accounts", "groups", "presets", "agents", "keys")
#: Secrets, of which not even a hash is told; and a name that no rule looks at.
_LEFT_OUT: Final = frozenset({"pin", "pin_hash"})
_PANEL: Final = ("pause_reasons", "other_pause_reasons", "acw_extension_seconds")

LENGTH: Final = 16
"""Characters of a hash."""


def config_hash(settings: Settings) -> str:
    """A hash of the settings that must be equal on all nodes: `LENGTH` hexadecimal digits.

    It contains policy, accounts, groups, presets, agents without their PINs, key codes, rules of
    breaks and after-call work, and which nodes there are; no addresses and no secrets. The order
    in which a list is written does not matter.
    """
    common = {name: _plain(_dumped(getattr(settings, name))) for name in _SECTIONS}
    common["panel"] = _plain({name: getattr(settings.panel, name) for name in _PANEL})
    common["nodes"] = sorted(settings.nodes)
    text = json.dumps(common, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _dumped(section: Any) -> Any:
    if isinstance(section, dict):
        return {key: _dumped(value) for key, value in section.items()}
    return section.model_dump(exclude=set(_LEFT_OUT))


def _plain(value: Any) -> Any:
    """The same for JSON; lists in one order."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return sorted(map(_plain, value), key=repr)
    return value if isinstance(value, (int, float, bool)) or value is None else str(value)
