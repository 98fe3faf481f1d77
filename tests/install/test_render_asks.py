"""What `render all` takes from a running Asterisk, and that rendering again gives the same.

tests/asterisk has the same with real ones; here Asterisk's answers are in many forms.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dotenv import dotenv_values

from asterisk_avp.install import files as to
from asterisk_avp.install import layout
from asterisk_avp.install.asterisk_conf import read
from asterisk_avp.install.renderer import Renderer
from asterisk_avp.install.running.overlay import SOURCES
from asterisk_avp.install.running.state import PbxEndpoint, PbxMember, PbxQueue, RunningPbx

QUEUES = "[general]\nshared_lastcall = yes\n[sales]\nmember => PJSIP/1001\nwrapuptime = 5\n"
PJSIP = "[1001]\ntype = endpoint\n"
GUARD = "PJSIP_TRANSFER_HANDLING()"


def members(*interfaces: str, membership: str = "dynamic") -> tuple[PbxMember, ...]:
    return tuple(PbxMember(x, x, f"Name of {x}", membership) for x in interfaces)


def hinted(number: str) -> PbxMember:
    return PbxMember(f"Local/{number}@from-queue/n", f"hint:{number}@ext-local", number)


PBX = RunningPbx(
    version="22.10.1",
    queues={"sales": PbxQueue("sales", members=members("PJSIP/1001", "PJSIP/1005"))},
    endpoints={"1001": PbxEndpoint(), "1005": PbxEndpoint({"allow_transfer": "true"})},
)


class Place:
    def __init__(self, directory: Path) -> None:
        self.etc, self.out = directory / "etc", directory / "out"
        self.etc.mkdir()
        self.out.mkdir()
        for name, text in (("queues", QUEUES), ("pjsip", PJSIP), ("extensions", "[general]\n")):
            self.write(name, text)
        for name in ("features", "manager", "ari", "http"):
            self.write(name, "")

    def write(self, name: str, text: str) -> None:
        (self.etc / f"{name}.conf").write_text(text)

    def render(self, pbx: RunningPbx | None) -> dict[str, str]:
        files = {name: read(self.etc, name) for name in to.CONF_FILES}
        where = layout.found(self.etc, to.CONF_FILES)
        sources = {name: read(self.etc, name) for name in SOURCES}
        renderer = Renderer(files, self.out, self.etc, "render", "127.0.0.1", where, sources)
        texts = renderer.texts([], None, "", lambda own, wanted: pbx)
        # As the command keeps it: what is there stays.
        (self.out / to.ENVIRONMENT).write_text(texts[to.ENVIRONMENT])
        (self.out / to.ENVIRONMENT).chmod(0o600)
        return texts

    def variables(self) -> dict[str, str | None]:
        return dotenv_values(self.out / to.ENVIRONMENT, interpolate=False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def test_who_is_logged_in_becomes_an_agent_for_good(place: Place) -> None:
    texts = place.render(PBX)
    assert place.variables()["AVP_AGENTS__1005__NAME"] == "Name of PJSIP/1005"
    assert "AVP_AGENTS__1001__NAME" not in place.variables()  # queues.conf names them
    assert "[avp-agent-1005]" in texts["avp_queues.conf"]
    assert "1005. Delete those who are none" in texts[to.NOTES]
    # They have logged out, and somebody else is there who cannot be in a variable's name.
    later = replace(PBX, queues={"sales": PbxQueue("sales", members=members("PJSIP/ann-b"))})
    again = place.render(later)
    assert again["avp_queues.conf"] == texts["avp_queues.conf"]
    assert again["avp_pjsip.conf"] == texts["avp_pjsip.conf"]
    assert "need one --agent each: ann-b" in again[to.NOTES]
    # Nobody can be asked.
    assert place.render(None)["avp_queues.conf"] == texts["avp_queues.conf"]


def test_our_own_lines_that_asterisk_has_loaded_change_nothing(place: Place) -> None:
    texts = place.render(PBX)
    loaded = PbxEndpoint(
        {"rtp_timeout": "20", "rtp_timeout_hold": "1800", "timers": "always"},
        {GUARD: "ari-only", "DYNAMIC_FEATURES": "avp_transfer"},
    )
    assert "rtp_timeout = 20" in texts["avp_pjsip.conf"]
    again = place.render(replace(PBX, endpoints={"1001": loaded, "1005": loaded}))
    assert again["avp_pjsip.conf"] == texts["avp_pjsip.conf"]


def test_who_may_log_in_by_star_code(place: Place) -> None:
    database = {
        "/QPENALTY/sales/agents/1006": "0",
        "/QPENALTY/other/agents/1007": "0",
        "/QPENALTY/sales/dynmemberonly": "no",
        "/AMPUSER/1006/cidname": "Frank",
    }
    place.render(replace(PBX, database=database))
    assert place.variables()["AVP_AGENTS__1006__NAME"] == "Frank"
    assert "AVP_AGENTS__1007__NAME" not in place.variables()  # of a queue that is no group


@pytest.mark.parametrize(
    ("hints", "database", "guarded"),
    [
        # A hint names the phone; FreePBX's also names the state of DND.
        ({"1003@ext-local": "PJSIP/2003&Custom:DND1003"}, {}, {"2003"}),
        # The user is on a device, and may be on another one tomorrow.
        (
            {},
            {
                "/DEVICE/2003/dial": "PJSIP/2003",
                "/DEVICE/2003/user": "1003",
                "/DEVICE/2004/dial": "PJSIP/2004",
                "/DEVICE/2004/type": "adhoc",
                "/DEVICE/2005/dial": "PJSIP/2005",
                "/DEVICE/2005/type": "fixed",
            },
            {"2003", "2004"},
        ),
        ({"1003@elsewhere": "PJSIP/2003"}, {}, set()),
    ],
)
def test_the_phones_behind_hints_and_devices(
    place: Place, hints: dict[str, str], database: dict[str, str], guarded: set[str]
) -> None:
    there = ("2003", "2004", "2005")
    place.write("pjsip", PJSIP + "".join(f"[{x}]\ntype = endpoint\n" for x in there))
    queue = PbxQueue("sales", members=(hinted("1003"),))
    pbx = replace(
        PBX,
        queues={"sales": queue},
        hints=hints,
        database=database,
        endpoints={x: PbxEndpoint() for x in (*there, "1001")},
    )
    text = place.render(pbx)["avp_pjsip.conf"]
    assert {x for x in there if f"[{x}](+type" in text} == guarded


def test_endpoints_of_the_wizard(place: Place) -> None:
    wizard = "[1005]\ntype = wizard\nendpoint/set_var = DYNAMIC_FEATURES=apprecord\n"
    place.write("pjsip_wizard", wizard)
    live = PbxEndpoint({"allow_transfer": "true"}, {"DYNAMIC_FEATURES": "apprecord"})
    pbx = replace(PBX, endpoints={"1001": PbxEndpoint(), "1005": live})
    texts = place.render(pbx)
    assert "[1005]" not in texts["avp_pjsip.conf"]
    block = texts[to.NOTES].split(f"{place.etc}/pjsip_wizard.conf, at the end:\n\n")[1]
    assert block.startswith(
        "    [1005](+)\n"
        f"    endpoint/set_var = {GUARD}=ari-only\n"
        "    endpoint/set_var = DYNAMIC_FEATURES=apprecord#avp_transfer\n"
        "    endpoint/message_context = avp-nowhere\n"
    )
    # All of it is there.
    done = PbxEndpoint(
        {
            "message_context": "avp-nowhere",
            "rtp_timeout": "20",
            "rtp_timeout_hold": "1800",
            "timers": "always",
            "timers_min_se": "90",
            "timers_sess_expires": "120",
        },
        {GUARD: "ari-only", "DYNAMIC_FEATURES": "apprecord#avp_transfer"},
    )
    notes = place.render(replace(pbx, endpoints={"1001": PbxEndpoint(), "1005": done}))[to.NOTES]
    assert "pjsip_wizard.conf" not in notes


def test_endpoints_and_queues_of_a_database(place: Place) -> None:
    place.write("sorcery", "[res_pjsip]\nendpoint = realtime,ps_endpoints\n")
    place.write("extconfig", "[settings]\nps_endpoints => odbc,asterisk,phones\n")
    rows = PbxQueue("support", members=members("PJSIP/1005", membership="realtime"))
    texts = place.render(replace(PBX, queues={**(PBX.queues or {}), "support": rows}))
    assert place.variables()["AVP_GROUPS__SUPPORT__QUEUE"] == "support"
    assert "[avp-agent-1005]" in texts["avp_queues.conf"]
    notes = texts[to.NOTES]
    assert "  the database, table phones, as SQL:\n" in notes
    assert f"THEN '{GUARD}=ari-only'" in notes
    assert "WHERE id IN ('1005')" in notes
    assert "endpoint = config,pjsip.conf,criteria=type=endpoint" in notes  # for avp-no-replaces
    assert "does not tell the wrap-up time of the queue support" in notes


@pytest.mark.parametrize(
    ("version", "guard"),
    [("22.10.1", "ari-only"), ("22.2.0", "allow_transfer = no"), ("", "ari-only")],
)
def test_the_running_version_decides_about_the_button(
    place: Place, version: str, guard: str
) -> None:
    text = place.render(replace(PBX, version=version))["avp_pjsip.conf"]
    assert (f"{guard}" in text.split("[1001]", 1)[1]) is True
