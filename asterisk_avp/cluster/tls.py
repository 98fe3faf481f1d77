"""TLS to NATS servers and other nodes: the files of the settings, and errors in words."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp

from asterisk_avp.core.model.errors import ConfigError

_CA: Final = "AVP_CLUSTER__TLS_CA"
_CERT: Final = "AVP_CLUSTER__TLS_CERT"
_KEY: Final = "AVP_CLUSTER__TLS_KEY"

_ENDED: Final = (
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
    EOFError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    aiohttp.ServerDisconnectedError,
)
_ENDED_ERRNO: Final = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


def context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Of AVP_CLUSTER__TLS_CA, …CERT and …KEY, each of which may be empty.

    Raises `ConfigError`, which names the setting whose file cannot be used.
    """
    try:
        made = ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise ConfigError(f"{_CA}: {_unusable(ca, error)}") from None
    if certificate:
        for name, path in ((_CERT, certificate), (_KEY, key)):
            try:
                with open(path, "rb"):  # noqa: PTH123 - OpenSSL's error does not say which file
                    pass
            except OSError as error:
                raise ConfigError(f"{name}: {_unusable(path, error)}") from None
        try:
            # Nobody is there to be asked for a password.
            made.load_cert_chain(certificate, key, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"{_KEY}: is not the key of {_CERT}") from None
            text = f"{certificate} and {key} are not a certificate and its key without a password"
            raise ConfigError(f"{_CERT} and {_KEY}: {text}") from None
    return made


def _unusable(path: str, error: OSError) -> str:
    why = "has no certificate" if isinstance(error, ssl.SSLError) else error.strerror
    return f"{path} cannot be used: {why}"


def has_ended(error: BaseException) -> bool:
    """Whether the other side has ended the connection, without a word that was read.

    In TLS 1.3 a server looks at the client's certificate when the handshake is over for the client
    (RFC 8446, section 4.4). If the client writes before it reads the alert, the alert is lost. By
    what has arrived in between, Linux tells the writer ECONNRESET or EPIPE (`tcp_reset()`).
    """
    return isinstance(error, _ENDED) or (isinstance(error, OSError) and error.errno in _ENDED_ERRNO)


def problem(error: BaseException) -> str:
    """What went wrong with a connection, in a few words and without secrets."""
    found = list(_chain(error))
    # First what TLS says: aiohttp's error above it has the number 1, as EPERM has.
    for told in (x for x in found if isinstance(x, ssl.SSLError) and not has_ended(x)):
        if isinstance(told, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {told.verify_message}"
        if told.reason:
            reason = told.reason.lower().replace("_", " ")
            said = "it refuses our certificate" if "alert" in reason else "TLS fails"
            return f"{said}: {reason}"
    if any(map(has_ended, found)):
        return "it ended the connection; with TLS: it may refuse our certificate"
    for other in found:
        if isinstance(other, OSError) and other.errno is not None and other.errno > 0:
            return os.strerror(other.errno).lower()  # asyncio's own text has the address again
    return type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
