"""Reading a call's variables and showing them, mostly with hostile input."""

from __future__ import annotations

from typing import Any

import pytest

from asterisk_avp.core.model.caller import Told
from asterisk_avp.core.pops.content import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_TRANSFERS,
    Ignored,
    PastTransfer,
    history,
    ordered,
    read,
    shape,
)
from asterisk_avp.core.pops.url import fill, template_fault


def past(note: str = "", name: str = "Alice", transfer: str = "t1") -> PastTransfer:
    return PastTransfer("1001", name, "supervised", note, "2026-01-31T09:05:07.250Z", transfer)


# --- reading ---------------------------------------------------------------------------------


def test_a_json_object_and_single_variables() -> None:
    found = read(
        {
            "AVP_POP": '{"customer_id": "4711", "vip": true, "tags": ["a", {"b": null}]}',
            "AVP_POP_ORDER": "17",
            "AVP_POP_CUSTOMER_ID": "4712",
            "AVP_GROUP": "sales",
            "AVP_POPULAR": "no",
            "AVP_POP_HEADERS": "ours",
            "AVP_POP_EMPTY": "",
        }
    )
    assert found.data == {
        "customer_id": "4712",
        "vip": True,
        "tags": ["a", {"b": None}],
        "order": "17",
    }
    assert found.ignored == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("4711", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "a number that is too large"),
        ('{"a": "\ufffd"}', "not UTF-8"),
        ('{"a": "' + "x" * MAX_BYTES + '"}', f"more than {MAX_BYTES} bytes"),
        ('{"a": ' * 9 + "1" + "}" * 9, f"deeper than {MAX_DEPTH}"),
        ('{"a":' + "[" * 8000 + "]" * 8000 + "}", f"deeper than {MAX_DEPTH}"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ('{"a": [' + ",".join("1" * 300) + "]}", "more than 200 values"),
    ],
)
def test_what_is_not_a_pop(text: str, reason: str) -> None:
    found = read(
        {"AVP_POP": text, "AVP_POP_ORDER": "17"} if len(text) < 9000 else {"AVP_POP": text}
    )
    assert found.ignored == (Ignored("AVP_POP", reason),)
    assert "a" not in found.data


def test_all_variables_together_are_bounded() -> None:
    many = {f"AVP_POP_K{i}": "x" * 1000 for i in range(30)}
    found = read(many)
    assert len(found.data) == MAX_BYTES // 1000
    assert len(found.ignored) == 30 - len(found.data)


def test_half_characters_are_replaced() -> None:
    found = read({"AVP_POP": r'{"a\ud800": "b\udc00", "pair": "\ud83d\ude00"}'})
    assert found.data == {"a\ufffd": "b\ufffd", "pair": "\U0001f600"}


# --- history ---------------------------------------------------------------------------------


def test_history_is_bounded() -> None:
    transfers = tuple(past(f"note {i}", transfer=f"t{i}") for i in range(50))
    found = read(history(transfers, 0))
    assert found.transfers == transfers[-MAX_TRANSFERS:]


@pytest.mark.parametrize("text", ["|{|", "|[]|", '|{"from":1}|', "|" + "[" * 5000 + "|", "x"])
def test_a_broken_entry_does_not_take_the_others_along(text: str) -> None:
    written = history((past("one"), past("two"), past("three")), 7)
    found = read(written | {"AVP_HISTORY_2_1": text})
    assert [m.note for m in found.transfers] == ["one", "three"]
    assert found.ignored == (Ignored("AVP_HISTORY_2", "not a transfer"),)


# --- the address -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "https://crm.example/{customer_id}",
        "http://crm.example:8080/a/{a}/b?x={b}&y={group}#{id}",
        "https://crm.example?c={id}",
        "https://crm.example",
    ],
)
def test_templates(template: str) -> None:
    assert template_fault(template) == ""


@pytest.mark.parametrize(
    "template",
    [
        "crm.example/{id}",
        "javascript:alert({id})",
        "https://{host}/",
        "https://crm.{domain}/x",
        "https://crm.example{x}",
        "https://crm.example:{port}/",
        "https://user:pw@crm.example/{id}",
        "https:///{id}",
        "https://crm.example/{}",
        "https://crm.example/{a b}",
        "https://crm.example/{id",
        "https://crm.example/{id!r}",
        "https://crm.example/{{id}}",
        "https://crm.example/\n{id}",
        "https://crm.example\\@evil.example/{id}",
        "https://crm.example/é",
        "",
    ],
)
def test_no_templates(template: str) -> None:
    assert template_fault(template) != ""


@pytest.mark.parametrize(
    ("data", "url"),
    [
        ({"v": 4711}, "https://crm.example/4711?g=sales"),
        ({"v": True}, "https://crm.example/true?g=sales"),
        ({"v": "a/../b"}, "https://crm.example/a%2F..%2Fb?g=sales"),
        ({"v": ".."}, None),
        ({"v": ""}, None),
        ({"v": None}, None),
        ({"v": [1]}, None),
        ({"v": "x" * 600}, None),
        ({}, None),
        ({"v": "1", "group": "mine"}, "https://crm.example/1?g=mine"),
    ],
)
def test_values(data: dict[str, Any], url: str | None) -> None:
    assert fill("https://crm.example/{v}?g={group}", data, {"group": "sales"}) == url
    assert fill(None, data, {}) is None


def test_dots_put_together() -> None:
    assert fill("https://crm.example/.{v}/x", {"v": "."}, {}) is None
    assert fill("https://crm.example/a.{v}/x", {"v": "."}, {}) == "https://crm.example/a../x"


def test_the_shape() -> None:
    shown = shape(
        "1.2",
        {"a": 1},
        caller=Told("5550100", "Ann"),
        country=None,
        group="sales",
        waited_seconds=12,
        transfers=(past("first"), past("second")),
        url=None,
    )
    assert list(shown) == [
        *("id", "data", "caller", "group", "waited_seconds", "transfers", "note", "url")
    ]
    assert shown["note"] == "second"
    assert shown["transfers"][0] == {
        "from": "1001",
        "from_name": "Alice",
        "mode": "supervised",
        "note": "first",
        "at": "2026-01-31T09:05:07.250Z",
    }


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ((), ["zeta", "Order", "order", "ADDED"]),
        (("order", "zeta"), ["order", "zeta", "Order", "ADDED"]),
        (("Order", "nothing", "added"), ["Order", "ADDED", "zeta", "order"]),
        (("ORDER", "Zeta", "zeta"), ["Order", "order", "zeta", "ADDED"]),
    ],
)
def test_the_administrators_keys_come_first(first: tuple[str, ...], expected: list[str]) -> None:
    data = {"zeta": "1", "Order": "2", "order": "3", "ADDED": "4"}
    found = ordered(data, first)
    assert list(found) == expected
    assert found == data
