"""The command line's client of the HTTP API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import requests
import websockets.sync.client
from requests.auth import AuthBase
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

USUAL_URL = "http://127.0.0.1:8766"
OWN_URL = ""
"""That of the daemon whose settings the environment has."""
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on

# Longer than the daemon waits for Asterisk.
_TIMEOUT_SECONDS = 30.0
_SILENCE_SECONDS = 25.0
_UNAUTHORIZED_CLOSE = 4401


def own_url(env: Mapping[str, str]) -> str:
    """Where the daemon with these settings listens, from its own machine."""
    usual = urlsplit(USUAL_URL)
    host = env.get("AVP_API__HOST", str(usual.hostname))
    host = _EVERYWHERE.get(host, host)
    port = env.get("AVP_API__PORT") or str(usual.port)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class CommandFailed(Exception):
    """The command failed. ``answer``: the API's error object, if there is one."""

    def __init__(self, message: str, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.answer = answer


class TokenRefused(CommandFailed):
    """The daemon rejects the token, so a retry is useless."""


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Client:
    """Every method raises `CommandFailed` with a message for the terminal."""

    def __init__(self, url: str, token: str) -> None:
        self._url = (url or own_url(os.environ)).rstrip("/")
        token = token.partition(",")[0].strip()  # the first of several in AVP_API__TOKENS
        self._token = token
        self._session = requests.Session()
        # Do not let a proxy or ~/.netrc of this shell see or replace the token.
        self._session.trust_env = False
        self._session.auth = _Bearer(token)

    def agents(self) -> Any:
        return self._ask("GET", "/v1/agents")

    def targets(self, agent: str) -> Any:
        return self._ask("GET", f"/v1/agents/{quote(agent, safe='')}/targets")

    def transfer(self, agent: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", f"/v1/agents/{quote(agent, safe='')}/transfers", body)

    def complete(self, transfer: str) -> Any:
        return self._ask("POST", f"/v1/transfers/{quote(transfer, safe='')}/complete")

    def cancel(self, transfer: str) -> Any:
        return self._ask("POST", f"/v1/transfers/{quote(transfer, safe='')}/cancel")

    def check_number(self, agent: str, number: str) -> Any:
        return self._ask("POST", "/v1/numbers/check", {"agent": agent, "number": number})

    def events(self) -> Iterator[dict[str, Any]]:
        """The events from now on. Ends only with `CommandFailed` or when the reader stops.

        The daemon sends something at least every 10 seconds, so a silent connection is treated as
        lost.
        """
        parts = urlsplit(self._url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        address = urlunsplit((scheme, parts.netloc, parts.path + "/v1/events", "", ""))
        try:
            with websockets.sync.client.connect(address, proxy=None, max_size=None) as socket:
                socket.send(json.dumps({"token": self._token}))
                while True:
                    yield json.loads(socket.recv(timeout=_SILENCE_SECONDS))
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code == _UNAUTHORIZED_CLOSE:
                raise _bad_token() from None
            raise CommandFailed("the daemon closed the connection") from None
        except TimeoutError:
            raise CommandFailed("the daemon stopped responding") from None
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise self._unreachable(error) from None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._session.request(
                method,
                self._url + path,
                json=body,
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            raise self._unreachable(error) from None
        try:
            content = answer.json()
        except requests.JSONDecodeError:
            raise CommandFailed(
                f"{self._url} is not an asterisk-avp API (status {answer.status_code})"
            ) from None
        if answer.ok:
            return content
        if answer.status_code == requests.codes.unauthorized:
            raise _bad_token(content)
        raise CommandFailed(_sentence(content, answer.status_code), content)

    def _unreachable(self, error: Exception) -> CommandFailed:
        if isinstance(error, requests.Timeout):
            why = f"no answer within {_TIMEOUT_SECONDS:g} s"
        elif isinstance(error, requests.exceptions.InvalidSchema | InvalidURI | ValueError):
            why = "this is not an http:// address"
        else:
            why = "is `asterisk-avp run` running there?"
        return CommandFailed(f"cannot reach the daemon at {self._url}: {why}")


def _bad_token(answer: Mapping[str, Any] | None = None) -> TokenRefused:
    return TokenRefused(
        "the daemon rejects this token; set AVP_TOKEN to one of its AVP_API__TOKENS",
        answer,
    )


def _sentence(content: Any, status: int) -> str:
    if not isinstance(content, dict):
        return f"the daemon answered with status {status}"
    message = content.get("message", f"status {status}")
    if content.get("error") == "refused":
        return f"refused ({content.get('reason')}): {message}"
    details = content.get("details")
    if isinstance(details, list):
        listed = "; ".join(
            f"{'.'.join(str(part) for part in detail.get('where', []))}: {detail.get('message')}"
            for detail in details
        )
        return f"{message} ({listed})"
    return str(message)
