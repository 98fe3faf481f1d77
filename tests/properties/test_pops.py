"""Any screen pop and any history of a call."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asterisk_avp.core.pops.content import (
    PastTransfer,
    history,
    history_variables,
    read,
    without_surrogates,
)
from asterisk_avp.core.pops.url import fill
from tests.core.test_pops import past

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_json_object_can_be_sent_on(value: dict[str, Any]) -> None:
    found = read({"AVP_POP": json.dumps(value)})
    json.dumps(found.data, allow_nan=False, ensure_ascii=False).encode()
    if not found.ignored:
        assert found.data == value


@given(st.text(st.characters(codec=None)))
def test_any_text_at_all(text: str) -> None:
    """Can be read, and is not in the reason why it is ignored. Our own words may be such a text."""
    for one in (text, f"\N{SNOWMAN}{text}"):
        found = read(dict.fromkeys(("AVP_POP", "AVP_POP_X", "AVP_HISTORY_1_1", "AVP_WAITED"), one))
        assert not any("\N{SNOWMAN}" in ignored.reason for ignored in found.ignored)


@given(
    st.lists(st.builds(past, st.text(max_size=300), st.text(max_size=40)), max_size=5),
    st.integers(0, 9_999_999),
)
def test_history_comes_back(transfers: list[PastTransfer], waited: int) -> None:
    """Through AMI: ASCII lines that it can write, without leading or trailing spaces."""
    written = history(tuple(transfers), waited)
    for name, value in written.items():
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()
        assert len(name) + len(value) < 1000
    found = read(written)
    assert found.waited_seconds == waited
    assert [m.note for m in found.transfers] == [without_surrogates(m.note) for m in transfers]
    assert history_variables({**written, "AVP_POP": "x"}) == written


@settings(max_examples=20)
@given(st.text(min_size=500, max_size=2000))
def test_a_long_note_is_cut_and_the_rest_is_kept(note: str) -> None:
    written = history((past(note), past("short")), 0)
    first, second = read(written).transfers
    assert without_surrogates(note).startswith(first.note)
    assert len(first.note) >= 250
    assert second == past("short")
    assert sum(map(len, written.values())) < 2 * 4 * 910


@given(st.text(st.characters(codec=None), min_size=1, max_size=100))
def test_a_value_stays_in_its_place(value: str) -> None:
    url = fill("https://crm.example/c/{v}/x?q={v}&r=1", {"v": value}, {})
    if url is None:
        assert value in {".", ".."}
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "crm.example", "")
    assert url.isascii()
    assert url.isprintable()
    assert re.fullmatch(r"/c/[^/]+/x", parts.path)
    sent = value.encode("utf-8", "replace").decode()
    assert unquote(parts.path.split("/")[2]) == sent
    assert parse_qs(parts.query, keep_blank_values=True) == {"q": [sent], "r": ["1"]}
