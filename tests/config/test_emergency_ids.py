"""No id or code may be an emergency number, or interfere with dialling one."""

from __future__ import annotations

import pytest

from tests.asterisk.bed.world import World as DemoWorld
from tests.config.test_settings import load, problems


def settings_with(country: str, place: str, text: str) -> dict[str, str]:
    """A call centre in that country, in which ``text`` is an id, an extension, a code or a key."""
    found = {
        "AVP_ACCOUNTS__ACME__COUNTRY": country,
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
    }
    match place:
        case "agent":
            found[f"AVP_AGENTS__{text}__GROUPS"] = "sales"
        case "group":
            found[f"AVP_GROUPS__{text}__ACCOUNT"] = "acme"
        case "preset":
            found[f"AVP_PRESETS__{text}__GROUP"] = "sales"
            found[f"AVP_PRESETS__{text}__NUMBER"] = "+12025550101"
        case "extension":
            found["AVP_GROUPS__SALES__EXTENSION"] = text
        case "code":
            found["AVP_PRESETS__BILLING__GROUP"] = "sales"
            found["AVP_PRESETS__BILLING__NUMBER"] = "+12025550101"
            found["AVP_PRESETS__BILLING__CODE"] = text
        case _:
            found[f"AVP_KEYS__{place}"] = text
    return found


KEYS = ("TRANSFER", "COMPLETE", "CANCEL", "SWAP", "CONFERENCE", "ADD_PARTY")
PLACES = ("agent", "group", "preset", "extension", "code", *KEYS)
COMPLETE = {"AVP_ACCOUNTS__ACME__COMPLETE_DIALLING": "true"}


def names(country: str, place: str, text: str) -> list[str]:
    """The variables that the message must name."""
    found = settings_with(country, place, text)
    end = {"extension": "EXTENSION", "code": "CODE"}.get(place, f"__{text}__")
    end = f"KEYS__{place}" if place in KEYS else end
    return [name for name in found if end in name]


def refused(country: str, place: str, text: str, **more: str) -> str:
    """The message about it, and about nothing else."""
    (line,) = problems(settings_with(country, place, text) | more, connect=False)
    variables, _, says = line.partition(": ")
    assert variables.split(", ") == sorted(names(country, place, text)), line
    return says


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("country", "text", "says"),
    [
        ("GB", "999", "'999' is an emergency number in GB; choose another"),
        ("US", "911", "'911' is an emergency number everywhere; choose another"),
        ("IN", "112", "'112' is an emergency number everywhere; choose another"),
        ("AU", "000", "'000' is an emergency number in AU; choose another"),
        ("CN", "119", "'119' is an emergency number in CN; choose another"),
        ("JP", "110", "'110' is an emergency number in JP; choose another"),
    ],
)
def test_by_example(place: str, country: str, text: str, says: str) -> None:
    assert refused(country, place, text) == says
    assert refused(country, place, text, **COMPLETE) == says


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("country", "text", "number", "where"),
    [
        ("GB", "9991", "999", "in GB"),
        ("IN", "1001", "100", "in IN"),
        ("IN", "1121", "112", "everywhere"),
        ("US", "9112", "911", "everywhere"),
    ],
)
def test_what_begins_with_one_has_a_way_out(
    place: str, country: str, text: str, number: str, where: str
) -> None:
    assert refused(country, place, text) == (
        f"{text!r} begins with {number}, an emergency number {where}, which a phone may dial"
        " instead; choose another, or set AVP_ACCOUNTS__ACME__COMPLETE_DIALLING=true if phones"
        " send only complete numbers"
    )
    load(settings_with(country, place, text) | COMPLETE, connect=False)


@pytest.mark.parametrize(
    ("country", "text"),
    [
        *(("US", text) for text in ("1001", "1002", "9001", "999", "110", "000", "91", "800")),
        *(("GB", text) for text in ("1001", "1110", "99", "9998", "2999", "0112", "Alice", "a999")),
        ("DE", "1001"),
        ("FR", "1001"),
        ("JP", "1001"),
        ("CN", "1001"),
    ],
)
def test_ordinary_ids_are_allowed(country: str, text: str) -> None:
    if (country, text) == ("GB", "9998"):
        assert refused(country, "agent", text)  # begins with 999 as well
        return
    load(settings_with(country, "agent", text), connect=False)


@pytest.mark.parametrize("text", ["9-1-1", "9.1.1", "9_11", "91-1"])
def test_separators_are_not_dialled(text: str) -> None:
    """Asterisk ignores the hyphen in an extension (pbx.c, ext_cmp): 9-1-1 is 911."""
    assert refused("US", "agent", text) == "'911' is an emergency number everywhere; choose another"


@pytest.mark.parametrize("text", ["+999", "+112", "99-9", "+9991"])
def test_nor_is_a_plus(text: str) -> None:
    assert refused("GB", "extension", text)


@pytest.mark.parametrize("text", ["_9XX", "_X.", "_99!"])
def test_an_extension_is_no_pattern(text: str) -> None:
    assert "must be an extension of the dialplan, not a pattern" in refused("GB", "extension", text)


def test_words_that_nobody_dials() -> None:
    """Ids of groups and presets are for the API; ids with letters are not numbers."""
    for place in ("group", "preset"):
        load(settings_with("US", place, "911-dispatch"), connect=False)
    assert refused("US", "agent", "911x")  # a softphone can dial it, and stop half way


# --- whose country -----------------------------------------------------------------------------

TWO = {
    "AVP_ACCOUNTS__ACME__COUNTRY": "US",
    "AVP_ACCOUNTS__BETA__COUNTRY": "GB",
    "AVP_GROUPS__SALES__ACCOUNT": "acme",
    "AVP_GROUPS__HELP__ACCOUNT": "beta",
}


def lines(**more: str) -> list[str]:
    return [line.partition(";")[0] for line in problems(TWO | more, connect=False)]


def test_what_is_one_anywhere_is_none_for_anybody() -> None:
    """All phones dial in one dialplan: an agent 999 in the US would receive British emergency
    calls."""
    assert lines(AVP_AGENTS__999__GROUPS="sales") == [
        "AVP_AGENTS__999__GROUPS: '999' is an emergency number in GB"
    ]


def test_what_begins_with_one_is_a_matter_of_those_who_dial_it() -> None:
    load(TWO | {"AVP_AGENTS__9991__GROUPS": "sales"}, connect=False)
    assert lines(AVP_AGENTS__9991__GROUPS="help")
    assert lines(AVP_AGENTS__9991__GROUPS="sales,help")
    both = {"AVP_AGENTS__9991__GROUPS": "sales,help"} | COMPLETE
    assert lines(**both)  # beta's phones have no such setting
    load(TWO | both | {"AVP_ACCOUNTS__BETA__COMPLETE_DIALLING": "yes"}, connect=False)
    assert lines(AVP_AGENTS__9991__NAME="of no group yet")
    load(TWO | {"AVP_GROUPS__SALES__EXTENSION": "9991"}, connect=False)
    assert lines(AVP_GROUPS__SALES__EXTENSION="9991", AVP_GROUPS__SALES__SHARED_WITH="beta")
    assert lines(AVP_KEYS__COMPLETE="9991")


def test_an_agents_own_country_counts() -> None:
    abroad = {"AVP_AGENTS__9991__GROUPS": "sales", "AVP_AGENTS__9991__COUNTRY": "GB"}
    alone = {k: v for k, v in TWO.items() if "BETA" not in k and "HELP" not in k}
    assert len(problems(alone | abroad, connect=False)) == 1
    load(alone | abroad | COMPLETE, connect=False)
    assert problems(alone | {"AVP_AGENTS__000__COUNTRY": "AU"}, connect=False)


def test_without_any_country_there_are_112_and_911() -> None:
    sales = {"AVP_GROUPS__SALES__QUEUE": "sales"}
    load(sales | {"AVP_AGENTS__999__NAME": "x", "AVP_AGENTS__1001__NAME": "y"}, connect=False)
    for text in ("112", "911", "1120"):
        assert problems(sales | {f"AVP_AGENTS__{text}__NAME": "x"}, connect=False)


def test_the_demo_is_not_concerned() -> None:
    load(DemoWorld().daemon_settings(), connect=False)
