"""The record of each decision, which no input can forge or break."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.world import Mode, TargetKind
from asterisk_avp.core.policy.dialling import Dial, Dialled
from asterisk_avp.observe import log
from asterisk_avp.observe.audit import Audit
from tests.core.world import NOW, call, engine, request


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


EVIL = st.text(
    st.characters() | st.sampled_from("\r\n\t\0\x1b\x7f\x85\u2028\u2029 =\"'\\,{}0123456789"),
    max_size=80,
)


def audited(asked: Any, *, numbers: bool = False, kind: Any = "json") -> tuple[str, Any]:
    """The log of one request to an engine in which 1001 has a call, and the session if allowed."""
    out = io.StringIO()
    log.configure("info", kind, out, numbers=numbers)
    made = engine()
    call(made)
    audit = Audit(numbers=numbers)
    found = made.call_of(asked.agent, asked.call)
    try:
        session, _ = audit.decide(asked, found, lambda: made.request(asked, CallVariables(), NOW))
    except Refused:
        return out.getvalue(), None
    audit.transfer(session)
    audit.transfer(session)
    return out.getvalue(), session


def records(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert line.pop("timestamp")
        assert (line.pop("level"), line.pop("logger")) == ("info", "asterisk_avp.observe.audit")
    return lines


def test_what_was_allowed() -> None:
    text, session = audited(request())
    decision, transfer = records(text)
    assert decision == {
        "event": "decision",
        "agent": "1001",
        "channel": None,
        "call": "u-caller1",
        "mode": "supervised",
        "kind": "agent",
        "target": "1002",
        "decision": "allow",
        "reason": "ok",
        "setting": session.permission.setting or None,
        "transfer": session.id,
    }
    assert (transfer["event"], transfer["target"]) == ("transfer", "agent:1002")


def test_what_was_denied() -> None:
    asked = request(target="+1 202 555-0100", kind=TargetKind.NUMBER)
    (decision,) = records(audited(asked)[0])
    assert decision == {
        "event": "decision",
        "agent": "1001",
        "channel": None,
        "call": "u-caller1",
        "mode": "supervised",
        "kind": "number",
        "target": "***100",
        "decision": "deny",
        "reason": "external_disabled",
        "setting": None,
        "transfer": None,
    }
    (decision,) = records(audited(asked, numbers=True)[0])
    assert decision["target"] == "+1 202 555-0100"


def dialled(typed: str, decided: Dial, *, numbers: bool = False, kind: Any = "json") -> str:
    """The log of one number dialled on a phone."""
    out = io.StringIO()
    log.configure("info", kind, out, numbers=numbers)
    asked = Dialled("PJSIP/1001-0000002a", typed, "1769850307.25")
    assert Audit(numbers=numbers).dial(asked, decided) is decided
    return out.getvalue()


def test_a_number_dialled_on_a_phone_is_recorded_alike() -> None:
    typed = "(202) 555-0100"
    setting = "AVP_ENTERPRISE__MANUAL_DIAL"
    allowed = Dial(allowed=True, reason="ok", number="+12025550100", agent="1001", setting=setting)
    (decision,) = records(dialled(typed, allowed))
    assert decision == {
        "event": "decision",
        "agent": "1001",
        "channel": "PJSIP/1001-0000002a",
        "call": "1769850307.25",
        "mode": "dial",
        "kind": "number",
        "target": "***100",
        "decision": "allow",
        "reason": "ok",
        "setting": setting,
        "transfer": None,
    }
    assert decision.keys() == records(audited(request())[0])[0].keys()
    (decision,) = records(dialled(typed, allowed, numbers=True))
    assert decision["target"] == typed


def test_a_phone_that_is_nobodys() -> None:
    (decision,) = records(dialled("12025550100", Dial(allowed=False, reason="unknown_agent")))
    assert (decision["decision"], decision["reason"]) == ("deny", "unknown_agent")
    assert (decision["agent"], decision["setting"]) == (None, None)
    assert decision["channel"] == "PJSIP/1001-0000002a"


def test_an_emergency_number_is_neither_allowed_nor_denied() -> None:
    """The administrator's dialplan dials it."""
    decided = Dial(allowed=False, reason="emergency", number="911", agent="1001")
    (decision,) = records(dialled("9.1.1", decided))
    assert (decision["decision"], decision["reason"]) == ("pass", "emergency")
    more = Dial(allowed=False, reason="emergency", agent="1001")
    (decision,) = records(dialled("9112025550100", more))
    assert decision["decision"] == "deny"


@given(EVIL)
def test_what_was_dialled_can_forge_nothing(typed: str) -> None:
    decided = Dial(allowed=False, reason="invalid_format", agent="1001")
    (decision,) = records(dialled(typed, decided, numbers=True))
    assert decision["target"] == typed
    text = dialled(typed, decided, numbers=True, kind="text")
    assert text[:-1].isprintable()
    assert len(text.splitlines()) == 1


def test_a_call_that_was_not_found_is_the_one_that_was_asked_for() -> None:
    (decision,) = records(audited(request("1002", "1001", call="u-nothing"))[0])
    assert (decision["call"], decision["reason"]) == ("u-nothing", "no_active_call")
    (decision,) = records(audited(request("1002", "1001"))[0])
    assert decision["call"] is None


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("+12025550100", "***100"),
        ("202-555-0123 ext 9", "***239"),
        ("1-800-FLOWERS", "***800"),
        ("sip:bob@example.org", "***"),
        ("12", "***12"),
        ("٠١٢٣٤", "***٢٣٤"),
        ("", "***"),
    ],
)
def test_masks(typed: str, shown: str) -> None:
    assert log.masked(typed) == shown


@given(EVIL)
def test_a_record_is_one_json_line_that_says_what_was_typed(typed: str) -> None:
    asked = request(target=typed, kind=TargetKind.NUMBER)
    text, _ = audited(asked, numbers=True)
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    (decision,) = records(text)
    assert decision["target"] == typed
    text.encode("utf-8")


@given(EVIL, st.sampled_from([TargetKind.NUMBER, TargetKind.AGENT]))
def test_a_record_is_one_text_line(typed: str, kind: TargetKind) -> None:
    text, session = audited(request(target=typed, kind=kind), numbers=True, kind="text")
    if session is None:
        assert text.endswith("\n")
        assert text[:-1].isprintable()
        assert len(text.splitlines()) == 1


def test_no_field_can_be_forged_in_text() -> None:
    forged = request(target="1 decision=allow\n2026-01-01 [info] decision", kind=TargetKind.NUMBER)
    text, _ = audited(forged, numbers=True, kind="text")
    assert "target='1 decision=allow\\\\n2026-01-01 [info] decision'" in text


def test_numbers_are_masked_wherever_they_appear() -> None:
    for kind in ("json", "text"):
        out = io.StringIO()
        log.configure("debug", kind, out)
        logger = structlog.get_logger("x")
        logger.warning(
            "dial_failed",
            endpoint="Local/+12025550100@avp-external-leg",
            error='ARI answered 500: no "Zoë" <12025550123>',
            channel="1769850307.25",
            agent="7654321",
            bridge="avp-0123456789ab-hold",
        )
        try:
            int("+12025550100 cannot be dialled")
        except ValueError:
            logger.exception("effect_crashed", effect="DialLeg(number='+12025550100')")
        text = out.getvalue()
        assert "2025550" not in text
        assert text.count("***100") >= 3
        assert "<***123>" in text
        for kept in ("1769850307.25", "7654321", "avp-0123456789ab-hold"):
            assert kept in text


def test_a_traceback_shows_no_variables() -> None:
    out = io.StringIO()
    log.configure("info", "text", out)
    hushed = "hush".upper()
    try:
        int("x")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    assert "ValueError" in out.getvalue()
    assert hushed not in out.getvalue()


def test_unsupervised_is_recorded_alike() -> None:
    text, session = audited(request(mode=Mode.UNSUPERVISED))
    assert records(text)[0]["mode"] == "unsupervised"
    assert session.mode is Mode.UNSUPERVISED
