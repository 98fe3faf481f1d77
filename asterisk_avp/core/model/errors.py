"""The one tree of errors.

Refusals (an agent may not do this now) carry a stable reason code and a sentence a person can
act on. Everything else says which side failed: our configuration, Asterisk, or the caller of
the API.
"""

from __future__ import annotations


class AvpError(Exception):
    """Base of every error that asterisk_avp raises on purpose."""


class ConfigError(AvpError):
    """The configuration cannot be used; the message names the variables at fault."""


class AsteriskUnavailable(AvpError):
    """Asterisk is not connected, did not answer in time, or answered with a server error."""


class AsteriskSilent(AsteriskUnavailable):
    """Asterisk did not answer in time; it may carry out what was asked for all the same."""


class OtherDaemon(AvpError):
    """Another daemon has our Stasis application, and this one has to leave."""


class AriError(AvpError):
    """ARI answered with an error that is neither an ordinary transition nor an outage."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"ARI answered {status}: {message}")
        self.status = status
        self.message = message


class AriGone(AriError):
    """404, 409 or 422: the channel or bridge went away or moved on meanwhile.

    A party may hang up between our decision and Asterisk's execution of it, so this is an
    ordinary transition, reported to the session as an event, never a failure of ours.
    """


class AmiError(AvpError):
    """AMI answered ``Response: Error``."""

    def __init__(self, action: str, message: str) -> None:
        super().__init__(f"AMI {action} failed: {message}")
        self.action = action
        self.message = message


class AmiTampered(AvpError):
    """Somebody has written into AMI's stream while Asterisk answered: nothing of it is believed."""


class AmiHeaderError(AvpError, ValueError):
    """A header name or value with CR, LF or NUL, which would inject headers into AMI."""


class UncleanValue(AvpError):
    """A value that may not be written to Asterisk (`core.messages.clean`); nothing was sent.

    ``what`` names the variable, the header or the parameter. The value is nowhere.
    """

    def __init__(self, what: str) -> None:
        self.what = what if what.isprintable() else "a variable"
        super().__init__(f"not sent: the value of {self.what} is not clean")


class UnknownAgent(AvpError):
    """The agent id in a path is not configured and is no member of any group."""


class UnknownTransfer(AvpError):
    """No transfer has this id."""


class UnknownParty(AvpError):
    """The transfer has no party of this id."""


class WrongState(AvpError):
    """The transfer exists, but what was asked is not possible in its present state."""


class Refused(AvpError):
    """A request is refused: nothing was done and the call is as it was.

    ``reason`` is one of `asterisk_avp.core.policy.policy.REASONS`; ``message`` is for a person;
    ``setting`` names the variable (or ``default``) that decided, for the audit.
    """

    def __init__(self, reason: str, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.setting = setting
