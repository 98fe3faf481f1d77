"""What an administrator sets about the panel, in a real daemon: language and single sign-on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from daemon_process import GOOD, Running, running

from asterisk_avp.api.languages import catalogues

PANEL = {"X-AVP-Panel": "1"}

# --- language --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def french(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("french"), GOOD + "AVP_PANEL__LANGUAGE=fr\n") as started:
        yield started


@pytest.mark.parametrize("accepted", ["de", "en-US,en;q=0.9", "fr;q=0, *", ""])
def test_page_and_messages_are_in_the_language_of_the_setting(
    french: Running, accepted: str
) -> None:
    words = catalogues()["fr"]
    asked = {"Accept-Language": accepted, "Sec-Fetch-Site": "none"}
    page = requests.get(french.url + "/", headers=asked, timeout=10)
    assert page.headers["Content-Language"] == "fr"
    assert '<html lang="fr" ' in page.text
    for word in ("page.title", "signin.extension", "signin.sign_in"):
        assert words[word] in unescape(page.text)
        assert catalogues()["de"][word] not in unescape(page.text)
    preloaded = re.search(r'"(/panel/\w+/languages/(\w+)\.json)"', page.text)
    assert preloaded
    assert preloaded[2] == "fr"
    assert requests.get(french.url + preloaded[1], timeout=10).json() == words
    for path, status, word in (
        ("/v1/agents", 401, "errors.unauthorized"),
        ("/nothing", 404, "errors.not_found"),
    ):
        answer = requests.get(french.url + path, headers=asked, timeout=10)
        assert (answer.status_code, answer.json()["message"]) == (status, words[word])
    headers = asked | {"Authorization": "Bearer first-token"}
    for body, word in (
        ({"agent": "1001", "number": "112"}, "refused.emergency"),
        ({"agent": "1001", "number": "+442079460000"}, "refused.country_mismatch"),
    ):
        url = french.url + "/v1/numbers/check"
        answer = requests.post(url, json=body, headers=headers, timeout=10)
        assert answer.json()["message"] == words[word]


def test_another_language_needs_a_restart_and_says_so(french: Running) -> None:
    french.reload(GOOD + "AVP_PANEL__LANGUAGE=de\n")
    assert french.wait_for("restart_needed")["settings"] == ["AVP_PANEL__LANGUAGE"]
    assert requests.get(french.url + "/", timeout=10).headers["Content-Language"] == "fr"


@pytest.mark.parametrize("language", ["fr-CA", "../fr"])
def test_an_unknown_language_is_refused_in_a_sentence(tmp_path: Path, language: str) -> None:
    (tmp_path / ".env").write_text(f"{GOOD}AVP_PANEL__LANGUAGE={language}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "asterisk_avp", "run"],
        cwd=tmp_path, env={}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    said = f"should be 'browser', 'de', 'en', 'es' or 'fr', not '{language}'"
    assert re.search(rf"AVP_PANEL__LANGUAGE \(in \.env\): .*{re.escape(said)}", ended.stderr)
    assert "Traceback" not in ended.stderr


# --- single sign-on ----------------------------------------------------------------------------

USER = "X-Forwarded-Preferred-Username"
KEY = "X-AVP-Proxy-Secret"
SECRET = "hush-0123456789abcdef"
OTHERS = """
AVP_ACCOUNTS__OTHER__COUNTRY=GB
AVP_GROUPS__CARE__ACCOUNT=other
AVP_AGENTS__2001__NAME=Zoe
AVP_AGENTS__2001__GROUPS=care
AVP_AGENTS__2001__USER=zoe@other.example
AVP_AGENTS__1001__USER=alice
"""
SIGN_ON = f"""
AVP_PANEL__USER_HEADER={USER}
AVP_PANEL__USER_HEADER_SECRET={SECRET}
AVP_PANEL__SIGN_OUT_URL=/oauth2/sign_out
AVP_API__TRUSTED_PROXIES=127.0.0.2
"""
PROXY = "127.0.0.2"


@pytest.fixture(scope="module")
def sso(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("sso"), GOOD + OTHERS + SIGN_ON) as started:
        yield started


def ask(
    daemon: Running, method: str, path: str, *headers: tuple[str, str], by: str = PROXY
) -> tuple[int, Any, str]:
    """Status, body and session of a request from an address, with headers that may be repeated."""
    given = urllib3.HTTPHeaderDict(PANEL)
    for name, value in headers:
        given.add(name, value)
    with urllib3.PoolManager(source_address=(by, 0)) as http:
        answer = http.request(method, daemon.url + path, headers=given, retries=False, timeout=10)
    cookie = re.search(r"(\S*avp_session=[^;]+)", answer.headers.get("Set-Cookie", ""))
    return answer.status, json.loads(answer.data or "{}"), cookie[1] if cookie else ""


def enter(daemon: Running, *headers: tuple[str, str], by: str = PROXY) -> tuple[int, Any, str]:
    return ask(daemon, "POST", "/v1/session/proxy", *headers, by=by)


ALICE, BY_PROXY = (USER, "alice"), (KEY, SECRET)


def test_the_proxys_user_is_the_agent_and_nobody_elses(sso: Running) -> None:
    status, answer, cookie = enter(sso, ALICE, BY_PROXY)
    assert (status, answer["agent"]) == (200, "1001")
    mine = (("Cookie", cookie), ALICE, BY_PROXY)
    assert ask(sso, "GET", "/v1/agents/1001", *mine)[0] == 200
    for fewer in ((mine[0],), mine[:2], (mine[0], mine[2])):
        assert ask(sso, "GET", "/v1/agents/1001", *fewer)[0] == 401
    assert ask(sso, "GET", "/v1/agents/1001", *mine, by="127.0.0.1")[0] == 401
    assert ask(sso, "GET", "/v1/agents/1001", *mine)[0] == 200, "and still signed in"


@pytest.mark.parametrize(
    "headers",
    [
        (ALICE,),
        (ALICE, (KEY, "")),
        (ALICE, (KEY, SECRET[:-1])),
        (ALICE, (KEY, SECRET + "0")),
        (ALICE, (KEY, SECRET.upper())),
        (ALICE, BY_PROXY, BY_PROXY),
        (ALICE, BY_PROXY, (KEY, "another")),
        (ALICE, (KEY, f"{SECRET}, {SECRET}")),
        (ALICE, ALICE, BY_PROXY),
        (ALICE, (USER.lower(), "bob"), BY_PROXY),
        (ALICE, (KEY.replace("-", "_"), SECRET)),
        ((USER.replace("-", "_"), "alice"), BY_PROXY),
        (BY_PROXY,),
    ],
    ids=[
        "missing", "empty", "shorter", "longer", "capitals", "doubled", "two", "joined",
        "two users", "two other users", "underscores", "user with underscores", "no user",
    ],
)  # fmt: skip
def test_with_anything_else_nobody_is_anybody(
    sso: Running, headers: tuple[tuple[str, str], ...]
) -> None:
    status, answer, cookie = enter(sso, *headers)
    assert (status, answer["error"], cookie) == (401, "no_user", "")


@pytest.mark.parametrize("by", ["127.0.0.1", "127.0.0.3"])
def test_with_the_secret_from_another_peer_neither(sso: Running, by: str) -> None:
    for more in ((), (("X-Forwarded-For", PROXY),), (("Forwarded", f"for={PROXY}"),)):
        status, answer, cookie = enter(sso, ALICE, BY_PROXY, *more, by=by)
        assert (status, answer["error"], cookie) == (401, "no_user", "")


def test_who_is_no_agent_is_told_so(sso: Running) -> None:
    for user in ("mallory", "1001", "Alice", "zoe", "2001"):
        status, answer, cookie = enter(sso, (USER, user), BY_PROXY)
        assert (status, answer["error"], cookie) == (403, "unknown_user", "")
        assert user in answer["message"]
    status, answer, _ = enter(sso, (USER, "1002"), BY_PROXY)
    assert (status, answer["agent"]) == (200, "1002"), "by the id, where no USER is set"


def test_an_agent_of_another_client_is_told_nothing_of_this_one(sso: Running) -> None:
    zoe = (USER, "zoe@other.example")
    status, answer, cookie = enter(sso, zoe, BY_PROXY)
    assert (status, answer["agent"]) == (200, "2001")
    mine = (("Cookie", cookie), zoe, BY_PROXY)
    status, agents, _ = ask(sso, "GET", "/v1/agents", *mine)
    assert (status, [each["id"] for each in agents]) == (200, ["2001"])
    for path in ("/v1/agents/1001", "/v1/agents/1001/targets", "/v1/agents/1001/transfers"):
        assert ask(sso, "GET", path, *mine)[0] == 403
    _, targets, _ = ask(sso, "GET", "/v1/agents/2001/targets", *mine)
    assert not re.search("sales|1001|1002|Alice", json.dumps(targets))
    # Nor does her session become anybody else's with another user's name.
    stolen = (("Cookie", cookie), ALICE, BY_PROXY)
    assert ask(sso, "GET", "/v1/agents/1001", *stolen)[0] == 401
    assert ask(sso, "GET", "/v1/agents", *mine)[0] == 401, "and has ended"


def test_there_is_no_way_past_it_with_a_pin(sso: Running) -> None:
    url = sso.url + "/v1/session"
    body = {"agent": "1001", "pin": "1111"}
    answer = requests.post(url, json=body, headers=PANEL, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (403, "single_sign_on")


def test_who_has_left_the_settings_is_out_after_a_reload(sso: Running) -> None:
    _, _, cookie = enter(sso, ALICE, BY_PROXY)
    mine = (("Cookie", cookie), ALICE, BY_PROXY)
    assert ask(sso, "GET", "/v1/agents/1001", *mine)[0] == 200
    sso.reload(GOOD + OTHERS.replace("=alice", "=alicia") + SIGN_ON)
    sso.wait_for("reloaded")
    assert ask(sso, "GET", "/v1/agents/1001", *mine)[0] == 401
    assert enter(sso, ALICE, BY_PROXY)[0] == 403
    sso.reload(GOOD + OTHERS + SIGN_ON)
    sso.wait_for("reloaded", 2)
    assert enter(sso, ALICE, BY_PROXY)[0] == 200


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("AVP_PANEL__USER_HEADER=", "AVP_PANEL__USER_HEADER_SECRET"),
        ("AVP_PANEL__USER_HEADER_SECRET=short", "AVP_PANEL__USER_HEADER_SECRET"),
        ("AVP_AGENTS__1002__USER=alice", "AVP_AGENTS__1002__USER"),
    ],
)
def test_a_sign_on_that_cannot_work_stops_the_start(
    tmp_path: Path, line: str, problem: str
) -> None:
    name = line.partition("=")[0]
    kept = [
        each for each in (GOOD + OTHERS + SIGN_ON).splitlines() if not each.startswith(f"{name}=")
    ]
    (tmp_path / ".env").write_text("\n".join([*kept, line, ""]))
    ended = subprocess.run(
        [sys.executable, "-m", "asterisk_avp", "run"],
        cwd=tmp_path, env={}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert problem in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hush" not in ended.stderr
