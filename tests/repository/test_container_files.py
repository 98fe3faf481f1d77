"""docs/containers.md matches the compose file and the Dockerfile."""

from __future__ import annotations

import re
from pathlib import Path

from asterisk_avp.install.systemd_unit import render_unit
from asterisk_avp.runtime.descriptors import ENOUGH
from tests.documentation import page

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
PAGE = page("docs/containers.md")


def test_variables() -> None:
    """The page names each default file, and no other."""
    asked = set(re.findall(r"\$\{(AVP_\w+)", COMPOSE)) - {"AVP_ASTERISK_IMAGE", "AVP_DAEMON_IMAGE"}
    told = set(
        re.findall(r"\b(AVP_(?:ASTERISK|DAEMON|SECRETS|CONTROL|API_PORT|BASE|NOFILE)\w*)", PAGE)
    )
    assert told == asked


def test_users() -> None:
    for number, name in (("10001", "asterisk-avp"), ("10002", "asterisk")):
        assert re.search(rf"useradd [^&]*--uid {number} [^&]*\b{name}\b", DOCKERFILE)
        assert number in PAGE


def test_network_volumes_and_secrets() -> None:
    subnet = re.search(r"AVP_CONTROL_SUBNET:-([\d./]+)", COMPOSE)
    assert subnet
    assert f"`permit = {subnet[1]}`" in PAGE
    for name in (*re.findall(r"^  (asterisk-\w+): \{\}", COMPOSE, re.MULTILINE), "control"):
        assert f"`{name}`" in PAGE
    for name in re.findall(r"^  (\w+): \{ file:", COMPOSE, re.MULTILINE):
        assert f"secrets/{name}" in PAGE


def test_descriptors() -> None:
    """As many as in the unit; the command without Compose has them as well."""
    number = r'"\$\{AVP_NOFILE:-(\d+)\}"'
    ulimits = re.search(rf"nofile: \{{ soft: {number}, hard: {number} \}}", COMPOSE)
    assert ulimits
    assert int(ulimits[1]) == int(ulimits[2]) >= ENOUGH
    assert f"--ulimit nofile={ulimits[1]}:{ulimits[2]}" in PAGE
    unit = render_unit(Path("/x"), drain_seconds=1, user=None, command="x")
    assert f"\nLimitNOFILE={ulimits[1]}\n" in unit
