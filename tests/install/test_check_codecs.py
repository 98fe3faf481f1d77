"""A package with Debian's patch, and phones that use other codecs than G.711."""

from __future__ import annotations

import pytest

from asterisk_avp.install.asterisk_conf import Conf, parse
from asterisk_avp.install.checks.codecs import codecs, is_patched
from asterisk_avp.install.checks.model import Facts, Finding

DEBIAN = "22.10.1~dfsg+~cs6.16.60671435-1"
ON = {
    "asterisk.conf": "[options]\ntranscode_via_sln = yes\n",
    "codecs.conf": "[plc]\ngenericplc => true\n",
}
OFF = {
    "asterisk.conf": "[options]\ntranscode_via_sln = no\n",
    "codecs.conf": "[plc]\ngenericplc => false\n",
}
TRUNK = "[trunk]\ntype = endpoint\ncontext = from-trunk\ndisallow = all\nallow = alaw\n"


def conf(name: str, text: str) -> Conf:
    return parse(name, lambda wanted: [(wanted, text)] if wanted == name else [])


def found(allow: str, files: dict[str, str], version: str | None = DEBIAN) -> list[Finding]:
    text = f"[1001]\ntype = endpoint\ncontext = avp-agents\n{allow}\n{TRUNK}"
    texts = {"pjsip.conf": text, **files}
    queues = {"queues.conf": "[sales]\nmember => PJSIP/1001\n"}
    return list(
        codecs(Facts({name: conf(name, x) for name, x in {**texts, **queues}.items()}, version))
    )


@pytest.mark.parametrize(
    ("version", "patched"),
    [
        (DEBIAN, True),
        ("1:22.11.0~rc2~dfsg+~cs6.16.60671435-1", True),
        ("20.6.0~dfsg+~cs6.13.40431414-2build5", True),
        ("22.10.1", False),
        ("certified-20.7-cert3", False),
    ],
)
def test_which_packages_have_the_patch(version: str, patched: bool) -> None:
    assert is_patched(version) is patched


def test_an_asterisk_without_the_patch_needs_nothing() -> None:
    assert found("disallow = all\nallow = opus,g722", ON, "22.10.1") == []
    assert found("disallow = all\nallow = opus,g722", ON, None) == []


def test_g711_needs_nothing() -> None:
    (only,) = found("disallow = all\nallow = ulaw", ON)
    assert (only.severity, only.what) == ("ok", "codecs: alaw, ulaw")


@pytest.mark.parametrize(
    "allow", ["allow = !all,opus", "disallow=all\nallow = g722, ulaw", "allow=gsm"]
)
def test_other_codecs_need_two_settings(allow: str) -> None:
    both = found(allow, ON)
    assert [(x.severity, x.where, x.mend) for x in both] == [
        ("warning", "asterisk.conf", ("[options]", "transcode_via_sln = no")),
        ("warning", "codecs.conf", ("[plc]", "genericplc = false")),
    ]
    assert [x.where for x in found(allow, {})] == ["asterisk.conf"]  # Asterisk's defaults
    (only,) = found(allow, OFF)
    assert only.severity == "ok"


def test_what_is_taken_back_is_not_used() -> None:
    (only,) = found("allow = opus,alaw\ndisallow = opus", ON)
    assert only.severity == "ok"
    (only,) = found("allow = all,!all,alaw", ON)
    assert only.severity == "ok"
