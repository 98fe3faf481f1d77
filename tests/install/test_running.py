"""What a running Asterisk answers, and how it lies over what the files say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from asterisk_avp.ami.wire import FrameReader
from asterisk_avp.core.model.errors import AmiError, AsteriskUnavailable
from asterisk_avp.install.asterisk_conf import Conf, members, parse
from asterisk_avp.install.checks.agents import endpoints
from asterisk_avp.install.running.access import ask_somebody, users_of
from asterisk_avp.install.running.answers import Answers, state_of, variables_of
from asterisk_avp.install.running.ask import AmiAccess, Wanted, endpoints_in, leads, wanted_of
from asterisk_avp.install.running.overlay import (
    SOURCES,
    is_in_pjsip_conf,
    is_written,
    with_running_pbx,
)
from asterisk_avp.install.running.state import (
    SAID_BY_ASTERISK,
    PbxEndpoint,
    PbxMember,
    PbxQueue,
    RunningPbx,
)

TRACE = Path(__file__).parents[1] / "adapters" / "traces" / "configuration.ami"
GUARD = "PJSIP_TRANSFER_HANDLING()"


def conf(name: str, text: str) -> Conf:
    return parse(name, lambda wanted: [(wanted, text)] if wanted == name else [])


def recorded() -> Answers:
    """The answers of a real Asterisk to the actions that `ask` sends."""
    messages = list(FrameReader().feed(TRACE.read_bytes()))
    answers = Answers("avp", queues=[], hints=[], database=[])
    for message in messages:
        if "AsteriskVersion" in message:
            answers.core = message
        elif message.get("Event", "").startswith("Queue"):
            answers.queues = [*(answers.queues or ()), message]
        elif message.get("Event") == "ExtensionStatus":
            answers.hints = [*(answers.hints or ()), message]
        elif message.get("Event", "").startswith("DBGetTree"):
            answers.database = [*(answers.database or ()), message]
        elif message.get("Event", "").endswith("Detail"):
            answers.details.append(message)
    return answers


def test_a_recorded_configuration_is_understood() -> None:
    found = state_of(recorded())
    assert found.version.startswith("22.10.1")
    assert found.queues is not None
    sales = found.queues["sales"]
    assert (
        PbxMember("Local/1003@from-queue/n", "hint:1001@ext-local", "Zoë", "static", 2)
        in sales.members
    )
    assert PbxMember("PJSIP/1004", "PJSIP/1004", "PJSIP/1004", "dynamic") in sales.members
    assert (sales.strategy, found.queues["avp-agent-1001"].maxlen) == ("linear", 1)
    assert found.hints == {"1001@ext-local": "PJSIP/1001&Custom:DND1001"}
    assert dict(found.family("AMPUSER")) == {("1001", "device"): "1001&2001"}
    assert dict(found.family("DEVICE")) == {
        ("1001", "dial"): "PJSIP/1001",
        ("1001", "user"): "1001",
    }
    assert dict(found.family("QPENALTY")) == {("600", "agents", "1004"): "0"}


def test_an_endpoint_is_told_with_its_variables_and_no_password() -> None:
    found = state_of(recorded())
    assert found.endpoints is not None
    phone = found.endpoints["1001"]
    assert phone.variables == {GUARD: "ari-only", "DYNAMIC_FEATURES": "avp_transfer"}
    assert phone.all_variables
    assert phone.options["allow_transfer"] == "true"
    assert phone.options["context"] == "avp-agents"
    assert "pw-1001" not in repr(found)


def test_who_is_asked_about_without_a_list_of_endpoints() -> None:
    """Members, hints and AstDB name phones; `Local/…` and `Custom:…` are none."""
    assert leads(recorded()) == {"1001", "1002", "1003", "1004"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("PJSIP/1001", ["1001"]),
        ("PJSIP/1001/sip:1001@192.0.2.1", ["1001"]),
        ("PJSIP/02079460000@trunk", ["trunk"]),
        ("PJSIP/a&Custom:DND&PJSIP/b-c", ["a", "b-c"]),
        ("hint:1001@ext-local", []),
        ("SIP/1001", []),
    ],
)
def test_endpoints_in_the_text_of_a_device(text: str, names: list[str]) -> None:
    assert list(endpoints_in([text])) == names


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", ()),
        ("A=1", ("A=1",)),
        ("A=1,2,B=3", ("A=1,2", "B=3")),
        ("A=x,y,1,PJSIP_TRANSFER_HANDLING()=ari-only", ("A=x,y,1", f"{GUARD}=ari-only")),
        ("__A=,_B=b=c", ("__A=", "_B=b=c")),
        ("CHANNEL(hangup_handler_push)=x,s,1,C=", ("CHANNEL(hangup_handler_push)=x,s,1", "C=")),
    ],
)
def test_variables_that_asterisk_joins_with_commas(text: str, pieces: tuple[str, ...]) -> None:
    assert variables_of(text) == pieces


# --- over the files -------------------------------------------------------------------------------

PJSIP = """
[phone](!)
type = endpoint
context = avp-agents
set_var = PJSIP_TRANSFER_HANDLING()=ari-only
[1001](phone)
deny = 192.0.2.0/24
[1001]
type = aor
max_contacts = 1
[1002](phone)
set_var = OWN=x
"""
WIZARD = """
[1003]
type = wizard
endpoint/context = avp-agents
"""
QUEUES = """
[sales]
wrapuptime = 5
member => PJSIP/1001,0,Alice
member => PJSIP/1009
"""
FEATURES = """
[featuremap]
blindxfer = ##
"""
LIVE = RunningPbx(
    endpoints={
        "1001": PbxEndpoint({"allow_transfer": "true", "context": "avp-agents"}, {GUARD: None}),
        "1002": PbxEndpoint({"allow_transfer": "false"}, {GUARD: "ari-only"}),
        "1003": PbxEndpoint({"allow_transfer": "true"}, {GUARD: "ari-only"}, all_variables=True),
        "1004": PbxEndpoint({"context": "office"}),
    },
    queues={
        "sales": PbxQueue(
            "sales",
            members=(
                PbxMember("PJSIP/1001", name="Alice"),
                PbxMember("Local/1004@q/n", "hint:1004@h", "Dave", "dynamic", 3),
            ),
        ),
        "600": PbxQueue("600", 7, 2, "rrmemory", (PbxMember("PJSIP/1002", membership="realtime"),)),
    },
    features={"blindxfer": "", "atxfer": "*2", "disconnect": "*", "pickupexten": "*8"},
)


def overlaid(**more: str) -> dict[str, Conf]:
    texts = {
        "pjsip.conf": PJSIP,
        "queues.conf": QUEUES,
        "features.conf": FEATURES,
        "pjsip_wizard.conf": WIZARD,
        **{f"{name}.conf": text for name, text in more.items()},
    }
    files = {name: conf(name, text) for name, text in texts.items()}
    for name in SOURCES:
        files.setdefault(name, Conf(name, found=False))
    return with_running_pbx(files, LIVE)


def test_asterisk_wins_over_the_file() -> None:
    known = endpoints(overlaid()["pjsip.conf"])
    assert known["1001"].all("set_var") == []  # the file was edited, and not reloaded
    assert known["1001"].last("deny") == "192.0.2.0/24"  # Asterisk does not tell it
    assert known["1002"].all("set_var") == [f"{GUARD}=ari-only", "OWN=x"]
    assert known["1002"].last("allow_transfer") == "false"


def test_the_same_value_keeps_its_line() -> None:
    section = endpoints(overlaid()["pjsip.conf"])["1001"]
    places = {line.name: str(line.place) for line in section.lines}
    assert places["context"] == "pjsip.conf:4"
    assert places["allow_transfer"] == SAID_BY_ASTERISK


def test_other_sections_with_an_endpoints_name_stay() -> None:
    sections = overlaid()["pjsip.conf"].sections
    assert [s.last("max_contacts") for s in sections if s.last("type") == "aor"] == ["1"]


def test_endpoints_of_no_file_are_there_with_their_source() -> None:
    known = endpoints(overlaid()["pjsip.conf"])
    assert str(known["1003"].place) == "pjsip_wizard.conf:2"
    assert str(known["1004"].place) == SAID_BY_ASTERISK
    assert [is_in_pjsip_conf(known[name]) for name in ("1001", "1003", "1004")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("extconfig", "table"),
    [
        ("[settings]\nps_endpoints => odbc,asterisk,my_phones\n", "table my_phones"),
        ("[settings]\nps_endpoints => sqlite3,asterisk\n", "table ps_endpoints"),
    ],
)
def test_the_table_of_a_realtime_endpoint(extconfig: str, table: str) -> None:
    sorcery = "[res_pjsip]\nendpoint = config,pjsip.conf\nendpoint=realtime,ps_endpoints\n"
    known = endpoints(overlaid(sorcery=sorcery, extconfig=extconfig)["pjsip.conf"])
    assert str(known["1004"].place) == table


def test_members_are_those_that_asterisk_has() -> None:
    queues = overlaid()["queues.conf"]
    found = members(queues)
    assert [member.interface for member in found["sales"]] == [
        "PJSIP/1009",
        "PJSIP/1001",
        "Local/1004@q/n",
    ]
    assert found["sales"][2].state_interface == "hint:1004@h"
    assert [member.interface for member in found["600"]] == ["PJSIP/1002"]
    sales, live = queues.first("sales"), queues.first("600")
    assert sales is not None
    assert live is not None
    assert (sales.last("wrapuptime"), is_written(sales), is_written(live)) == ("5", True, False)


def test_codes_are_those_in_force() -> None:
    features = overlaid()["features.conf"]
    section = features.first("featuremap")
    assert section is not None
    assert [(line.name, line.value) for line in section.lines] == [
        ("blindxfer", ""),
        ("atxfer", "*2"),
    ]
    assert features.first("general") is None  # the default, and nobody wrote it


def test_without_an_answer_the_files_stay() -> None:
    files = {"pjsip.conf": conf("pjsip.conf", PJSIP)}
    assert with_running_pbx(files, None) == files
    assert with_running_pbx(files, RunningPbx()) == files


def test_only_variables_that_the_file_sets_are_asked_for() -> None:
    wanted = wanted_of(conf("pjsip.conf", PJSIP), ["1007"], ["sales"])
    assert set(wanted.endpoints) == {"1001", "1002", "1007"}
    assert wanted.variables == {"1001": [GUARD], "1002": [GUARD]}


# --- as whom --------------------------------------------------------------------------------------

MANAGER = """
[general]
enabled = yes
[weak]
secret = a
write = call
[elsewhere]
secret = b
write = all
deny = 0.0.0.0/0
permit = 192.0.2.1/32
[own]
secret = c
write = call,reporting,agent
permit = 127.0.0.1/255.255.255.255
[admin]
secret = the-admins-secret
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.0
write = system,call,log,verbose,command,agent,user,config,reporting
[nothing]
write = all
"""
PLACE = ("127.0.0.1", 5038)


class Asterisk:
    """Lets in who has the right secret."""

    def __init__(self, secrets: Mapping[str, str], *, up: bool = True) -> None:
        self.secrets = secrets
        self.up = up
        self.tried: list[str] = []

    async def ask(self, access: AmiAccess, wanted: Wanted) -> RunningPbx:
        assert isinstance(wanted, Wanted)
        self.tried.append(access.username)
        if not self.up:
            raise AsteriskUnavailable("AMI at 127.0.0.1:5038: refused")
        if self.secrets.get(access.username) != access.secret:
            raise AmiError("Login", "Authentication failed")
        return RunningPbx(asked_as=access.username, untold=("Asterisk did not tell x.",))


def asked(asterisk: Asterisk, own: AmiAccess | None, manager: str = MANAGER, user: str = ""):
    file = conf("manager.conf", manager)
    return asyncio.run(ask_somebody(own, file, PLACE, Wanted(), user=user, ask=asterisk.ask))


def test_the_user_with_most_rights_who_may_connect_from_here() -> None:
    assert [user.name for user in users_of(conf("manager.conf", MANAGER))] == ["admin", "own"]


def test_the_settings_user_comes_first() -> None:
    asterisk = Asterisk({"avp": "right"})
    found = asked(asterisk, AmiAccess(*PLACE, "avp", "right"))
    assert found.pbx.asked_as == "avp"
    assert found.said == ("Asked Asterisk as [avp].", "Asterisk did not tell x.")


def test_else_a_user_of_manager_conf_which_is_said_without_the_secret() -> None:
    asterisk = Asterisk({"admin": "the-admins-secret"})
    found = asked(asterisk, AmiAccess(*PLACE, "avp", "wrong"))
    assert found.said[:2] == (
        "AMI at 127.0.0.1:5038 refuses [avp].",
        "Asked Asterisk as [admin] of manager.conf.",
    )
    assert "the-admins-secret" not in repr(found)


def test_only_the_user_who_was_named() -> None:
    asterisk = Asterisk({"own": "c", "avp": "right"})
    assert asked(asterisk, AmiAccess(*PLACE, "avp", "right"), user="own").pbx.asked_as == "own"
    assert asterisk.tried == ["own"]
    found = asked(asterisk, None, user="weak")
    assert found.pbx is None
    assert "no user [weak]" in found.said[0]


@pytest.mark.parametrize(
    ("manager", "sentence"),
    [
        ("[general]\nenabled = no\n", "AMI is switched off"),
        ("[general]\nenabled = yes\n", "no user who may see enough"),
        ("[general\n", "could not be read"),
    ],
)
def test_nobody_to_ask_as(manager: str, sentence: str) -> None:
    found = asked(Asterisk({}), None, manager)
    assert found.pbx is None
    assert sentence in found.said[0]
    assert found.said[-1].startswith("What Asterisk runs with is not known")


def test_an_asterisk_that_does_not_run_is_tried_once() -> None:
    asterisk = Asterisk({}, up=False)
    found = asked(asterisk, None)
    assert (found.pbx, asterisk.tried) == (None, ["admin"])
    assert "could not be asked" in found.said[0]


def test_a_secret_is_not_shown() -> None:
    assert "hidden" not in repr(AmiAccess(*PLACE, "a", "hidden"))
