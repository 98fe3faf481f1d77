"""The pages that people read, for the tests that compare them with the code and run their commands.

A page is README.md or one of docs/. What a page tells its reader to run is in blocks marked
``sh``, or in backquotes within a sentence; `COMMANDS` says which test runs it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CONVENTIONAL: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Files that hosting platforms and developers look for by their names."""
PACKAGES: Final = (
    "/opt/asterisk-avp/bin/pip install --require-hashes --only-binary :all:"
    " -r docker/requirements.lock -r docker/build.lock"
)
PROGRAM: Final = "/opt/asterisk-avp/bin/pip install --no-index --no-deps --no-build-isolation"
COMPOSE: Final = (
    "docker compose --env-file /etc/asterisk-avp/compose.env --file docker/compose.yaml"
)
HERE: Final = "tests/asterisk/test_readme.py"
CLI: Final = "tests/adapters/test_cli_numbers.py"
INSTALL: Final = "tests/asterisk/test_install.py"
FREEPBX: Final = "tests/install/test_render_freepbx.py"
KEY: Final = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
CERTIFICATES: Final = "tests/install/test_node_certificates.py"
NODES: Final = "tests/install/test_render_nodes.py"
REALTIME: Final = "tests/asterisk/bed/database.py"

COMMANDS: Final = {
    "docker/demo": "tests/asterisk/test_demo.py",
    "tests/run": ".ci/run",
    "tests/run docker": ".ci/run",
    "tests/run soak": "tests/asterisk/test_soak.py",
    "python3 -m venv /opt/asterisk-avp": INSTALL,
    PACKAGES: INSTALL,
    f"{PROGRAM} .": INSTALL,
    f"{PROGRAM} --upgrade .": INSTALL,
    "ln -s /opt/asterisk-avp/bin/asterisk-avp /usr/local/bin/": INSTALL,
    "asterisk-avp render all --output /etc/asterisk-avp --config-dir /etc/asterisk": INSTALL,
    "asterisk -rx 'dialplan reload'": INSTALL,
    (
        "asterisk-avp render all --remove --output /etc/asterisk-avp --config-dir /etc/asterisk"
    ): FREEPBX,
    "asterisk-avp render all --output /root/avp-trial --config-dir /etc/asterisk": FREEPBX,
    "asterisk-avp render all": FREEPBX,
    "tests/run systemd": "tests/systemd/test_units.py",
    "systemctl daemon-reload": "tests/systemd/test_units.py",
    "systemctl enable --now asterisk-avp asterisk-avp-standby": "tests/systemd/test_units.py",
    # What other tests tell the daemon is a signal.
    "systemctl restart asterisk-avp": "tests/asterisk/test_takeover.py",
    "systemctl stop asterisk-avp": "tests/asterisk/test_takeover.py",
    "asterisk-avp render queues": "tests/install/test_render.py",
    "asterisk-avp render endpoints-sql --config-dir /etc/asterisk": REALTIME,
    "asterisk-avp render queues-sql": REALTIME,
    "asterisk-avp render dialplan --output /etc/asterisk/asterisk_avp.conf": HERE,
    (
        "asterisk-avp render queues --from-queues /etc/asterisk/queues.conf"
        " --output /etc/asterisk/avp_queues.conf"
    ): HERE,
    (
        "asterisk-avp render extensions --from-queues /etc/asterisk/queues.conf"
        " --output /etc/asterisk/avp_extensions.conf"
    ): HERE,
    "asterisk-avp render systemd --output /etc/systemd/system/asterisk-avp.service": HERE,
    (
        "asterisk-avp render systemd --standby first"
        " --output /etc/systemd/system/asterisk-avp.service"
    ): "tests/adapters/test_notify.py",
    (
        "asterisk-avp render systemd --standby second"
        " --output /etc/systemd/system/asterisk-avp-standby.service"
    ): "tests/adapters/test_notify.py",
    "asterisk-avp run --standby": "tests/asterisk/test_standby.py",
    "asterisk-avp check": "tests/asterisk/test_check_live.py",
    "asterisk-avp check --config-dir /etc/asterisk": HERE,
    "asterisk-avp run": "tests/asterisk/bed/__init__.py",
    "asterisk-avp transfer 1001 --supervised --to-agent 1002": HERE,
    "asterisk-avp watch": HERE,
    "journalctl -u asterisk-avp | grep transfer=9f3c2d4e5a6b": HERE,
    "grep -n ringing_target_did_not_answer asterisk_avp/core/transfer/table.py": HERE,
    "asterisk-avp settings": HERE,
    "asterisk-avp settings --check": HERE,
    "asterisk-avp settings --reference": HERE,
    "asterisk-avp pin-hash": INSTALL,
    'asterisk-avp number "(202) 555-0100" --agent 1001': HERE,
    'asterisk-avp number "020 7946 0000" --country GB --json': HERE,
    'asterisk-avp number "0300 123 4567" --country GB --landline-types fixed_line,uan': CLI,
    ('asterisk-avp number "787 345 6789" --country US --domestic-territories PR,VI,GU,MP,AS'): CLI,
    "curl http://127.0.0.1:8766/readyz": HERE,
    (
        "curl -H \"Authorization: Bearer $AVP_TOKEN\" -H 'Content-Type: application/json'"
        ' -d \'{"mode": "supervised", "target": {"kind": "agent", "id": "1002"}}\''
        " http://127.0.0.1:8766/v1/agents/1001/transfers"
    ): HERE,
    "install -d /etc/asterisk-avp": HERE,
    "install -d --owner 10001 --mode 700 /etc/asterisk-avp/secrets": HERE,
    "cp -r /etc/asterisk /etc/asterisk-avp/asterisk": HERE,
    "chown -R 10002 /etc/asterisk-avp/asterisk": HERE,
    f"{COMPOSE} build": "tests/docker/test_compose.py",
    f"{COMPOSE} up --detach": "tests/docker/test_compose.py",
    (
        "docker build --file docker/Dockerfile --target daemon --tag asterisk-avp:daemon ."
    ): "tests/asterisk/bed/images.py",
    (
        "docker run --detach --name asterisk-avp --network host --restart unless-stopped"
        " --ulimit nofile=65536:65536 --read-only --cap-drop ALL"
        " --env-file /etc/asterisk-avp/environment asterisk-avp:daemon"
    ): "tests/docker/test_compose.py",
    "docker/base-image": "tests/asterisk/bed/images.py",
    "docker/up --nodes 2": "tests/asterisk/test_up_nodes.py",
    'python3 -c "import secrets; print(secrets.token_hex(24))"': NODES,
    "nats-server -t -c /etc/nats-server.conf": NODES,
    (
        "asterisk-avp render all --output /etc/asterisk-avp --config-dir /etc/asterisk --write"
    ): INSTALL,
    (
        f'openssl req -x509 {KEY} -days 3650 -subj "/CN=nodes"'
        ' -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca-key.pem -out ca.pem'
    ): CERTIFICATES,
    (
        f'openssl req {KEY} -subj "/CN=node a"'
        ' -addext "subjectAltName=IP:192.0.2.11" -addext "extendedKeyUsage=serverAuth,clientAuth"'
        " -keyout key-a.pem -out request-a.pem"
    ): CERTIFICATES,
    (
        "openssl x509 -req -in request-a.pem -CA ca.pem -CAkey ca-key.pem -days 825"
        " -copy_extensions copyall -out cert-a.pem"
    ): CERTIFICATES,
}
"""Each command of the pages, on one line, and the file of the test or the tool that runs it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and its text, without the indentation that lists give it."""

    language: str
    text: str


def page(name: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> dict[str, str]:
    """Name, from the root of the repository -> text of README.md and of each page in docs/."""
    names = ["README.md", *(str(x.relative_to(ROOT)) for x in sorted(ROOT.glob("docs/**/*.md")))]
    return {name: page(name) for name in names}


def everything() -> str:
    """All pages, one after the other."""
    return "\n".join(pages().values())


_FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, *languages: str) -> list[Block]:
    """The fenced blocks of a text, in their order; only of these languages if any are given."""
    found = [Block(language, textwrap.dedent(code)) for _, language, code in _FENCE.findall(text)]
    return [block for block in found if not languages or block.language in languages]


def prose(text: str) -> str:
    """A text without its fenced blocks."""
    return _FENCE.sub("", text)


def section(text: str, heading: str) -> str:
    """From a heading (``## Upgrade``) to the next one of the same or a higher level.

    Raises ValueError where there is no such heading.
    """
    level = heading.index(" ")
    begin = f"\n{text}".index(f"\n{heading}\n")
    following = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(text, begin + len(heading))
    return text[begin : following.start() if following else len(text)]


def anchors(text: str) -> set[str]:
    """As hosting platforms make them of headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = plain = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        again = 0
        while anchor in found:
            again += 1
            anchor = f"{plain}-{again}"
        found.add(anchor)
    return found


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of each link within the repository; the path is empty for the same page."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [
        (link.partition("#")[0], link.partition("#")[2])
        for link in found
        if not re.match(r"[a-z]+:", link)
    ]


_INLINE: Final = re.compile(
    r"`((?:asterisk-avp|asterisk -rx|curl|journalctl) [^`]+"
    r"|(?:docker/(?:base-image|demo|up|down)|tests/run)(?: [^`]+)?)`"
)


def commands(text: str) -> Iterator[str]:
    """What a text tells its reader to run, each on one line; ``\\`` at a line's end joins two."""
    for block in blocks(text, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip():
                yield " ".join(line.split())
    for command in _INLINE.findall(prose(text)):
        yield " ".join(command.split())
