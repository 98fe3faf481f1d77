"""`check` on a PBX whose web interface writes its files: green where it is sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from asterisk_avp.core.model.world import Group, World
from asterisk_avp.install.asterisk_conf import Conf, parse
from asterisk_avp.install.checks.dialplan import transfer_codes, transfer_options
from asterisk_avp.install.checks.features import feature_codes
from asterisk_avp.install.checks.foreign import foreign_values
from asterisk_avp.install.checks.forwarding import forwarding
from asterisk_avp.install.checks.hangup import hangup_extensions
from asterisk_avp.install.checks.model import Facts, Finding, Live, Severity
from asterisk_avp.install.checks.pjsip import agents_endpoints
from asterisk_avp.install.running.overlay import with_running_pbx
from asterisk_avp.install.running.state import PbxEndpoint, PbxMember, PbxQueue, RunningPbx

TOP = "#include extensions_additional.conf\n#include extensions_custom.conf\n"
WRITTEN = """
[globals]
DIAL_OPTIONS = HhTtri
TRUNK_OPTIONS = T
OUT_1 = PJSIP
OUT_1_SUFFIX = @trunk
[from-queue]
exten => _X.,1,Gosub(ring,${EXTEN},1(20,${DIAL_OPTIONS}))
[ring]
exten => _X.,1,Set(OPTS=${IF($["${A}" = ""]?${ARG2}U(x):${ARG2})})
 same => n,ExecIf($["${B}" = ""]?Set(OPTS=${STRREPLACE(OPTS,T)}))
 same => n,Dial(${DS},${ARG1},${OPTS})
[ext-queues]
exten => 600,1,Set(QOPTIONS=${IF($[${LEN(${VQ_OPTIONS})} > 0]?${VQ_OPTIONS}:t)})
 same => n,Queue(600,${QOPTIONS})
[trunk-out]
exten => _X.,1,Dial(${OUT_${ARG1}}/${NUMBER}${OUT_${ARG1}_SUFFIX},300,${TRUNK_OPTIONS})
[codes]
exten => *45,1,Set(DB(A/${CALLERID(num)})=1)
[my queue]
exten => 601,1,Queue(600,i)
exten => h,1,Set(A=1)
"""
PJSIP = """
[1001]
type = endpoint
context = ext-queues
[trunk]
type = endpoint
context = trunk-out
[in]
type = endpoint
context = codes
[ring]
type = endpoint
context = from-queue
"""
OFF = "[featuremap]\nblindxfer =\natxfer=\n"
MEMBER = PbxMember("Local/1001@from-queue/n", "hint:1001@ext-local")
LIVE = RunningPbx(
    queues={"600": PbxQueue("600", members=(MEMBER,))},
    hints={"1001@ext-local": "PJSIP/1001&Custom:DND1001"},
    endpoints={"1001": PbxEndpoint({"context": "ext-queues"})},
)


def read(texts: dict[str, str], name: str) -> Conf:
    return parse(name, lambda wanted: [(wanted, texts[wanted])] if wanted in texts else [])


def facts(
    written: str = WRITTEN,
    features: str = OFF,
    custom: str = "",
    pbx: RunningPbx = LIVE,
    **more: str,
) -> Facts:
    texts = {
        "extensions.conf": TOP,
        "extensions_additional.conf": written,
        "extensions_custom.conf": custom,
        "features.conf": features,
        "pjsip.conf": PJSIP,
        "queues.conf": "[general]\n",
        **{f"{name}.conf": text for name, text in more.items()},
    }
    files = {name: read(texts, name) for name in texts if "_" not in name}
    world = World(groups={"g": Group("g", "600", "G")})
    return Facts(with_running_pbx(files, pbx), world=world, live=Live(pbx=pbx))


def wrong(check: Callable[[Facts], Iterable[Finding]], given: Facts) -> list[Finding]:
    return [finding for finding in check(given) if finding.severity is not Severity.OK]


# --- transfers by keys ----------------------------------------------------------------------------


def test_options_without_codes_are_no_way_round() -> None:
    assert wrong(transfer_options, facts()) == []


@pytest.mark.parametrize(
    ("features", "codes"),
    [
        ("", {"blindxfer": "#"}),
        ("[featuremap]\nblindxfer = ##\natxfer = *2\n", {"blindxfer": "##", "atxfer": "*2"}),
        ("[featuremap]\nblindxfer =\n", {}),
        ("[featuremap]\natxfer = *2\nblindxfer = ##\nblindxfer=\n", {"atxfer": "*2"}),
        ("[general]\nblindxfer = 1\n", {"blindxfer": "#"}),
    ],
)
def test_the_codes_that_transfer(features: str, codes: dict[str, str]) -> None:
    assert transfer_codes(facts(features=features)) == codes


def test_a_code_for_one_channel() -> None:
    own = "[a]\nexten => 1,1,Set(FEATUREMAP(atxfer)=*9)\n"
    assert set(transfer_codes(facts(custom=own))) == {"atxfer"}
    empty = "[a]\nexten => 1,1,Set(FEATUREMAP(atxfer)=)\n same => n,NoOp(${FEATUREMAP(atxfer)})\n"
    assert transfer_codes(facts(custom=empty)) == {}


def test_a_code_that_asterisk_still_has() -> None:
    """Switched off in the file, which Asterisk has not read."""
    live = replace(LIVE, features={"blindxfer": "##", "atxfer": ""})
    found = wrong(transfer_options, facts(pbx=live))
    assert [finding.severity for finding in found] == [Severity.ERROR]
    assert "blindxfer (##)" in found[0].what


def test_the_pbxs_own_lines_are_one_finding_with_its_switch() -> None:
    found = wrong(transfer_options, facts(features="[featuremap]\natxfer = *2\n"))
    assert [finding.severity for finding in found] == [Severity.ERROR]
    assert "atxfer (*2)" in found[0].what
    assert "Feature Codes" in found[0].mend[0]
    assert "do not edit them" in found[0].why


def test_the_administrators_own_lines_are_named_one_by_one() -> None:
    own = "[mine]\nexten => 1,1,Queue(600,it)\n"
    found = wrong(transfer_options, facts(features="", custom=own))
    assert [finding.where for finding in found] == ["extensions_custom.conf:2", ""]


# --- forwarding by 302 ----------------------------------------------------------------------------


def test_dial_options_of_the_pbx_with_i() -> None:
    assert wrong(forwarding, facts()) == []


def test_dial_options_of_the_pbx_without_i() -> None:
    written = WRITTEN.replace("HhTtri", "HhTtr")
    (found,) = wrong(forwarding, facts(written))
    assert (found.severity, found.where) == (Severity.ERROR, "extensions_additional.conf:3")
    assert found.what == "DIAL_OPTIONS is HhTtr, without i"
    assert found.mend == ("; Settings > Advanced Settings > Asterisk Dial Options: HhTtri",)


def test_dial_options_of_one_user_without_i() -> None:
    rows = {"/AMPUSER/1001/dialopts": "r", "/AMPUSER/1002/dialopts": "ri"}
    (found,) = wrong(forwarding, facts(pbx=replace(LIVE, database=rows)))
    assert (found.severity, found.what[:31]) == (Severity.ERROR, "the dial options of user 1001 a")


def test_a_queue_with_a_phone_as_member_needs_the_option_itself() -> None:
    phone = PbxQueue("600", members=(MEMBER, PbxMember("PJSIP/1001")))
    own = "[codes]\nexten => 2,1,Queue(600)\n"
    found = wrong(forwarding, facts(custom=own, pbx=replace(LIVE, queues={"600": phone})))
    assert [finding.where for finding in found] == ["extensions_custom.conf:2"]
    assert wrong(forwarding, facts(custom=own)) == []


def test_a_trunk_by_its_number_is_no_agents_phone() -> None:
    """`OUT_1` and `OUT_1_SUFFIX` together name the endpoint."""
    agents = WRITTEN.replace("OUT_1_SUFFIX = @trunk", "OUT_1_SUFFIX = @1001")
    (found,) = wrong(forwarding, facts(agents))
    assert (found.severity, "1001" in found.what) == (Severity.ERROR, True)


# --- lines that nobody can change -----------------------------------------------------------------


def test_foreign_values_in_the_pbxs_lines_are_one_warning() -> None:
    (found,) = wrong(foreign_values, facts())
    assert (found.severity, found.where, found.mend) == (Severity.WARNING, "", ())
    assert "extensions_additional.conf:" in found.what
    assert "do not edit them" in found.why


def test_an_h_of_the_pbx_is_not_to_be_renamed() -> None:
    (found,) = wrong(hangup_extensions, facts())
    assert found.severity is Severity.WARNING
    assert not any(line.startswith("[call-ends]") for line in found.mend)


# --- keys -----------------------------------------------------------------------------------------

APPRECORD = OFF + "[applicationmap]\napprecord => *1,caller,Macro(one-touch-record)\n"


@pytest.mark.parametrize(
    ("features", "dynamic", "keys", "words"),
    [
        (APPRECORD, "apprecord", "*1", "also apprecord in a call"),
        (APPRECORD, "other", "*1", ""),
        (APPRECORD, "other#apprecord", "*1", "also apprecord in a call"),
        (APPRECORD + "[both]\napprecord =>\n", "both", "*1", "also apprecord in a call"),
        (APPRECORD, "apprecord", "*11", ""),
        (OFF, "apprecord", "*45", "also an extension that phones dial"),
        (OFF, "apprecord", "*4", ""),
        (OFF + "disconnect = *3\n", "", "*3", "also disconnect in a call"),
        (OFF, "", "*", "also disconnect in a call"),
        (OFF + "parkcall = *3\n", "", "*3", ""),
    ],
)
def test_keys_that_mean_two_things(features: str, dynamic: str, keys: str, words: str) -> None:
    written = WRITTEN.replace("[globals]", f"[globals]\nDYNAMIC_FEATURES = {dynamic}")
    written = written.replace("QOPTIONS})\n", "QOPTIONS}H)\n")
    given = replace(facts(written, features=features), feature_code="", keys={"COMPLETE": keys})
    found = [finding.what for finding in wrong(feature_codes, given)]
    assert found == ([f"AVP_KEYS__COMPLETE is {keys}, which is {words}"] if words else [])


def test_keys_that_never_reach_us() -> None:
    """Where members are Local/…, their phones have the PBX's codes during a transfer as well."""
    written = WRITTEN.replace("[globals]", "[globals]\nDYNAMIC_FEATURES = apprecord")
    given = facts(written, features=APPRECORD)
    given = replace(given, feature_code="", keys={"COMPLETE": "*1"})
    (found,) = wrong(feature_codes, given)
    assert (found.severity, "never reaches" in found.why) == (Severity.ERROR, True)
    plain = replace(given.files["queues.conf"], sections=())
    given = replace(given, files={**given.files, "queues.conf": plain})
    (found,) = wrong(feature_codes, given)
    assert (found.severity, "out of habit" in found.why) == (Severity.WARNING, True)


# --- phones ---------------------------------------------------------------------------------------


def test_the_phone_behind_a_hint_is_checked() -> None:
    (found,) = wrong(agents_endpoints, facts())
    assert (found.id, found.severity) == ("transfer_button", Severity.ERROR)
    assert "[1001]" in found.what


def test_a_phone_that_nothing_names() -> None:
    live = replace(LIVE, hints={}, endpoints={})
    (found,) = wrong(agents_endpoints, facts(pbx=live, pjsip="[global]\ntype = global\n"))
    assert (found.id, found.severity, found.where) == ("agents", Severity.WARNING, "the settings")
    assert found.mend == ("AVP_AGENTS__1001__PHONES=PJSIP/<the endpoint of the agent's phone>",)


def test_files_that_are_rewritten_get_the_line_elsewhere() -> None:
    top = "#include pjsip.endpoint.conf\n#include pjsip.endpoint_custom_post.conf\n"
    texts = {
        "pjsip.conf": top,
        "pjsip.endpoint.conf": "[1001]\ntype=endpoint\n",
        "pjsip.endpoint_custom_post.conf": "",
    }
    given = facts()
    given = replace(given, files={**given.files, "pjsip.conf": read(texts, "pjsip.conf")})
    (found,) = wrong(agents_endpoints, given)
    assert found.where == "pjsip.endpoint_custom_post.conf"
    assert found.mend[0] == "[1001](+type=endpoint)"
