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


def test_libraries_of_libraries_come_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As nft's: a small program whose own library needs the others."""
    needs = {
        "tool": "libtool1 (= 1), libc6",
        "libtool1": "libdeep2 | other, tool-data",
        "libdeep2": "",
    }
    programs = {
        "apt-get": 'shift; for name; do echo "$name" >"${name}_1.deb"; done',
        "dpkg-query": "case $* in *libc6) printf installed ;; *) exit 1 ;; esac",
        "dpkg-deb": 'name=$(cat "$2")\ncase $1 in --extract) mkdir -p "$3" && : >"$3/$name" ;; '
        "*) case $name in "
        + " ".join(f"{name}) echo '{of}' ;;" for name, of in needs.items())
        + " esac ;; esac",
    }
    for name, text in programs.items():
        program = cache / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    fetched = debian.unpacked("tool", "kept")
    assert {each.name for each in fetched.iterdir()} == set(needs)
