"""`check` looks for everything that is used; and findings that need no Asterisk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.core.pbx.ami_rights import EVENTS, READ, WRITE
from asterisk_avp.core.transfer import prompts
from asterisk_avp.install.ami_filters import daemon_lines
from asterisk_avp.install.asterisk_conf import Conf, parse
from asterisk_avp.install.checks.ami_filter import event_filters
from asterisk_avp.install.checks.exposure import exposure
from asterisk_avp.install.checks.forwarding import forwarding
from asterisk_avp.install.checks.live import ami, daemon
from asterisk_avp.install.checks.model import (
    Addresses,
    Attempt,
    Facts,
    Live,
    Secret,
    SelfTest,
    SipTest,
)
from asterisk_avp.install.checks.parts import DIALPLAN_SOUNDS, EXTENSIONS, MODULES, sounds
from asterisk_avp.install.checks.passwords import fault, passwords
from asterisk_avp.install.checks.replaces import replaces
from asterisk_avp.install.checks.running import running
from asterisk_avp.install.checks.sip import (
    SipAccount,
    account,
    pickup_extension,
    transports,
    untried_transports,
)
from asterisk_avp.install.dialplan_text import EXPRESSION, NAME, parts, uses

DIALPLAN = Path(__file__).resolve().parents[2] / "dialplan" / "asterisk_avp.conf"
TEXT = DIALPLAN.read_text(encoding="utf-8")


def conf(name: str, text: str) -> Conf:
    return parse(name, lambda wanted: [(wanted, text)] if wanted == name else [])


def test_every_context_is_looked_for() -> None:
    contexts = {section.name for section in conf("x", TEXT).sections}
    looked_for = {name.partition(",")[0] for name in EXTENSIONS}
    # These are empty, or only catch numbers that match no other line.
    empty = {"avp-emergency", "avp-internal", "avp-external", "avp-colleagues", "avp-nowhere"}
    empty |= {"avp-before-queue"}
    assert contexts - looked_for == empty
    assert looked_for <= contexts


def test_every_sound_is_looked_for() -> None:
    code = "\n".join(line.split(";")[0] for line in TEXT.splitlines())
    names = set(re.findall(r"[a-z]+(?:[/-][a-z]+)+", " ".join(re.findall(_SOUNDS, code))))
    assert names == set(DIALPLAN_SOUNDS)
    said = {x for why in prompts._WHY.values() for x in why}
    said |= {*prompts.ASK, *prompts.NOT_NOW, *prompts.wrong("target_offline", "1002")}
    said |= {*prompts.wrong("what", "x"), *prompts.wrong("what", "x", again=False)}
    assert {x.removeprefix("sound:") for x in said if x.startswith("sound:")} == set(prompts.ALL)


_SOUNDS = r"(?:Playback|Read)\((.*)"


def test_a_language_without_the_sounds() -> None:
    pjsip = conf("pjsip.conf", "[1001]\ntype=endpoint\ncontext=avp-agents\nlanguage=fr\n")
    digits = {f"digits/{digit}": frozenset({"en"}) for digit in range(10)}
    there = {x: frozenset({"en", "fr"}) for x in (*DIALPLAN_SOUNDS, *prompts.ALL)} | digits
    assert [x.severity for x in sounds(Facts({"pjsip.conf": pjsip}, live=Live(sounds=there)))] == [
        "ok"
    ]
    there["vm-goodbye"] = frozenset({"en"})
    (found,) = sounds(Facts({"pjsip.conf": pjsip}, live=Live(sounds=there)))
    assert (found.severity, "fr" in found.what, "vm-goodbye" in found.what) == (
        "warning",
        True,
        True,
    )


def test_what_the_daemon_says_of_its_limits() -> None:
    said = {"ready": True, "warnings": ["Only 256 file descriptors (ulimit -n)"]}
    ok, few = daemon(Facts({}, live=Live(daemon=said)))
    assert (ok.severity, few.severity, few.id) == ("ok", "warning", "daemon_limits")
    assert few.mend == ("LimitNOFILE=65536",)
    for well in ({"ready": True}, {"ready": True, "warnings": []}):
        assert [x.severity for x in daemon(Facts({}, live=Live(daemon=well)))] == ["ok"]


ANSWERS = [
    # who, large, answer -> severity
    ("", False, 401, "ok"),
    ("", False, 404, "ok"),
    ("1001", False, 401, "ok"),
    ("1001", True, 401, "ok"),
    ("1001", True, 420, "ok"),
    ("1001", True, None, "ok"),  # a firewall
    ("", False, 481, "error"),
    ("", False, 200, "error"),
    ("", False, 488, "error"),
    ("", False, 100, "error"),
    ("", False, 603, "error"),
    ("1001", False, 481, "error"),
    ("1001", True, 481, "error"),
    ("", False, None, "warning"),
    ("1001", False, 500, "warning"),
    ("1001", True, 503, "warning"),
]


@pytest.mark.parametrize(("who", "large", "answer", "severity"), ANSWERS)
def test_answers_to_an_invite_with_replaces(
    who: str, large: bool, answer: int | None, severity: str
) -> None:
    attempt = Attempt("udp 192.0.2.1:5060", who, "*8", large, answer)
    (found,) = replaces(Facts({}, live=Live(sip=SipTest((attempt,)))))
    assert (found.severity, found.id) == (severity, "invite_replaces")
    if severity == "error" and large:
        assert "udp dport 5060 udp length > 4096 counter drop" in "\n".join(found.mend)
        assert "noload = res_pjsip_refer.so" in found.mend


@pytest.mark.parametrize(
    ("bind", "protocol", "severity", "words"),
    [
        ("127.0.0.1:5070", "udp", "warning", "udp dport 5070"),
        ("0.0.0.0:5070", "udp", "error", "udp dport 5070"),
        ("0.0.0.0:5070", "tcp", "error", "session border"),
        ("[::]:5070", "tls", "error", "session border"),
    ],
)
def test_a_large_header_matters_by_who_reaches_the_transport(
    bind: str, protocol: str, severity: str, words: str
) -> None:
    text = f"[t]\ntype = transport\nprotocol = {protocol}\nbind = {bind}\n"
    files = {"pjsip.conf": conf("pjsip.conf", text)}
    (address,) = transports(files["pjsip.conf"], "127.0.0.1")
    assert str(address) == f"{protocol} 127.0.0.1:5070"
    attempt = Attempt(str(address), "1001", "*8", large=True, answer=481)
    found = [
        x
        for x in replaces(Facts(files, live=Live(sip=SipTest((attempt,)))))
        if "more than 4 kB" in x.what
    ]
    assert [x.severity for x in found] == [severity]
    assert words in "\n".join(found[0].mend)


def test_what_could_not_be_tried_is_told() -> None:
    untried = ("udp 192.0.2.1:5060: nothing answers there",)
    (found,) = replaces(Facts({}, live=Live(sip=SipTest(untried=untried))))
    assert (found.severity, untried[0] in found.what) == ("warning", True)


def test_transports() -> None:
    text = """
[a](!)
type = transport
[udp](a)
bind = 0.0.0.0
[tcp](a)
protocol = tcp
bind = 192.0.2.1:5080
[tls](a)
protocol = tls
bind = ::
[six](a)
bind = [2001:db8::1]:5090
[ws](a)
protocol = wss
bind = 0.0.0.0
"""
    pjsip = conf("pjsip.conf", text)
    assert [str(x) for x in transports(pjsip, "pbx.example")] == [
        "udp pbx.example:5060",
        "tcp 192.0.2.1:5080",
        "tls pbx.example:5061",
        "udp [2001:db8::1]:5090",
    ]
    assert untried_transports(pjsip) == ["ws"]


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("username = a\npassword = s", SipAccount("p", "a", "s")),
        ("username = a\nauth_type = md5\nmd5_cred = 01ab", SipAccount("p", "a", "", "01ab")),
        (
            "username = a\nauth_type = digest\npassword_digest = MD5: 01ab",
            SipAccount("p", "a", "", "01ab"),
        ),
        ("username = a\nauth_type = digest\npassword_digest = SHA-256:01ab", None),
        ("password = s", None),
    ],
)
def test_accounts(auth: str, expected: SipAccount | None) -> None:
    text = f"[p]\ntype = endpoint\nauth = p-auth\n[p-auth]\ntype = auth\n{auth}\n"
    assert account(conf("pjsip.conf", text), ["none", "p"]) == expected
    assert account(conf("pjsip.conf", "[p]\ntype = endpoint\n"), ["p"]) == SipAccount("p")


def test_the_pickup_extension() -> None:
    assert pickup_extension(conf("features.conf", "[general]\n")) == "*8"
    assert pickup_extension(conf("features.conf", "[general]\npickupexten = *55\n")) == "*55"
    assert pickup_extension(conf("features.conf", "[general]\npickupexten =\n")) == ""


def test_what_runs_and_is_in_no_file() -> None:
    """AMI's output for two lines of the file that are written differently, and for two more."""
    written = conf(
        "extensions.conf",
        '[a]\nexten => 1,1,NoOp\n same => n(x),Set(X="a b")\ninclude => b\n',
    )
    event = {"Event": "ListDialplan", "Context": "a", "Extension": "1", "Registrar": "pbx_config"}
    runs = running(
        [
            event | {"Priority": "1", "Application": "NoOp", "AppData": ""},
            event | {"Priority": "2", "Application": "Set", "AppData": 'X="a b"'},
            event | {"Priority": "3", "Application": "Queue", "AppData": "sales"},
            event | {"Priority": "hint", "Application": "PJSIP/1"},
            {"Event": "ListDialplan", "Context": "a", "IncludeContext": "b"},
            {"Event": "ListDialplan", "Context": "ael", "Extension": "2"}
            | {"Priority": "1", "Application": "Dial", "AppData": "PJSIP/1001,30"},
        ]
    )
    files = {
        "extensions.conf": written,
        "pjsip.conf": conf("pjsip.conf", "[1001]\ntype=endpoint\ncontext=avp-agents\n"),
    }
    facts = Facts(files, live=Live(dialplan=runs))
    found = [(str(x.severity), x.where) for x in forwarding(facts)]
    assert found == [("error", "dialplan show a"), ("error", "dialplan show ael")]
    assert [x.severity for x in forwarding(Facts(files))] == ["ok"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", []),
        ("${A}", [("A", ())]),
        ("${A:1:-2}", [("A", ())]),
        ("$[${A} + 1]", [("A", (EXPRESSION,))]),
        ("${F(${A},b)}", [("F", ()), ("A", ("F",))]),
        ("${F(${G(${A})})}", [("F", ()), ("G", ("F",)), ("A", ("G", "F"))]),
        ("${X_${A}}", [("X_${A}", ()), ("A", (NAME,))]),
        ('$["${F(${A})}" = "]"]${B}', [("F", (EXPRESSION,)), ("A", ("F", EXPRESSION)), ("B", ())]),
        ("${A", [("A", ())]),
        ("$", []),
        ("a$b{c}", []),
    ],
)
def test_what_a_text_of_the_dialplan_reads(text: str, expected: list[Any]) -> None:
    assert [(use.part.name, use.within) for use in uses(text)] == expected


@given(st.text('${}[]()ab:,"', max_size=40))
def test_a_text_is_the_sum_of_its_parts(text: str) -> None:
    assert "".join(part.text for part in parts(text)) == text


MANAGER = "[general]\nenabled = yes\n{}\n[avp]\nsecret = x\n{}\n"


@pytest.mark.parametrize(
    ("general", "user", "expected"),
    [
        ("bindaddr = 127.0.0.1", "", "ok"),
        ("bindaddr = ::1", "", "ok"),
        ("bindaddr = [::1]:5038", "", "ok"),
        ("bindaddr = localhost", "", "ok"),
        ("bindaddr = 127.0.0.1:5039", "", "ok"),
        ("", "", "error"),  # Asterisk's default is every address
        ("bindaddr = 0.0.0.0", "", "error"),
        ("bindaddr = 192.0.2.1", "", "error"),
        ("bindaddr = 0.0.0.0", "permit = 10.0.0.1", "warning"),
        ("bindaddr = 0.0.0.0", "acl = inside", "warning"),
        ("bindaddr = 0.0.0.0\ntlsenable = yes", "permit = 10.0.0.1", "ok"),
    ],
)
def test_what_ami_listens_on(general: str, user: str, expected: str) -> None:
    facts = Facts({"manager.conf": conf("manager.conf", MANAGER.format(general, user))})
    assert [x.severity for x in exposure(facts)] == [expected]


@pytest.mark.parametrize(
    ("bind", "user", "expected"),
    [
        ("0.0.0.0", "permit = 10.0.0.1\nwrite = originate,call", "originate"),
        ("0.0.0.0", "permit = 10.0.0.0/8\nwrite = all", "all"),
        ("0.0.0.0", "acl = inside\nwrite = call,agent", "call, agent"),
        ("0.0.0.0", "deny = 0.0.0.0/0\npermit = 127.0.0.1, 10.0.0.1\nwrite = call", "call"),
        ("0.0.0.0", "permit = 127.0.0.1\nwrite = call", "call"),  # permits no less
        ("0.0.0.0", "deny = 0.0.0.0/0.0.0.0\npermit = 127.0.0.1/255.255.255.255\nwrite = all", ""),
        ("0.0.0.0", "permit = 10.0.0.1\nwrite =\nread = all", ""),
        ("127.0.0.1", "permit = 10.0.0.1\nwrite = all", ""),
    ],
)
def test_other_programs_that_may_act(bind: str, user: str, expected: str) -> None:
    general = f"bindaddr = {bind}\ntlsenable = yes"
    text = (
        MANAGER.format(general, "permit = 10.0.0.9\nwrite = call") + f"[crm]\nsecret = x\n{user}\n"
    )
    files = {"manager.conf": conf("manager.conf", text)}
    (found,) = exposure(Facts(files, addresses=Addresses(ami_user="avp")))
    assert (found.severity, found.id) == (
        ("warning", "ami_users") if expected else ("ok", "exposure")
    )
    if expected:
        assert f"[crm] may write ({expected})" in found.what


@pytest.mark.parametrize(
    ("lines", "lacking"),
    [
        (f"read = {','.join(READ)}\nwrite = {','.join(WRITE)}", []),
        ("read = all\nwrite = all", []),
        (f"read = {','.join(READ)}", list(WRITE)),
        (f"read = {','.join(list(READ)[1:])}\nwrite = {','.join(WRITE)}", list(READ)[:1]),
    ],
)
def test_what_the_daemons_user_lacks_by_its_file(lines: str, lacking: list[str]) -> None:
    files = {"manager.conf": conf("manager.conf", f"[general]\n[avp]\nsecret = x\n{lines}\n")}
    (found,) = ami(Facts(files, addresses=Addresses(ami_user="avp")))
    assert (found.severity, found.id) == ("warning" if lacking else "ok", "ami_rights")
    for name in lacking:
        assert name in found.what


LINES = "\n".join(daemon_lines())
WITHOUT_PAUSE = "\n".join(line for line in daemon_lines() if "QueueMemberPause" not in line)
LEGACY = "eventfilter = ^Event: ({})[[:cntrl:]]".format("|".join(EVENTS))


@pytest.mark.parametrize(
    ("lines", "version", "severity", "what"),
    [
        (LINES, "22.10.1", "ok", "and no others"),
        (LINES, None, "ok", "and no others"),
        (LEGACY, "22.10.1", "ok", "and no others"),
        (LEGACY, "20.10.0", "ok", "and no others"),
        ("", "22.10.1", "ok", "does not read"),
        ("", None, "ok", "does not read"),
        (
            LINES.replace("eventfilter(action(include),name(QueueMemberPause)) =\n", ""),
            None,
            "error",
            "QueueMemberPause",
        ),
        ("eventfilter = Event: Queue", "22.10.1", "error", "Hangup"),
        (f"{LINES}\neventfilter(name(Hangup)) = !", "22.10.1", "error", "Hangup"),
        (f"{LINES}\neventfilter = !Event: Hangup", "22.10.1", "error", "Hangup"),
        (f"{LINES}\neventfilter(action(exclude),method(contains)) = Hang", None, "error", "Hangup"),
        (
            f"{LINES}\neventfilter(action(exclude),name(Hangup),header(Cause),method(exact)) = 16",
            "22.10.1",
            "warning",
            "some events",
        ),
        (
            f"{LINES}\neventfilter(action(exclude),method(regex)) = [[:cntrl:]]{{4}}.",
            None,
            "warning",
            "some events",
        ),
        ("eventfilter(action(exclude),name(Newchannel)) =", "22.10.1", "ok", "and no others"),
        # Lines that Asterisk rejects.
        ("eventfilter(name(Hangup)) = x", "22.10.1", "ok", "does not read"),
        ("eventfilter(nme(Hangup)) =", "22.10.1", "ok", "does not read"),
        ("eventfilter =", "22.10.1", "ok", "does not read"),
    ],
)
def test_filters_of_the_daemons_user(
    lines: str, version: str | None, severity: str, what: str
) -> None:
    text = f"[general]\n[avp]\nsecret = x\nread = all\n{lines}\n"
    files = {"manager.conf": conf("manager.conf", text)}
    (found,) = event_filters(Facts(files, version, addresses=Addresses(ami_user="avp")))
    assert (found.severity, found.id) == (severity, "ami_filter")
    assert what in found.what
    assert bool(found.mend) is ("no others" not in found.what)


def test_a_version_that_ignores_filters_by_name_needs_none() -> None:
    text = f"[general]\n[avp]\nread = all\n{LINES}\n"
    files = {"manager.conf": conf("manager.conf", text)}
    for version in ("16.28.0", "20.10.0", "21.5.0", "22.0.0"):
        assert not list(event_filters(Facts(files, version, addresses=Addresses(ami_user="avp"))))


@pytest.mark.parametrize(
    ("lines", "heard", "severity", "what"),
    [
        (LINES, {"Hangup"}, "ok", "and no others"),
        (LINES, {"Hangup", "Newchannel"}, "ok", "does not read"),  # not loaded yet
        (LINES, set(), "error", "Hangup"),
        ("", {"Hangup", "Newchannel"}, "ok", "does not read"),
        ("", {"Hangup"}, "ok", "and no others"),
    ],
)
def test_filters_that_are_loaded(lines: str, heard: set[str], severity: str, what: str) -> None:
    text = f"[general]\n[avp]\nread = call, agent\n{lines}\n"
    files = {"manager.conf": conf("manager.conf", text)}
    live = Live(selftest=SelfTest(ran=True, heard=frozenset(heard)))
    (found,) = event_filters(Facts(files, live=live, addresses=Addresses(ami_user="avp")))
    assert (found.severity, found.id) == (severity, "ami_filter")
    assert what in found.what
    assert ("manager reload" in "".join(found.mend)) is (
        bool(lines) and "no others" not in found.what
    )


@pytest.mark.parametrize(
    ("addresses", "severities"),
    [
        (Addresses(), ["ok"]),
        (Addresses(api="0.0.0.0"), ["warning"]),
        (Addresses(agi="0.0.0.0"), ["error"]),
        (Addresses(agi="10.0.0.2", ami="10.0.0.1"), ["warning", "warning"]),
        (Addresses(ari="http://pbx.example/ari"), ["warning"]),
        (Addresses(ari="https://pbx.example/ari"), ["ok"]),
    ],
)
def test_what_we_listen_on_and_connect_to(addresses: Addresses, severities: list[str]) -> None:
    assert [x.severity for x in exposure(Facts({}, addresses=addresses))] == severities


@pytest.mark.parametrize(
    ("password", "names", "weak"),
    [
        ("", ("avp",), True),
        ("CHOOSE-ONE", ("avp",), True),
        ("A-LONG-RANDOM-TOKEN", (), True),
        ("1001", ("1001",), True),
        ("1001", ("1002",), False),
        ("pw-1001", ("1001",), True),
        ("1001secret", ("1001",), True),
        ("avpavp", ("avp",), True),
        ("aaaaaaaaaa", (), True),
        ("mysecret", (), True),
        ("correct horse battery staple", ("1001",), False),
        ("x1001yz-long-enough", ("1001",), False),
    ],
)
def test_passwords_that_anybody_would_try(
    password: str, names: tuple[str, ...], weak: bool
) -> None:
    assert bool(fault(password, names)) == weak


def test_a_password_is_never_shown() -> None:
    """Nor a password that is little longer than the name, from which it can be guessed."""
    pjsip = "\n".join(
        f"[{n}]\ntype = auth\nusername = {n}\npassword = {n}-zq\n" for n in range(1001, 1010)
    )
    manager = "[general]\n[avp]\nsecret = hunter2\n"
    files = {
        "pjsip.conf": conf("pjsip.conf", pjsip),
        "manager.conf": conf("manager.conf", manager),
    }
    secrets = (Secret("AVP_API__TOKENS", "short-one"), Secret("AVP_AGENTS__7__PIN", "7", ("7",)))
    found = list(passwords(Facts(files, secrets=secrets)))
    assert [x.severity for x in found] == ["error", "warning", "error", "warning"]
    for x in found:
        for secret in ("zq", "hunter2", "short-one"):
            assert secret not in str(x)
    assert "and 4 more" in found[-1].what
    assert "short-one" not in repr(secrets)


def test_passwords_that_are_no_plain_text() -> None:
    text = (
        "[a]\ntype = auth\nauth_type = digest\npassword_digest = MD5:x:y\n"
        "[b]\ntype = auth\nauth_type = md5\n"
    )
    (found,) = passwords(Facts({"pjsip.conf": conf("pjsip.conf", text)}))
    assert found.severity == "ok"


PROVIDED_BY = {
    **dict.fromkeys(("Answer", "Goto", "GotoIf", "Hangup", "NoOp", "Set", "Wait"), ""),
    "Gosub": "app_stack",
    "Return": "app_stack",
    "LOCAL": "app_stack",
    "Stasis": "app_stasis",
    "Queue": "app_queue",
    "QueueLog": "app_queue",
    "Dial": "app_dial",
    "Read": "app_read",
    "Playback": "app_playback",
    "UserEvent": "app_userevent",
    "Originate": "app_originate",
    "SendDTMF": "app_senddtmf",
    "WaitForCondition": "app_waitforcond",
    "FRAME_DROP": "func_frame_drop",
    # Only where a call is recorded.
    **dict.fromkeys(("MixMonitor", "StopMixMonitor"), ""),
    # Only where there are several nodes.
    **dict.fromkeys(("PJSIP_AOR", "PJSIP_CONTACT", "PJSIP_ENDPOINT"), ""),
    "ChannelRedirect": "app_channelredirect",
    "Bridge": "",
    "StopMusicOnHold": "res_musiconhold",
    "AGI": "res_agi",
    "ExecIf": "app_exec",
    **dict.fromkeys(("Playtones", "StopPlaytones"), "app_playtones"),
    "STACK_PEEK": "app_stack",
    **dict.fromkeys(("QUEUE_EXISTS", "QUEUE_MEMBER", "QUEUE_MEMBER_LIST"), "app_queue"),
    **dict.fromkeys(("REPLACE", "STRREPLACE", "FIELDQTY", "SHIFT", "TOUPPER"), "func_strings"),
    **dict.fromkeys(("CALLERID", "CONNECTEDLINE", "REDIRECTING"), "func_callerid"),
    **dict.fromkeys(("CHANNEL", "CHANNELS", "MASTER_CHANNEL"), "func_channel"),
    "CUT": "func_cut",
    "DEVICE_STATE": "func_devstate",
    "DIALPLAN_EXISTS": "func_dialplan",
    **dict.fromkeys(("GLOBAL", "SHARED"), "func_global"),
    "JSON_DECODE": "func_json",
    **dict.fromkeys(("IF", "IMPORT", "SET"), "func_logic"),
    "TIMEOUT": "func_timeout",
    "PJSIP_HEADER": "res_pjsip_header_funcs",
}
"""The module of each application and function; empty: Asterisk's core."""


def test_every_module_of_the_dialplan_is_looked_for() -> None:
    code = "\n".join(line.split(";")[0] for line in TEXT.splitlines())
    used = set(re.findall(r"(?:,|\?|\))([A-Z][A-Za-z]+)\(", code))
    used |= set(re.findall(r"\b([A-Z][A-Z_]+)\(", code))
    unknown = used - PROVIDED_BY.keys()
    assert unknown == set(), "what provides them, and does MODULES have it?"
    assert {PROVIDED_BY[name] for name in used} - {""} <= MODULES.keys()
