"""INSTALL.txt: what the administrator does with the files, and the lines that are still to add."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from asterisk_avp.install.additions import DATABASE, Addition
from asterisk_avp.install.checks.nodes_model import NODES
from asterisk_avp.install.files import ENVIRONMENT, NATS, OURS, SECRET_FILES, UNIT
from asterisk_avp.install.layout import Kind, Layout
from asterisk_avp.install.pbx_dialplan import NAME as PBX_DIALPLAN


def notes(
    folder: Path,
    config_dir: Path,
    todo: Iterable[Addition],
    remarks: Iterable[str],
    directory: str,
    *,
    trunk: str = "",
    pair: tuple[str, str] = ("1001", "1002"),
    layout: Layout | None = None,
    switches: Sequence[str] = (),
    routes: bool = False,
    node: str = "",
) -> str:
    """INSTALL.txt: what the administrator does with the files.

    ``todo``: the lines to add. ``directory``: where the unit looks for the settings. ``trunk``: the
    endpoint of the outside line, if known. ``pair``: two agents of one group, for the example.
    ``switches``: those to change in the PBX's pages. ``routes``: external targets go out by the
    PBX's own routes. ``node``: this node's id, if there are several.
    """
    one, other = pair
    where = layout or Layout()
    lines = ["How to install asterisk_avp from these files", ""]
    if not where.own:
        lines += [f"For {where.kind.product}.", ""]
    lines += [*(f"Note: {remark}" for remark in remarks)]
    lines += [""] if lines[-1] else []
    files = OURS - ({PBX_DIALPLAN} if where.own else set()) - (set() if node else {NODES})
    lines += _copied(folder, config_dir, files)
    todo = list(todo)
    if todo:
        lines += ["2. Add these lines to your own files:", ""]
        for addition in todo:
            if addition.file.startswith(DATABASE):
                lines += [f"  {addition.file}, as SQL:", ""]
                lines += [*(f"    {line}" for line in addition.lines), ""]
                continue
            at = f"in [{addition.section}]" if addition.section else "at the end"
            if (old := addition.replaces) is not None:
                at = f"replace line {old.place.line} ({old.name} = {old.value})"
            lines += [f"  {config_dir / addition.file}, {at}:", ""]
            lines += [f"    {line}" for line in addition.lines]
            lines.append("")
        lines += _THEIRS if not where.own else []
    else:
        lines += ["2. Your own files already include these. There is nothing to add.", ""]
    lines += _way_out(where, trunk, routes=routes)
    lines += [
        "  A phone that answers 302 must not forward a call: add option i to every Queue() and",
        "  Dial() of yours that rings agents, e.g. Queue(sales,i).",
        "",
    ]
    lines += _switched(where.kind.product, switches)
    lines += [
        "3. Make Asterisk read the files. Calls continue:",
        "",
        *(f"    {command}" for command in reloads(where.kind)),
        "",
        "   The first time, also restart Asterisk when no calls are left. It applies the order of",
        "   endpoint identifiers (pjsip.conf) only when it starts. Until then, a phone can take",
        "   over somebody else's call:",
        "",
        f"    asterisk -rx '{RESTART}'",
        "",
        "4. Install the settings and the service:",
        "",
        *_placed(folder, directory),
        f"    install -m 644 {folder}/{UNIT} /etc/systemd/system/{UNIT}",
        "    systemctl daemon-reload",
        "    systemctl enable --now asterisk-avp",
        "",
        *(_nats(folder, node) if node else ()),
        "5. Check the installation, with the same settings:",
        "",
        f"    set -a; . {directory}/{ENVIRONMENT}; set +a",
        f"    asterisk-avp check --config-dir {config_dir}",
        "",
        "6. Make the first transfer, in the same shell. List the agents:",
        "",
        "    asterisk-avp agents",
        "",
        f"   While {one} is talking to a caller:",
        "",
        f"    asterisk-avp transfer {one} --supervised --to-agent {other}",
        "",
        f"   The caller hears music, and {other}'s phone rings. When {other} has answered,",
        "   complete the transfer with the id that was printed:",
        "",
        "    asterisk-avp complete ID",
        "",
        f"The documentation of asterisk_avp explains these steps ({_page(where)}), what the lines",
        "for phones and trunks prevent and what you lose by them (docs/security.md), and what the",
        "findings of `asterisk-avp check` mean (docs/check.md).",
        "",
    ]
    return "\n".join(lines)


_THEIRS: Final = [
    "  These files are yours: neither Apply Config nor an upgrade changes them. If one has such",
    "  lines already, add only what is missing.",
    "",
]


def _page(layout: Layout) -> str:
    return "docs/install.md" if layout.own else "docs/freepbx.md"


def _copied(folder: Path, config_dir: Path, ours: frozenset[str]) -> list[str]:
    """Step 1: the files that Asterisk includes are where it looks, and it may read them."""
    if folder == config_dir:
        lines = ["1. Give Asterisk read access to the files with passwords:", ""]
        secret = [f"{config_dir}/{name}" for name in sorted(ours & SECRET_FILES)]
        return [*lines, *(f"    chgrp asterisk {x}; chmod 640 {x}" for x in secret), ""]
    return [
        "1. Copy the files that Asterisk includes. Asterisk must be able to read them:",
        "",
        f"    cd {folder}",
        f"    install -m 644 {' '.join(sorted(ours - SECRET_FILES))} {config_dir}/",
        f"    install -m 640 -g asterisk {' '.join(sorted(ours & SECRET_FILES))} {config_dir}/",
        "",
    ]


def _way_out(layout: Layout, trunk: str, *, routes: bool) -> list[str]:
    if routes:
        return [
            f"  External targets go out by the outbound routes of {layout.kind.product}.",
            f"  {PBX_DIALPLAN} says in which form their numbers are looked for.",
            "",
        ]
    file = layout.place("extensions.conf").file
    return [
        f"  For transfers to external numbers: your trunk, in {file} below the #include:",
        "",
        "    [avp-external](+)",
        *(
            f"    exten => {what},1,Dial(PJSIP/{number}@{trunk or 'trunk'},60,i)"
            for what, number in (("_+X!", "${AVP_NUMBER}"), ("112", "112"), ("911", "911"))
        ),
        "",
        *(() if trunk else ("  Replace `trunk` with the name of your trunk's endpoint.",)),
        "  Numbers have the form +442079460000. ${AVP_NUMBER:1} is the number without the +.",
        "",
    ]


def _nats(folder: Path, node: str) -> list[str]:
    return [
        f"   This is node {node}. If it runs a NATS server, install that before the service starts",
        "   (docs/cluster.md):",
        "",
        # Debian's package starts the server with another file, and gives it no such folder.
        "    install -d -m 700 -o nats -g nats /var/lib/nats",
        f"    install -m 640 -g nats {folder}/{NATS} /etc/{NATS}",
        "    systemctl enable nats-server",
        "    systemctl restart nats-server",
        "",
    ]


def _switched(title: str, switches: Sequence[str]) -> list[str]:
    if not switches:
        return []
    return [
        f"  In the web pages of {title}, change these switches (and permit changes of read-only",
        "  settings at the top of Advanced Settings):",
        "",
        *(f"    {switch}" for switch in switches),
        "",
        "  Without the two feature codes, no phone can transfer a call past the rules. Agents have",
        "  the code of asterisk_avp instead, other phones their Transfer button.",
        "",
    ]


def reloads(kind: Kind) -> list[str]:
    """The commands that make Asterisk read the files."""
    if kind is Kind.FREEPBX:
        return ["fwconsole reload"]
    return [f"asterisk -rx '{command}'" for command in RELOADS]


def _placed(folder: Path, directory: str) -> list[str]:
    """The commands that put the settings where the unit looks for them, if needed."""
    if str(folder) == directory:
        return []
    place = f"{directory}/{ENVIRONMENT}"
    return [f"    install -d {directory}", f"    install -m 600 {folder}/{ENVIRONMENT} {place}"]


RELOADS: Final = (
    "dialplan reload",
    "module reload features",
    "module reload app_queue.so",
    "module reload http",
    "module reload manager",
    "module reload res_ari.so",
    "module reload res_pjsip.so",
)
"""The commands that make Asterisk read the files."""
RESTART: Final = "core restart when convenient"
"""Applies `endpoint_identifier_order`. Asterisk orders the identifiers when it loads their modules
(res_pjsip.c, ast_sip_register_endpoint_identifier_with_name), and
res_pjsip_endpoint_identifier_ip cannot be reloaded."""
