"""Numbers as people of a country write them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.views import transfer_view
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import Target, TargetKind, World
from asterisk_avp.core.numbers import check, shown
from asterisk_avp.core.transfer.session import Party
from asterisk_avp.core.transfer.states import State
from tests.core import sessions


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("+12025550143", "US", "(202) 555-0143"),
        ("+12025550143", "CA", "+1 202-555-0143"),
        ("+12025550143", "DE", "+1 202-555-0143"),
        ("+12025550143", None, "+1 202-555-0143"),
        ("2025550143", "US", "(202) 555-0143"),
        ("+493012345678", "DE", "030 12345678"),
        ("+493012345678", "FR", "+49 30 12345678"),
        ("03012345678", "DE", "030 12345678"),
        ("0012025550143", "DE", "+1 202-555-0143"),
        ("+33142685300", "FR", "01 42 68 53 00"),
        ("+34911234567", "ES", "911 23 45 67"),
        ("+390612345678", "IT", "06 1234 5678"),
        # What is no number stays as it is, whatever a trunk or a phone sends.
        ("", "US", ""),
        ("anonymous", "US", "anonymous"),
        ("1001", "US", "1001"),
        ("1001", None, "1001"),
        ("2025550143", None, "2025550143"),
        ("+999", "US", "+999"),
        ("+12025550143;ext=5", "US", "+12025550143;ext=5"),
        ("sip:+12025550143@x", "US", "sip:+12025550143@x"),
        ("+1 202 555 0143", "US", "+1 202 555 0143"),
        ("+1202555\u0660143", "US", "+1202555\u0660143"),
        ("9" * 400, "US", "9" * 400),
        ("<b>+12025550143", "US", "<b>+12025550143"),
    ],
)
def test_as_its_country_writes_it(number: str, country: str | None, expected: str) -> None:
    assert shown(number, country) == expected


def test_a_number_that_may_be_called_is_formatted_for_the_client() -> None:
    allowed = check("0033 1 42 68 53 00", agent_country="FR", client_country="FR")
    assert (allowed.e164, allowed.formatted) == ("+33142685300", "01 42 68 53 00")
    refused = check("+33612345678", agent_country="FR", client_country="FR")
    assert (refused.e164, refused.formatted) == (None, None)


def test_a_transfer_has_the_numbers_of_its_parties_as_the_clients_country_writes_them() -> None:
    sales = replace(sessions.SALES, features=Features(country="US"))
    engine = TransferEngine(World(groups={"sales": sales}), lambda: "new")
    made = sessions.session(
        State.CONFERENCE, target=Target(TargetKind.NUMBER, "+12025550100"), fourth=sessions.IN
    )
    caller = Party("chan-caller", "+4930123456", presence=sessions.IN)
    engine.store.adopt(replace(made, caller=caller), 0.0, Outcome())
    view = transfer_view(engine, engine.store.records["t1"])
    assert (view.caller, view.caller_formatted) == ("+4930123456", "+49 30 123456")
    assert {party.role: (party.name, party.name_formatted) for party in view.parties} == {
        "transferor": ("Alice", ""),
        "caller": ("+4930123456", "+49 30 123456"),
        "target": ("+12025550100", "(202) 555-0100"),
        "fourth": ("+12015550123", "(201) 555-0123"),
    }
