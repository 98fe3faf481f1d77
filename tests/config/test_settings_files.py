"""Secrets in files, and the messages if they cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from asterisk_avp.config.secret_files import SECRETS
from asterisk_avp.config.settings import Settings
from tests.config.test_settings import CONNECTIONS, NEEDED, load, problems

WITHOUT_SECRETS = {
    name: value for name, value in NEEDED.items() if not name.endswith(("PASSWORD", "SECRET"))
}


def write(place: Path, **contents: str | bytes) -> dict[str, str]:
    """Files with these contents, and the variables that name them: AMI__SECRET=…"""
    variables = {}
    for name, content in contents.items():
        file = place / name.lower()
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        variables[f"AVP_{name}_FILE"] = str(file)
    return variables


def secret(value: SecretStr | None) -> str:
    assert value is not None
    return value.get_secret_value()


def test_every_secret_can_be_in_a_file(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        ARI__PASSWORD="ari-hush\n",
        AMI__SECRET="ami hush \r\n",
        API__TOKENS="one-hush, two-hush\n",
        API__METRICS_TOKEN="metrics-hush",
        AGENTS__Bob__PIN="4711\n",
    )
    settings = load(WITHOUT_SECRETS | files)
    assert secret(settings.ari.password) == "ari-hush"
    assert secret(settings.ami.secret) == "ami hush "
    assert [secret(token) for token in settings.api.tokens] == ["one-hush", "two-hush"]
    assert secret(settings.api.metrics_token) == "metrics-hush"
    assert secret(settings.agents["Bob"].pin) == "4711"
    assert settings.origin(("agents", "Bob", "pin")) == "AVP_AGENTS__Bob__PIN_FILE"
    assert "hush" not in repr(settings)


def secrets_of(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """The places of all secrets, found by their type."""

    def is_secret(annotation: Any) -> bool:
        return annotation is SecretStr or any(map(is_secret, get_args(annotation)))

    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        *_, last = get_args(annotation) or (None,)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from ((name, *rest) for rest in secrets_of(annotation))
        elif isinstance(last, type) and issubclass(last, BaseModel):
            yield from ((name, "*", *rest) for rest in secrets_of(last))
        elif is_secret(annotation):
            yield (name,)


def test_no_secret_was_forgotten() -> None:
    assert set(secrets_of(Settings)) == SECRETS


def test_a_list_may_have_a_line_for_each(tmp_path: Path) -> None:
    for content in ("one\ntwo\n", "one,\ntwo", '["one",\n "two"]\n'):
        settings = load(NEEDED | write(tmp_path, API__TOKENS=content))
        assert [secret(token) for token in settings.api.tokens] == ["one", "two"]


def test_dotenv_and_toml_name_files_too_and_relative_ones_are_beside_them(tmp_path: Path) -> None:
    (tmp_path / "ami").write_text("from-dotenv\n")
    (tmp_path / "ari").write_text("from-toml\n")
    (tmp_path / ".env").write_text("AVP_AMI__SECRET_FILE=ami\nAVP_CONFIG=avp.toml\n")
    (tmp_path / "avp.toml").write_text("[ari]\npassword_file = 'ari'\n")
    settings = load(WITHOUT_SECRETS, tmp_path)
    assert secret(settings.ami.secret) == "from-dotenv"
    assert secret(settings.ari.password) == "from-toml"
    # The environment overrides .env here as well.
    settings = load(WITHOUT_SECRETS | write(tmp_path, AMI__SECRET="from-environment"), tmp_path)
    assert secret(settings.ami.secret) == "from-environment"


def test_both_ways_at_once_name_both(tmp_path: Path) -> None:
    files = write(tmp_path, AMI__SECRET="hush", AGENTS__1001__PIN="hush")
    (tmp_path / ".env").write_text("AVP_AGENTS__1001__PIN=hush")
    found = problems(NEEDED | files, tmp_path)
    assert found == [
        (
            "AVP_AGENTS__1001__PIN_FILE: also set as AVP_AGENTS__1001__PIN (in .env);"
            " set only one of the two"
        ),
        "AVP_AMI__SECRET_FILE: also set as AVP_AMI__SECRET; set only one of the two",
    ]


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert secret(load(NEEDED | {"AVP_AMI__SECRET_FILE": ""}).ami.secret) == "ami-hush"
    files = write(tmp_path, AMI__SECRET="x")
    assert secret(load(NEEDED | files | {"AVP_AMI__SECRET": ""}).ami.secret) == "x"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"two\nlines-hush\n", "has more than one line, or control characters"),
        (b"x\0hush", "has more than one line, or control characters"),
        (b"x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_a_file_without_a_secret_in_it(tmp_path: Path, content: bytes, says: str) -> None:
    files = write(tmp_path, AMI__SECRET=content)
    environ = {**CONNECTIONS, **files, "AVP_GROUPS__SALES__QUEUE": "sales"}
    del environ["AVP_AMI__SECRET"]
    # Reported once, not again as a missing one.
    assert problems(environ) == [f"AVP_AMI__SECRET_FILE: {tmp_path / 'ami__secret'} {says}"]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("/nonexistent/ami", "/nonexistent/ami cannot be read: No such file or directory"),
        ("/", "/ cannot be read: Is a directory"),
        ("nul\0", "/nonexistent/nul\0 cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read(named: str, says: str) -> None:
    environ = {**NEEDED, "AVP_AMI__SECRET": "", "AVP_AMI__SECRET_FILE": named}
    assert problems(environ) == [f"AVP_AMI__SECRET_FILE: {says}"]


def test_a_name_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "avp.toml").write_text("[api]\nmetrics_token_file = 3\n")
    (line,) = problems(NEEDED | {"AVP_CONFIG": "avp.toml"}, tmp_path)
    assert line.startswith("AVP_API__METRICS_TOKEN_FILE (api.metrics_token_file in avp.toml): must")


def test_what_is_no_secret_is_in_no_file() -> None:
    found = problems(NEEDED | {"AVP_AMI__HOST_FILE": "/etc/hostname", "AVP_AMI_FILE": "/x"})
    assert [line.partition(":")[0] for line in found] == ["AVP_AMI_FILE", "AVP_AMI__HOST_FILE"]
