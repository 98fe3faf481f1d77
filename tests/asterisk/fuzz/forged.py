"""AMI events that somebody who can only dial writes, and the places where AMI allows it.

Asterisk writes some values unchanged, CR and LF included (main/manager_channels.c,
ast_manager_build_channel_state_string_prefix; apps/app_userevent.c; apps/app_queue.c). A forged
message follows the end of the genuine one that contains it (`whole`), takes the rest of that one as
its own (`tail`), or is headers of it (`headers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Final

CR_LF: Final = "\r\n"
FORMS: Final = ("whole", "tail", "headers", "line feeds", "unfinished")
_CHANNEL: Final = {
    "ChannelState": "6",
    "ChannelStateDesc": "Up",
    "CallerIDNum": "1003",
    "CallerIDName": "Carol",
    "ConnectedLineNum": "666",
    "ConnectedLineName": "<unknown>",
    "Language": "en",
    "AccountCode": "",
    "Context": "callers",
    "Exten": "800",
    "Priority": "3",
}
_MEMBER: Final = {
    "MemberName": "Carol",
    "StateInterface": "PJSIP/1003",
    "Membership": "static",
    "Penalty": "0",
    "CallsTaken": "0",
    "LastCall": "0",
    "LastPause": "0",
    "LoginTime": "1790000000",
    "InCall": "0",
    "Status": "1",
    "Paused": "0",
    "PausedReason": "",
    "Ringinuse": "0",
    "Wrapuptime": "0",
}


@dataclass(frozen=True)
class Forged:
    """A message. ``full``: with all headers of the genuine one, so that nothing is missing."""

    name: str
    headers: tuple[tuple[str, str], ...]
    full: tuple[tuple[str, str], ...] = ()
    privilege: str = ""

    def __str__(self) -> str:
        return " ".join([self.name, *(value for _, value in self.headers)])

    def lines(self, ids: Mapping[str, str], *, complete: bool) -> list[str]:
        headers = dict(self.full) | dict(self.headers) if complete else dict(self.headers)
        first = [] if self.name.startswith("Response") else [f"Event: {self.name}"]
        if complete and self.privilege:
            first.append(f"Privilege: {self.privilege}")
        return [*first, *(f"{key}: {value.format_map(ids)}" for key, value in headers.items())]

    def text(self, form: str, ids: Mapping[str, str], *, complete: bool, head: str = "1") -> str:
        """The dialled or calling text that makes AMI send it."""
        lines = self.lines(ids, complete=complete)
        body = CR_LF.join(lines)
        match form:
            case "whole":
                return f"{head}{CR_LF * 2}{body}{CR_LF * 2}"
            case "tail":
                return f"{head}{CR_LF * 2}{body}{CR_LF}X: "
            case "headers":
                return f"{head}{CR_LF}{CR_LF.join(lines[1:] or lines)}{CR_LF}X: "
            case "line feeds":
                return f"{head}{CR_LF * 2}{body}{CR_LF * 2}".replace(CR_LF, "\n")
            case _:
                return f"{head}{CR_LF * 2}{body}"


def _about(name: str, who: str, full: bool = True, **headers: str) -> Forged:
    """An event about the channel of one of the talking parties."""
    ids = {"Channel": f"{{{who}_name}}", "Uniqueid": f"{{{who}}}", "Linkedid": f"{{{who}}}"}
    rest = {"Channel": ids["Channel"], **_CHANNEL, **ids} if full else {}
    short = (("Uniqueid", ids["Uniqueid"]), *headers.items())
    return Forged(name, short, tuple((rest | headers).items()), "call,all")


def _member(name: str, queue: str, agent: str, **headers: str) -> Forged:
    short = {"Queue": queue, "Interface": f"PJSIP/{agent}"} | headers
    full = {**_MEMBER, "StateInterface": f"PJSIP/{agent}"} | short
    return Forged(name, tuple(short.items()), tuple(full.items()), "agent,all")


def _queue(name: str, queue: str, who: str, agent: str = "", **headers: str) -> Forged:
    about = _about(name, who, Queue=queue, **headers)
    more = {"Interface": f"PJSIP/{agent}", "MemberName": "Carol"} if agent else {}
    full = tuple({**dict(about.full), "Position": "1", "Count": "1", **more}.items())
    return Forged(name, (*about.headers, *more.items()), full, "agent,all")


def _plain(name: str, privilege: str = "", **headers: str) -> Forged:
    return Forged(name, tuple(headers.items()), (), privilege)


#: alice talks with bob about caller1, who hears music; carol is free; caller3 waits for dave, who
#: talks with caller4. Names are those of `CallCentre.ids`.
EVENTS: Final[tuple[Forged, ...]] = (
    _member("QueueMember", "sales", "1003", Location="PJSIP/1003", Name="Carol"),
    _member("QueueMember", "avp-agent-1003", "1004", Location="PJSIP/1004", Name="Dave"),
    _member("QueueMemberAdded", "support", "1001"),
    _member("QueueMemberAdded", "sales", "1003"),
    _member("QueueMemberRemoved", "sales", "1002"),
    _member("QueueMemberRemoved", "avp-agent-1004", "1004"),
    _member("QueueMemberRemoved", "support", "1003"),
    _member("QueueMemberPause", "support", "1003", Paused="1"),
    _member("QueueMemberPause", "avp-agent-1004", "1004", Paused="1"),
    _member("QueueMemberStatus", "support", "1003", Status="5"),
    _member("QueueMemberStatus", "support", "1003", Status="2", InCall="1"),
    _member("QueueMemberStatus", "support", "1004", Status="1", InCall="0"),
    _queue("QueueCallerJoin", "avp-agent-1003", "caller3"),
    _queue("QueueCallerJoin", "avp-agent-1003", "caller1"),
    _queue("QueueCallerLeave", "avp-agent-1004", "caller3"),
    _queue("QueueCallerAbandon", "avp-agent-1004", "caller3"),
    _queue("QueueEntry", "avp-agent-1003", "caller1", Wait="5"),
    _queue("AgentCalled", "support", "caller3", "1003"),
    _queue("AgentRingNoAnswer", "avp-agent-1004", "caller3", "1004", RingTime="4000"),
    _queue("AgentConnect", "support", "caller1", "1003", HoldTime="1", RingTime="1"),
    _queue("AgentConnect", "avp-agent-1004", "caller3", "1004", HoldTime="1", RingTime="1"),
    _queue(
        "AgentComplete", "support", "caller4", "1004", HoldTime="1", TalkTime="1", Reason="agent"
    ),
    _queue(
        "AgentComplete", "sales", "caller1", "1001", HoldTime="1", TalkTime="1", Reason="caller"
    ),
    *(_about("Hangup", who, Cause="16") for who in ("caller1", "alice", "bob", "caller3", "dave")),
    _about("Newchannel", "caller1", Channel="PJSIP/1003-00000077"),
    _plain("Newchannel", "call,all", Channel="PJSIP/1003-00000078", Uniqueid="x.1", Linkedid="x.1"),
    _about("NewCallerid", "caller1", CallerIDNum="911"),
    _about("NewConnectedLine", "alice", ConnectedLineNum="911"),
    _about("Rename", "caller1", Newname="PJSIP/1003-00000079"),
    _about("Rename", "dave", Newname="PJSIP/1003-00000080"),
    _about("BridgeEnter", "caller3", BridgeUniqueid="{bridge}", BridgeType="basic"),
    _about("BridgeEnter", "caller4", BridgeUniqueid="forged", BridgeType="basic"),
    _about("BridgeLeave", "alice", BridgeUniqueid="{bridge}", BridgeType="basic"),
    _about("BridgeLeave", "dave", BridgeUniqueid="{dave_bridge}", BridgeType="basic"),
    _about("Hold", "dave", MusicClass="default"),
    _about("Unhold", "alice"),
    _about("MusicOnHoldStart", "alice", Class="default"),
    _about("MusicOnHoldStart", "caller3", Class="default&SYSTEM(true)"),
    _about("MusicOnHoldStop", "caller1"),
    _about("MixMonitorMute", "caller1", Direction="both", State="1"),
    _about("DialState", "bob", DialStatus="RINGING", DestUniqueid="{bob}"),
    _about("DialEnd", "bob", DialStatus="BUSY", DestUniqueid="{bob}"),
    _about("UserEvent", "alice", UserEvent="AVPFeature"),
    _about("UserEvent", "dave", UserEvent="AVPFeature"),
    _about("UserEvent", "caller3", UserEvent="AVPQueueEnded", Status="TIMEOUT"),
    _about("UserEvent", "bob", UserEvent="AVPNotAccepted"),
    _about("ChannelTalkingStart", "alice"),
    _plain("OriginateResponse", "call,all", Response="Failure", Uniqueid="{bob}", Reason="5"),
    _plain("OriginateResponse", "call,all", ActionID="1", Response="Success", Uniqueid="x.2"),
    _plain("AttendedTransfer", "call,all", Result="Success", OrigTransfererUniqueid="{alice}"),
    _plain("BlindTransfer", "call,all", Result="Success", TransfererUniqueid="{dave}"),
    _plain("Pickup", "call,all", Uniqueid="{alice}", TargetUniqueid="{dave}"),
    _plain("DeviceStateChange", "call,all", Device="PJSIP/1003", State="UNAVAILABLE"),
    _plain(
        "CoreShowChannel", Uniqueid="{caller1}", Channel="PJSIP/1003-00000081", Application="Queue"
    ),
    _plain("QueueStatusComplete", EventList="Complete", ListItems="0"),
    _plain("QueueStatusComplete"),
    _plain("CoreShowChannelsComplete", EventList="Complete", ListItems="0"),
    _plain("StatusComplete", EventList="Complete", Items="0"),
    _plain("QueueParams", Queue="avp-agent-1003", Max="1", Strategy="ringall", Calls="1"),
    _queue("QueueEntry", "sales", "caller3", Wait="5"),
    _plain("FullyBooted", "system,all", Status="Fully Booted"),
    _plain("Shutdown", "system,all", Shutdown="Cleanly", Restart="False"),
    _plain("Reload", "system,all", Module="All", Status="0"),
    _plain("Response", Response="Success", ActionID="1", Message="Authentication accepted"),
    _plain("Response", Response="Error", ActionID="{action}", Message="No such channel"),
    _plain("Response", Response="Goodbye", ActionID="{action}"),
    _plain("Response", Response="Error", Message="Permission denied"),
)

#: How each way to write goes on in the dialplan of an administrator who does not mind what is in a
#: text; `X-Note` has it in hexadecimal digits, since no header can have a line end.
NOTE: Final = "Set(NOTE=${URIDECODE(${PJSIP_HEADER(read,X-Note)})})"
WAYS: Final = {
    "extension": "Goto(forge,${NOTE},1)",
    "number": "NoOp(caller)",
    "name": "Set(CALLERID(name)=${NOTE})",
    "user event": "UserEvent(Call,From: ${CALLERID(num)},Note: ${NOTE})",
    "account code": "Set(CHANNEL(accountcode)=${NOTE})",
    "language": "Set(CHANNEL(language)=${NOTE})",
    "connected line": "Set(CONNECTEDLINE(num)=${NOTE})",
    "member name": "AddQueueMember(lobby,Local/9@forge-end,0,,${NOTE})",
    "pause reason": "PauseQueueMember(lobby,Local/8@forge-end,,${NOTE})",
    "member": "AddQueueMember(lobby,Local/${NOTE}@forge-end)",
    "dialled by us": "Dial(Local/${NOTE}@forge-end,1)",
    "waiting caller": "Queue(lobby,,,,1)",
}


def dialplan() -> str:
    """The context `forge`, which a trunk's calls enter."""
    lines = ["[forge]", "exten => _1!,1,Answer()", " same => n,Hangup()"]
    lines += ["exten => _7!,1,Answer()", " same => n,Wait(120)"]
    for index, (way, does) in enumerate(WAYS.items()):
        lines += [f"exten => {200 + index},1,{NOTE}", f" same => n,{does}"]
        if way == "member name":
            lines.append(" same => n,RemoveQueueMember(lobby,Local/9@forge-end)")
        if way == "member":
            lines.append(" same => n,RemoveQueueMember(lobby,Local/${NOTE}@forge-end)")
        lines.append(" same => n,Hangup()")
    for index, (where, does) in enumerate(product(HALLS, _WAITING)):
        lines += [f"exten => {300 + index},1,{NOTE}", f" same => n,{_WAITING[does]}"]
        lines += [" same => n,Answer()", f" same => n,Queue({where})", " same => n,Hangup()"]
    return "\n".join([*lines, "[forge-end]", "exten => _.,1,Hangup()"])


HALLS: Final = ("sales", "hall-a", "hall-b", "hall-c", "hall-d")
"""Queues in which a caller waits whom AMI's lists name; in what order, Asterisk decides."""
_WAITING: Final = {
    "number": "Set(CALLERID(num)=${NOTE})",
    "account code": "Set(CHANNEL(accountcode)=${NOTE})",
}
"""The description of a waiting caller in a list."""
LISTED: Final = (*_WAITING, "pause reason")
"""The places in AMI's lists that somebody may have written."""
PARTS_OF_ANSWERS: Final = (
    *("QueueMember", "QueueEntry", "QueueParams", "QueueStatusComplete", "Response"),
    *("CoreShowChannel", "CoreShowChannelsComplete"),
)
QUEUES: Final = "\n".join(
    [
        "[lobby]\njoinempty = yes\nmember => Local/8@forge-end,0,Nobody",
        *(f"[{hall}]\njoinempty = yes" for hall in HALLS[1:]),
    ]
)


def number_of(way: str) -> str:
    return str(200 + list(WAYS).index(way))


def number_of_hall(hall: str, by: str) -> str:
    """The number to dial to wait there, with the text in that place."""
    return str(300 + list(product(HALLS, _WAITING)).index((hall, by)))


@dataclass(frozen=True)
class Attempt:
    """One forged message, in one way and one form."""

    way: str
    form: str
    event: Forged
    complete: bool

    def text(self, ids: Mapping[str, str]) -> str:
        return self.event.text(self.form, ids, complete=self.complete)

    def __str__(self) -> str:
        of = dict(self.event.headers)
        how = "complete" if self.complete else "short"
        return f"{self.event.name} {of} by {self.way}, {self.form}, {how}"


_SHORT_WAYS: Final = ("extension", "number", "waiting caller")
"""Asterisk truncates an extension and a caller's number to 79 bytes."""


def forms_by(way: str) -> tuple[str, ...]:
    return FORMS[:2] if way == "waiting caller" else FORMS


def all_by(way: str, form: str) -> Iterator[Attempt]:
    """All events in this way and form; with all their headers, if they fit."""
    for event in EVENTS:
        yield Attempt(way, form, event, complete=way not in _SHORT_WAYS)


def some(rng: Random, count: int) -> list[Attempt]:
    return [
        Attempt(rng.choice(list(WAYS)), rng.choice(FORMS), rng.choice(EVENTS), rng.random() < 0.5)
        for _ in range(count)
    ]
