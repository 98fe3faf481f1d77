"""Programs that tests fetch, where they cannot be had: a sentence, and never a test left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import debian


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(debian, "CACHE", tmp_path)
    return tmp_path


def test_without_apt_it_says_which_package(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(debian.NotProvided, match=r"no nginx, and no apt-get .* package nginx"):
        debian.unpacked("nginx", "nginx")


def test_what_apt_says_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("apt-get", "dpkg-deb"):
        program = cache / name
        program.write_text("#!/bin/sh\necho 'E: there is no network' >&2\nexit 100\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    with pytest.raises(debian.NotProvided, match="apt-get update failed: E: there is no network"):
        debian.unpacked("nginx", "fetched")
    assert not list(cache.glob("fetched*")), "nothing is left that looks like it"


def test_what_is_there_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    (cache / "tool").write_text("")
    assert debian.unpacked("package", "tool", "usr/bin/tool") == cache / "tool"
