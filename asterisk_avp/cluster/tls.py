"""TLS to NATS servers and other nodes: the files of the settings, and errors in words."""

from __future__ import annotations

import os
import ssl
from typing import Final

from asterisk_avp.core.model.errors import ConfigError

_CA: Final = "AVP_CLUSTER__TLS_CA"
_CERT: Final = "AVP_CLUSTER__TLS_CERT"
_KEY: Final = "AVP_CLUSTER__TLS_KEY"


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


def problem(error: BaseException) -> str:
    """What went wrong with a connection, in a few words and without secrets."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {found.verify_message}"
        if isinstance(found, ssl.SSLError) and found.reason:
            reason = found.reason.lower().replace("_", " ")
            if "alert" in reason:
                return f"it refuses our certificate: {reason}"
            return f"TLS fails: {reason}"
        if isinstance(found, ConnectionResetError):
            return "it ended the connection; with TLS: it may refuse our certificate"
        if isinstance(found, OSError) and found.errno is not None and found.errno > 0:
            return os.strerror(found.errno).lower()  # asyncio's own text has the address again
        found = found.__cause__ or found.__context__
    return type(error).__name__
