"""What is wrong with a malformed request, in the language of the request.

The catalogue has a sentence for each kind of fault, as pydantic names them, that the schemas of
this API can find, and one for all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asterisk_avp.api.languages import say

_SENTENCES: Final[Mapping[str, str]] = {
    "bool_parsing": "invalid.boolean",
    "bool_type": "invalid.boolean",
    "enum": "invalid.one_of",
    "extra_forbidden": "invalid.unknown_field",
    "float_parsing": "invalid.number",
    "float_type": "invalid.number",
    "greater_than_equal": "invalid.too_small",
    "int_from_float": "invalid.whole_number",
    "int_parsing": "invalid.whole_number",
    "int_parsing_size": "invalid.far_too_large",
    "int_type": "invalid.whole_number",
    "json_invalid": "invalid.not_json",
    "less_than_equal": "invalid.too_large",
    "literal_error": "invalid.one_of",
    "missing": "invalid.missing",
    "model_attributes_type": "invalid.object",
    "model_type": "invalid.object",
    "string_pattern_mismatch": "invalid.another_form",
    "string_too_long": "invalid.too_long",
    "string_too_short": "invalid.too_short",
    "string_type": "invalid.text",
    "string_unicode": "invalid.unicode",
    "union_tag_invalid": "invalid.tag",
    "union_tag_not_found": "invalid.no_tag",
}
"""The kinds of fault that the schemas of this API can find, and their sentences."""

_QUOTED: Final = re.compile(r"'([^']*)'")
_LISTS: Final = ("expected", "expected_tags")
"""Values of a fault that pydantic joins with an English "or"."""


def details(faults: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``details`` of a 422. Without the input, which may be a PIN."""
    return [{"where": list(fault["loc"]), "message": _sentence(fault)} for fault in faults]


def not_json() -> list[dict[str, Any]]:
    """``details`` for a body that cannot be read at all."""
    return [{"where": ["body"], "message": say("invalid.not_json")}]


def _sentence(fault: Mapping[str, Any]) -> str:
    values = {name: str(value).strip("'") for name, value in fault.get("ctx", {}).items()}
    for name in _LISTS:
        if name in values:
            values[name] = ", ".join(_QUOTED.findall(str(fault["ctx"][name]))) or values[name]
    return say(_SENTENCES.get(fault["type"], "invalid.not_as_described"), **values)
