"""Every variable, header and parameter against every hostile text, and any text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asterisk_avp.core.messages import clean, packing
from asterisk_avp.core.model.errors import UncleanValue
from tests.core.test_clean import EVIL

TEXT = st.text() | st.sampled_from(EVIL) | st.from_regex(r"[0-9$(){}\[\],:;&|\"\\+ a]{1,20}")


SYNTAX = re.compile(r"[$(){}\[\],:;&|\"\\^<>=?`\x00-\x1f\x7f]")


@given(TEXT)
def test_a_constructor_gives_the_text_or_nothing(text: str) -> None:
    for made in (clean.number, clean.ident, clean.name):
        assert made(text) in ("", text)
        assert SYNTAX.search(made(text)) is None
    assert clean.location(text) in ("", text)
    assert SYNTAX.search(clean.location(text).replace(":", "")) is None


@given(st.from_regex(r"\+?[0-9]{1,15}", fullmatch=True, alphabet="+0123456789"))
def test_a_clean_number_stays_as_it_is(number: str) -> None:
    assert clean.number(number) == number


@given(TEXT, TEXT)
def test_a_caller_id_is_a_name_and_an_id(shown: str, identifier: str) -> None:
    made = clean.caller_id(shown, identifier)
    if made:
        assert re.fullmatch(r'"[^"<>$&(){}\[\],;|\\]*" <[A-Za-z0-9_.-]+>', made)
        clean.check_request({"callerId": made}, None)


@given(TEXT)
def test_what_is_packed_is_clean_and_is_read_again(text: str) -> None:
    assume(text.isascii() or not re.search("[\ud800-\udfff]", text))
    packed = packing.pack(text)
    assert re.fullmatch("[A-Za-z0-9_-]+", packed)
    assert packing.unpack(packed, len(text.encode())) == text


@given(TEXT)
def test_what_is_not_packed_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        packing.unpack(text, 1000)


VARIABLES = (
    *("AVP_STATE", "AVP_TRANSFER", "AVP_GROUP", "AVP_RETURN_QUEUE", "AVP_TRANSFEROR", "AVP_LEG"),
    *("__AVP_EXCLUDE", "AVP_CALLER_ID", "AVP_DIVERTED_BY", "AVP_ENDS_AT", "AVP_SESSION_0"),
    *("AVP_SESSION_a0", "AVP_SESSION_b59", "AVP_HISTORY_1_1", "AVP_WAITED", "AVP_POP_HEADERS"),
    *("AVP_RECORDING", "AVP_DAEMON", "AVP_DAEMON_ANSWER", "TIMEOUT(absolute)", "AVP_GATE_NUMBER"),
    *("AVP_AGI", "AVP_DAEMON_LEAVING", "AVP_DAEMON_SUCCESSOR", "AVP_ENDED_LOGINS_0"),
    *("AVP_MUSIC", "AVP_SOMETHING_NEW", "SOMETHING_ELSE", "CHANNEL(after_bridge_goto)"),
)


@pytest.mark.parametrize("evil", [text for text in EVIL if text != "a:b"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_no_variable_takes_syntax(variable: str, evil: str) -> None:
    assert not clean.is_clean(variable, evil)
    kept, unclean = clean.variables({"AVP_STATE": "live", variable: evil})
    assert unclean == (variable,)
    assert kept == ({} if variable == "AVP_STATE" else {"AVP_STATE": "live"})
    for action in (
        {"Variable": variable, "Value": evil},
        {"Variable": f"ARRAY(A,{variable})", "Value": f"1,{evil}"},
    ):
        with pytest.raises(UncleanValue) as caught:
            clean.check_action("Setvar", {"Channel": "PJSIP/1-00000001", **action})
        assert evil not in str(caught.value)
    for query, body in (
        ({"variable": variable, "value": evil}, None),
        ({}, {"variables": {variable: evil}}),
    ):
        with pytest.raises(UncleanValue) as caught:
            clean.check_request(query, body)
        assert evil not in str(caught.value)


def headers() -> Iterator[tuple[str, str]]:
    for action, names in {
        "Redirect": ("Context", "Exten", "Priority", "ExtraContext", "ExtraExten", "ExtraPriority"),
        "QueueAdd": ("Queue", "Interface", "StateInterface", "MemberName", "Penalty", "Wrapuptime"),
        "QueuePause": ("Queue", "Interface", "Reason", "Paused"),
        "QueueLog": ("Queue", "Interface", "Event"),
        "MixMonitorMute": ("Direction", "State"),
        "Anything": ("Unknown",),
    }.items():
        for name in names:
            yield action, name


@pytest.mark.parametrize("evil", [text for text in EVIL if text != "a:b"])
@pytest.mark.parametrize(("action", "header"), tuple(headers()))
def test_no_header_takes_syntax(action: str, header: str, evil: str) -> None:
    with pytest.raises(UncleanValue) as caught:
        clean.check_action(action, {header: evil})
    assert evil not in str(caught.value)
    assert header in str(caught.value)


@pytest.mark.parametrize("evil", [text for text in EVIL if text not in ("a:b", "1,2")])
@pytest.mark.parametrize(
    "key",
    [
        "endpoint",
        "app",
        "appArgs",
        "context",
        "extension",
        "priority",
        "channelId",
        "otherChannelId",
        *("callerId", "timeout", "formats", "media", "dtmf", "mohClass", "name", "unknown"),
    ],
)
def test_no_parameter_takes_syntax(key: str, evil: str) -> None:
    if (key, evil) == ("callerId", "<1>"):
        return
    with pytest.raises(UncleanValue) as caught:
        clean.check_request({key: evil}, None)
    assert evil not in str(caught.value)
