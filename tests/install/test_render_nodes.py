"""`asterisk-avp render all` on a node of several: trunks, the NATS server, personal queues."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from asterisk_avp.config.node_secrets import nats_password, trunk_password
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.install.asterisk_conf import read
from asterisk_avp.install.nats_conf import publishes, subscribes
from asterisk_avp.install.trunks import trunks_conf
from tests.documentation import blocks, page
from tests.install.test_render_all import Place, place  # noqa: F401 - a fixture
from tests.nats_program import program

TOKENS = {"a": "a" * 40, "b": "b" * 40, "c": "c" * 40}
NODES = {
    "AVP_CLUSTER__NODE": "a",
    "AVP_CLUSTER__SERVERS": "nats://192.0.2.11:4222,nats://192.0.2.12:4222,nats://192.0.2.13:4222",
    **{
        f"AVP_NODES__{node.upper()}__{name}": value
        for number, (node, token) in enumerate(TOKENS.items(), 11)
        for name, value in (
            ("URL", f"https://192.0.2.{number}:8443"),
            ("SIP", f"192.0.2.{number}:5070"),
            ("TOKEN", token),
        )
    },
}


@pytest.fixture
def node(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:  # noqa: F811 - the fixture
    for name, value in NODES.items():
        monkeypatch.setenv(name, value)
    return place


def section(text: str, name: str, kind: str) -> dict[str, str]:
    """The options of the section of pjsip.conf with this name and type."""
    for block in re.split(r"^(?=\[)", text, flags=re.MULTILINE):
        if block.startswith(f"[{name}]"):
            lines = [x.split("=", 1) for x in block.splitlines() if " = " in x]
            options = {key.strip(): value.strip() for key, value in lines}
            if options.get("type") == kind:
                return options
    raise AssertionError(f"no [{name}] of type {kind}")


def test_one_asterisk_gets_nothing_of_it(place: Place) -> None:  # noqa: F811
    code, output = place.render()

    assert code == 0, output
    assert not (place.out / "avp_nodes.conf").exists()
    assert not (place.out / "nats-server.conf").exists()
    assert "avp_nodes" not in place.text("INSTALL.txt")
    assert "AVP_CLUSTER__CREDENTIALS" not in place.variables()


def test_trunks_to_all_other_nodes(node: Place) -> None:
    code, output = node.render()
    assert code == 0, output
    text = node.text("avp_nodes.conf")

    assert section(text, "transport-avp-nodes", "transport")["bind"] == "192.0.2.11:5070"
    assert "avp-node-a]" not in text
    for other, address in (("b", "192.0.2.12"), ("c", "192.0.2.13")):
        name = f"avp-node-{other}"
        endpoint = section(text, name, "endpoint")
        assert endpoint["context"] == "avp-node-in"
        assert endpoint["transport"] == "transport-avp-nodes"
        assert (endpoint["auth"], endpoint["outbound_auth"]) == (f"{name}-in", f"{name}-out")
        assert endpoint["allow_transfer"] == "no"
        assert (endpoint["rtp_timeout"], endpoint["rtp_keepalive"]) == ("4", "1")
        assert section(text, name, "identify")["match"] == f"{address}/32"
        aor = section(text, name, "aor")
        assert aor["contact"] == f"sip:{address}:5070"
        assert aor["qualify_frequency"] == "1"
        shown = section(text, f"{name}-out", "auth")
        assert shown["username"] == "avp-node-a"
        assert shown["password"] == trunk_password(TOKENS["a"])
        asked = section(text, f"{name}-in", "auth")
        assert asked["username"] == name
        assert asked["password"] == trunk_password(TOKENS[other])


def test_secrets_are_in_files_that_only_their_owner_may_read_and_never_shown(node: Place) -> None:
    _, output = node.render()
    for name in ("avp_nodes.conf", "nats-server.conf"):
        assert stat.S_IMODE((node.out / name).stat().st_mode) == 0o600
    for name in ("avp_nodes.conf", "nats-server.conf"):
        text = node.text(name)
        (node.out / name).write_text(re.sub(r"[0-9a-f]{40}", "0" * 40, text))
    code, again = node.render("--write")

    assert code == 0, again
    secrets = re.findall(
        r"[0-9a-f]{40}", node.text("avp_nodes.conf") + node.text("nats-server.conf")
    )
    for said in (output, again):
        assert not any(secret in said for secret in (*secrets, *TOKENS.values()))


def test_rendering_again_changes_nothing_and_asks_for_no_line_twice(node: Place) -> None:
    node.render()
    shutil.copytree(node.out, node.etc, dirs_exist_ok=True)
    with (node.etc / "pjsip.conf").open("a") as file:
        file.write("#include avp_pjsip.conf\n#include avp_nodes.conf\n")
    before = {file.name: file.read_text() for file in node.out.glob("*.conf")}

    code, output = node.render()

    assert code == 0, output
    assert {file.name: file.read_text() for file in node.out.glob("*.conf")} == before
    assert "#include avp_nodes.conf" not in output


def test_install_txt_names_the_include_the_copy_and_the_nats_server(node: Place) -> None:
    node.render()
    text = node.text("INSTALL.txt")

    assert "#include avp_nodes.conf" in text
    (copied,) = [x for x in text.splitlines() if x.strip().startswith("install -m 640 -g asterisk")]
    assert "avp_nodes.conf" in copied
    assert "nats-server.conf /etc/nats-server.conf" in text
    # Debian's package has no folder for what is stored, and has begun with its own file.
    assert text.index("-o nats -g nats /var/lib/nats\n") < text.index("restart nats-server")


def test_beside_freepbx_the_include_goes_into_the_administrators_own_file(node: Place) -> None:
    (node.etc / "extensions.conf").write_text("#include extensions_override_freepbx.conf\n")
    (node.etc / "extensions_override_freepbx.conf").write_text("")
    (node.etc / "pjsip.conf").write_text("#include pjsip_custom_post.conf\n")
    (node.etc / "pjsip_custom_post.conf").write_text("")

    node.render()

    text = node.text("INSTALL.txt")
    place_of = text.index("pjsip_custom_post.conf, at the end")
    assert place_of < text.index("#include avp_nodes.conf")


def test_a_node_has_personal_queues_of_those_who_may_be_at_home_there(
    node: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVP_AGENTS__2001__NODE", "a")
    monkeypatch.setenv("AVP_AGENTS__2002__NODE", "b")
    monkeypatch.setenv("AVP_AGENTS__2003__NAME", "Anywhere")

    node.render()

    queues = node.text("avp_queues.conf")
    assert "[avp-agent-2001]" in queues
    assert "[avp-agent-2002]" not in queues
    assert "[avp-agent-2003]" in queues
    assert "exten => 2002,1" in node.text("avp_extensions.conf")
    assert "No endpoint is known" not in node.text("INSTALL.txt")


def test_the_settings_get_the_nodes_password_at_nats(node: Place) -> None:
    node.render()

    given = node.variables()["AVP_CLUSTER__CREDENTIALS"]
    assert given == f"a:{nats_password(TOKENS['a'])}"
    assert f'password: "{nats_password(TOKENS["b"])}"' in node.text("nats-server.conf")


def test_a_nodes_nats_user_speaks_as_no_other_node() -> None:
    own = publishes("a")

    assert "avp.v1.state.a" in own
    assert not any(subject.startswith(("avp.v1.state.b", "avp.v1.>", ">")) for subject in own)
    assert not any(subject in (">", "_INBOX.>", "$JS.API.>") for subject in subscribes("a") + own)
    assert "_INBOX.a.>" in subscribes("a")


@pytest.mark.parametrize("servers", ["nats://192.0.2.11", NODES["AVP_CLUSTER__SERVERS"]])
def test_nats_server_accepts_its_file(
    node: Place, monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv("AVP_CLUSTER__SERVERS", servers)
    node.render()

    done = subprocess.run(
        [program(), "-t", "-c", str(node.out / "nats-server.conf")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert ("cluster {" in node.text("nats-server.conf")) == ("," in servers)


def test_tls_gives_encrypted_audio_and_certificates(
    node: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate("ABC", 11):
        monkeypatch.setenv(f"AVP_NODES__{name}__SIP", f"192.0.2.{number}:5071;transport=tls")
    code, output = node.render()
    assert code == 1
    assert "AVP_CLUSTER__TLS_CERT" in output

    for name in ("CERT", "KEY", "CA"):
        monkeypatch.setenv(f"AVP_CLUSTER__TLS_{name}", f"/etc/avp/{name.lower()}.pem; x")
    code, output = node.render()
    assert code == 0, output
    text = node.text("avp_nodes.conf")
    transport = section(text, "transport-avp-nodes", "transport")
    assert transport["protocol"] == "tls"
    assert transport["verify_client"] == "yes"
    assert transport["cert_file"] == r"/etc/avp/cert.pem\; x"
    assert section(text, "avp-node-b", "endpoint")["media_encryption"] == "sdes"
    assert section(text, "avp-node-b", "aor")["contact"] == (
        r"sip:192.0.2.12:5071\;transport=tls"  # "sips" makes pjproject end calls
    )


def test_different_transports_are_refused(node: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVP_NODES__B__SIP", "192.0.2.12:5070;transport=tcp")

    code, output = node.render()

    assert code == 1
    assert "AVP_NODES__B__SIP" in output


def test_a_node_without_an_address_is_left_out_and_named(
    node: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AVP_NODES__C__SIP")

    node.render()

    assert "avp-node-c" not in node.text("avp_nodes.conf")
    assert "AVP_NODES__C__SIP" in node.text("INSTALL.txt")


def test_two_nats_servers_and_a_node_with_none_are_remarked(
    node: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVP_CLUSTER__SERVERS", "nats://10.0.0.1,nats://10.0.0.2")

    node.render()

    text = node.text("INSTALL.txt")
    assert "names 2 NATS servers" in text
    assert "this node runs no NATS server" in text


@pytest.mark.parametrize(
    "value",
    [
        "pbx.example:5060",
        "192.0.2.1:0",
        "192.0.2.1:70000",
        "192.0.2.1:5060;transport=ws",
        "192.0.2.1:5060\n[evil]",
        "192.0.2.256",
        "192.0.2.1:5060;transport=udp;x=y",
        "[::1",
    ],
)
def test_hostile_addresses_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="AVP_NODES__A__SIP"):
        Settings.load({**NODES, "AVP_NODES__A__SIP": value}, tmp_path, connect=False)


@pytest.mark.parametrize("name", ["AVP_CLUSTER__TLS_CERT", "AVP_CLUSTER__TLS_KEY"])
def test_control_characters_reach_no_file(
    node: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for number, letter in enumerate("ABC", 11):
        monkeypatch.setenv(f"AVP_NODES__{letter}__SIP", f"192.0.2.{number};transport=tls")
    for each in ("CERT", "KEY", "CA"):
        monkeypatch.setenv(f"AVP_CLUSTER__TLS_{each}", "/etc/x.pem")
    monkeypatch.setenv(name, "/etc/x.pem\n[evil]\ntype = endpoint")

    code, output = node.render()

    assert code == 1
    assert name in output


def test_asterisks_reader_understands_the_trunks(node: Place) -> None:
    node.render()
    conf = read(node.out, "avp_nodes.conf")

    assert not conf.faults
    kinds = [s.last("type") for s in conf.sections if s.name == "avp-node-b"]
    assert kinds == ["endpoint", "aor", "identify"]


def test_the_page_has_a_token_that_is_long_enough(tmp_path: Path) -> None:
    command = 'python3 -c "import secrets; print(secrets.token_hex(24))"'
    assert command in page("docs/cluster.md")
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)

    token = {"AVP_NODES__A__TOKEN": done.stdout.strip()}
    assert Settings.load({**NODES, **token}, tmp_path, connect=False).cluster.node == "a"


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    shown, tls = blocks(page("docs/cluster.md"), "toml")
    for number in range(2):
        shown = replace(shown, text=shown.text.replace("…", f"{number}" * 40, 1))
    (tmp_path / "call-centre.toml").write_text(shown.text)
    (tmp_path / "call-centre.toml").chmod(0o600)
    env = {"AVP_CONFIG": str(tmp_path / "call-centre.toml"), "AVP_CLUSTER__NODE": "b"}

    assert trunks_conf(Settings.load(env, tmp_path, connect=False), "x").count("avp-node-a]") == 3
    encrypted = "\n".join(line for line in tls.text.splitlines() if "=" in line)
    (tmp_path / "call-centre.toml").write_text(
        shown.text.replace('servers = "nats://192.0.2.11:4222"', encrypted).replace(
            ':5070"', ':5070;transport=tls"'
        )
    )
    settings = Settings.load(env, tmp_path, connect=False)
    assert trunks_conf(settings, "x").count("priv_key_file = /etc/asterisk-avp/tls/key.pem") == 1
    assert settings.cluster.servers == ("tls://192.0.2.11:4222",)


def test_check_has_nothing_against_what_is_rendered(
    node: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVP_AGENTS__1001__NODE", "b")
    node.render()
    shutil.copytree(node.out, node.etc, dirs_exist_ok=True)
    with (node.etc / "pjsip.conf").open("a") as file:
        file.write("#include avp_pjsip.conf\n#include avp_nodes.conf\n")
    for name, value in node.variables().items():
        monkeypatch.setenv(name, value or "")

    answer = node.avp("check", "--offline", "--json", "--config-dir", str(node.etc))

    found = [x for x in json.loads(answer.out)["findings"] if x["severity"] != "ok"]
    assert [x for x in found if "avp-node" in str(x) or "avp_nodes" in str(x)] == []
    assert not [x for x in found if x["id"] == "personal_queue" and "1001" in x["what"]]
