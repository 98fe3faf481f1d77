"""Settings files that no administrator would write: a message about the fault, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import ConfigError
from tests.config.test_settings import NEEDED

SECRET = "ami-hush"
DEEP = 100_000

BAD_TOML = {
    "deep list": b"x = " + b"[" * DEEP,
    "deep table": b"x = " + b"{a=" * DEEP,
    "not UTF-8": b"[groups.sales]\nqueue = '\xff\xfe'\n",
    "NUL": b"[groups.sales]\nqueue = 'a\0b'\n",
    "forged lines": b'[groups.sales]\nqueue = "a\\nAVP_X: is fine\\u001b[2J"\n',
    "wrong types": b"groups = 7\nagents = [1, 2]\nari = 2024-01-01\nami = inf\nlog = nan\n",
    "a number that is no port": b"[api]\nport = 99999999999999999999999999\n",
    "a huge integer": b"[api]\nport = " + b"9" * 5000 + b"\n",
    "long keys": b"[groups." + b"k" * 200_000 + b"]\nqueue = 'x'\n",
    "secrets": b"[ami]\nsecret = ['ami-hush', 'ami-hush']\n[agents.1001]\npin = {a = 'ami-hush'}\n",
    "twice": b"[ami]\nsecret = 'ami-hush'\nSECRET = 'ami-hush2'\n",
}


def outcome(directory: Path, environ: dict[str, str]) -> str:
    """The message with which the start is refused; empty if the settings are usable."""
    try:
        Settings.load(environ, directory, connect=True)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", BAD_TOML)
def test_a_bad_toml_file_stops_the_start_with_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "avp.toml").write_bytes(BAD_TOML[name])
    environ = {k: v for k, v in NEEDED.items() if k != "AVP_AMI__SECRET"}
    said = outcome(tmp_path, environ | {"AVP_CONFIG": "avp.toml"})
    assert said
    assert SECRET not in said
    for line in said.splitlines():
        assert line.isprintable(), line
    assert not any(line.strip().startswith("AVP_X: is fine") for line in said.splitlines())


BAD_DOTENV = {
    "not UTF-8": b"AVP_LOG__LEVEL=\xff\xfe\n",
    "NUL": b"AVP_LOG__LEVEL=a\0b\n",
    "no end of quotes": b"AVP_LOG__LEVEL='debug\nAVP_AMI__SECRET=ami-hush\n",
    "huge": b"AVP_LOG__LEVEL=" + b"x" * 1_000_000 + b"\n",
    "escapes": b'AVP_LOG__LEVEL="a\\nAVP_X: is fine"\n',
}


@pytest.mark.parametrize("name", BAD_DOTENV)
def test_a_bad_dotenv_file_stops_the_start_with_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(BAD_DOTENV[name])
    said = outcome(tmp_path, NEEDED)
    assert SECRET not in said
    assert len(said) < 5_000
    for line in said.splitlines():
        assert line.isprintable(), line
        assert not line.strip().startswith("AVP_X: is fine")


NAMES = st.sampled_from(
    ["AVP_GROUPS__X__QUEUE", "AVP_AGENTS__1__PIN", "AVP_ARI__URL", "AVP_API__PORT", "AVP_PRESETS__",
     "AVP_GROUPS__X__MAX_HOLD_SECONDS", "AVP_LOG", "AVP___", "AVP_WEBHOOK__URL",
     "AVP_KEYS__COMPLETE", "AVP_ENTERPRISE__EXTERNAL_TRANSFER", "AVP_API__TOKENS",
     "AVP_ACCOUNTS__A__COUNTRY"]
)  # fmt: skip


@given(st.dictionaries(NAMES, st.text(max_size=30), max_size=5))
def test_any_values_are_settings_or_a_message(values: dict[str, str]) -> None:
    pin = {"AVP_AGENTS__1__PIN": f"{SECRET}{values.get('AVP_AGENTS__1__PIN', '')}"}
    said = outcome(Path("/nonexistent"), NEEDED | values | pin)
    assert SECRET not in said
    assert all(line.isprintable() for line in said.splitlines())
