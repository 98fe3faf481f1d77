"""All errors of the project.

A refusal (the agent may not do this now) carries a stable reason code and a message that a person
can act on. Every other error names the side that failed: the configuration, Asterisk, or the API's
client.
"""

from __future__ import annotations


class AvpError(Exception):
    """Base class of all errors that asterisk_avp raises."""


class ConfigError(AvpError):
    """The configuration cannot be used; the message names the variables at fault."""


class AsteriskUnavailable(AvpError):
    """Asterisk is not connected, did not answer in time, or answered with a server error."""


class AsteriskSilent(AsteriskUnavailable):
    """Asterisk did not answer in time. It may still execute the request."""


class AsteriskBusy(AvpError):
    """Asterisk is too busy for a new transfer; nothing was done. Whole seconds until a retry."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__("Asterisk is too busy for another transfer at the moment.")
        self.retry_seconds = retry_seconds


class PeerUnavailable(AvpError):
    """Another node's daemon did not answer in time, or not as agreed; the call is unchanged.

    It may have done what was asked: what is not idempotent is asked again with the same key.
    """

    def __init__(self, node: str, problem: str = "it does not answer") -> None:
        super().__init__(f"The daemon of node {node} cannot be asked: {problem}.")
        self.node = node


class NodeOversteps(AvpError):
    """Another node's daemon asks for, or tells, what is not its own to ask or tell."""


class OtherDaemon(AvpError):
    """Another daemon owns the Stasis application, so this one must exit."""


class AriError(AvpError):
    """ARI answered with an error that is neither `AriGone` nor an outage."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"ARI answered {status}: {message}")
        self.status = status
        self.message = message


class AriGone(AriError):
    """404, 409 or 422: the channel or bridge has ended or changed state meanwhile.

    A party can hang up between a decision and its execution, so this is an ordinary event of the
    session and not a failure.
    """


class AmiError(AvpError):
    """AMI answered ``Response: Error``."""

    def __init__(self, action: str, message: str) -> None:
        super().__init__(f"AMI {action} failed: {message}")
        self.action = action
        self.message = message


class AmiTampered(AvpError):
    """An AMI response contains text injected by a third party; all of it is discarded."""


class AmiHeaderError(AvpError, ValueError):
    """A header name or value contains CR, LF or NUL, which would inject headers into AMI."""


class UncleanValue(AvpError):
    """A value must not be written to Asterisk (`core.messages.clean`); nothing was sent.

    ``what`` names the variable, header or parameter. The error does not contain the value.
    """

    def __init__(self, what: str) -> None:
        self.what = what if what.isprintable() else "a variable"
        super().__init__(f"not sent: the value of {self.what} is not clean")


class UnknownAgent(AvpError):
    """The agent id is not configured and not a member of any group."""


class UnknownGroup(AvpError):
    """No agent group has this id, or none that the agent may know of."""


class UnknownTransfer(AvpError):
    """No transfer has this id."""


class UnknownParty(AvpError):
    """The transfer has no party with this id."""


class WrongState(AvpError):
    """The command is not possible in the transfer's current state.

    ``key`` names the sentence of the API's catalogues that says so in other languages.
    """

    def __init__(self, message: str = "", key: str = "wrong_state") -> None:
        super().__init__(message)
        self.key = key


class Refused(AvpError):
    """Policy refused a request; the call is unchanged.

    ``reason`` is one of `asterisk_avp.core.policy.policy.REASONS`; ``message`` is for a person;
    ``setting`` names the variable (or ``default``) that decided, for the audit.
    """

    def __init__(self, reason: str, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.setting = setting
