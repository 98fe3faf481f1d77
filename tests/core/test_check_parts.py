"""`check` looks for what is used; and findings for which no Asterisk is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asterisk_avp.asterisk_conf import Conf, parse
from asterisk_avp.checks.exposure import exposure
from asterisk_avp.checks.live import ami
from asterisk_avp.checks.model import Addresses, Facts, Live, Secret
from asterisk_avp.checks.parts import DIALPLAN_SOUNDS, EXTENSIONS, MODULES, sounds
from asterisk_avp.checks.passwords import fault, passwords
from asterisk_avp.core import prompts
from asterisk_avp.rights import READ, WRITE

DIALPLAN = Path(__file__).resolve().parents[2] / "dialplan" / "asterisk_avp.conf"
TEXT = DIALPLAN.read_text(encoding="utf-8")


def conf(name: str, text: str) -> Conf:
    return parse(name, lambda wanted: [(wanted, text)] if wanted == name else [])


def test_every_context_is_looked_for() -> None:
    contexts = {section.name for section in conf("x", TEXT).sections}
    looked_for = {name.partition(",")[0] for name in EXTENSIONS}
    # Those are empty, or have only what catches a number that no line takes.
    empty = {"avp-emergency", "avp-internal", "avp-external", "avp-colleagues", "avp-nowhere"}
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
        ("0.0.0.0", "permit = 127.0.0.1\nwrite = call", "call"),  # permits nothing less
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
    """Nor is one that is hardly longer than the name, from which it could be guessed."""
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
    **dict.fromkeys(("Answer", "Goto", "GotoIf", "Hangup", "NoOp", "Set"), ""),
    "Gosub": "app_stack",
    "Return": "app_stack",
    "LOCAL": "app_stack",
    "Stasis": "app_stasis",
    "Queue": "app_queue",
    "Dial": "app_dial",
    "Read": "app_read",
    "Playback": "app_playback",
    "UserEvent": "app_userevent",
    "AGI": "res_agi",
    **dict.fromkeys(("QUEUE_EXISTS", "QUEUE_MEMBER", "QUEUE_MEMBER_LIST"), "app_queue"),
    **dict.fromkeys(("REPLACE", "FIELDQTY", "SHIFT", "TOUPPER"), "func_strings"),
    **dict.fromkeys(("CALLERID", "REDIRECTING"), "func_callerid"),
    **dict.fromkeys(("CHANNEL", "MASTER_CHANNEL"), "func_channel"),
    "CUT": "func_cut",
    "DEVICE_STATE": "func_devstate",
    "DIALPLAN_EXISTS": "func_dialplan",
    "GLOBAL": "func_global",
    "JSON_DECODE": "func_json",
    **dict.fromkeys(("IF", "SET"), "func_logic"),
    "TIMEOUT": "func_timeout",
    "PJSIP_HEADER": "res_pjsip_header_funcs",
}
"""The module of each application and function; empty: Asterisk itself."""


def test_every_module_of_the_dialplan_is_looked_for() -> None:
    code = "\n".join(line.split(";")[0] for line in TEXT.splitlines())
    used = set(re.findall(r"(?:,|\?|\))([A-Z][A-Za-z]+)\(", code))
    used |= set(re.findall(r"\b([A-Z][A-Z_]+)\(", code))
    unknown = used - PROVIDED_BY.keys()
    assert unknown == set(), "what provides them, and does MODULES have it?"
    assert {PROVIDED_BY[name] for name in used} - {""} <= MODULES.keys()
