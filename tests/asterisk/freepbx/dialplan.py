"""extensions_additional.conf, as *Apply Config* writes it from the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.asterisk.freepbx.model import Pbx, Queue, RingGroup, User

ETC = Path(__file__).with_name("etc")
_HANGUP = "exten => h,1,Gosub(macro-hangupcall,s,1)"


def extensions_additional(pbx: Pbx, values: Mapping[str, str]) -> str:
    """``values``: what the machine has of its own, e.g. where its FastAGI server listens."""
    return "\n".join(
        [
            "; Written by Apply Config.",
            *_globals(pbx, values),
            *_internal(pbx),
            *_inbound(pbx),
            *_users(pbx),
            *_follow_me(pbx),
            *_queues(pbx),
            *_ring_groups(pbx.ring_groups),
            *_codes(pbx),
            *_outbound(pbx),
            (ETC / "macros.conf").read_text(),
        ]
    )


def _context(name: str, *lines: str, includes: Iterable[str] = ()) -> list[str]:
    """Each generated context includes one of the administrator's, `-custom`, first."""
    included = [f"include => {included}" for included in (f"{name}-custom", *includes)]
    return [f"[{name}]", *included, *lines, ""]


def _globals(pbx: Pbx, values: Mapping[str, str]) -> list[str]:
    given = {
        "CWINUSEBUSY": "true",
        "QUEUETOGGLE": pbx.code("queue_toggle"),
        "QUEUEPAUSETOGGLE": pbx.code("queue_pause"),
        "OUT_1": "PJSIP",
        "OUT_1_SUFFIX": f"@{pbx.trunks[0]}",
        "RINGTIMER_DEFAULT": "15",
        "MIXMON_DIR": "",
        "DIAL_OPTIONS": pbx.dial_options,
        "TRUNK_OPTIONS": "T",
        "TRUNK_RING_TIMER": "300",
        "MIXMON_FORMAT": "wav",
        "REC_POLICY": "caller",
        "TRANSFER_CONTEXT": "from-internal-xfer",
        "ASTVERSION": "22.10.1",
        "NULL": '""',
        **({"DYNAMIC_FEATURES": "apprecord"} if pbx.code("automon") else {}),
        **values,
    }
    lines = [f"{name} = {value}" for name, value in given.items()]
    return ["[globals]", *lines, "#include globals_custom.conf", ""]


def _internal(pbx: Pbx) -> list[str]:
    modules = ("ext-findmefollow", "ext-local", "ext-queues", "ext-group", "app-feature-codes")
    return _context(
        "from-internal-additional", _HANGUP, includes=(*modules, "outbound-allroutes")
    ) + _context("from-internal-noxfer-additional", _HANGUP)


def _inbound(pbx: Pbx) -> list[str]:
    lines = []
    for number, extension in pbx.routes.items():
        queues = {queue.number for queue in pbx.queues}
        groups = {group.number for group in pbx.ring_groups}
        place = (
            "ext-queues"
            if extension in queues
            else "ext-group"
            if extension in groups
            else "from-did-direct"
        )
        lines += [
            f"exten => {number},1,Set(__DIRECTION=INBOUND)",
            " same => n,Gosub(sub-record-check,s,1(in,${EXTEN},dontcare))",
            " same => n,Set(__FROM_DID=${EXTEN})",
            " same => n,Set(CDR(did)=${FROM_DID})",
            f" same => n(dest-ext),Goto({place},{extension},1)",
        ]
    catchall = [
        "exten => s,1,Answer()",
        " same => n,Playback(ss-noservice)",
        " same => n,Hangup()",
        "exten => _.,1,Set(__FROM_DID=${EXTEN})",
        " same => n,Goto(s,1)",
        "exten => h,1,Hangup()",
    ]
    return _context("ext-did", *lines, _HANGUP) + _context("ext-did-catchall", *catchall)


def hint(pbx: Pbx, user: str, devices: Iterable[str]) -> str:
    return "&".join((*(f"PJSIP/{device}" for device in devices), f"Custom:DND{user}"))


def _users(pbx: Pbx) -> list[str]:
    lines: list[str] = []
    for user in pbx.users:
        lines += _user(pbx, user)
    return _context("ext-local", *lines, _HANGUP)


def _user(pbx: Pbx, user: User) -> list[str]:
    n = user.number
    mailbox = n if user.voicemail else "novm"
    vm = (
        [
            f" same => n,Gosub(macro-vm,s,1({mailbox},${{DIALSTATUS}},))",
            " same => n,Hangup()",
            f"exten => vmb{n},1,Gosub(macro-vm,s,1({mailbox},BUSY,))",
            f"exten => vmu{n},1,Gosub(macro-vm,s,1({mailbox},NOANSWER,))",
        ]
        if user.voicemail
        else [" same => n,Hangup()"]
    )
    ringtimer = f"${{DB(AMPUSER/{n}/ringtimer)}}"
    return [
        (
            f'exten => {n},1,Set(__RINGTIMER=${{IF($["{ringtimer}" > "0"]?{ringtimer}'
            ":${RINGTIMER_DEFAULT})})"
        ),
        f" same => n,Gosub(macro-exten-vm,s,1({mailbox},{n},0,0,0))",
        " same => n(dest),Set(__PICKUPMARK=)",
        *vm,
        f"exten => {n},hint,{hint(pbx, n, pbx.devices_of(n))},CustomPresence:{n}",
    ]


def _follow_me(pbx: Pbx) -> list[str]:
    lines = []
    for user in pbx.users:
        if user.follow_me:
            n, numbers = user.number, "-".join(user.follow_me)
            lines += [
                f"exten => {n},1,Gosub(macro-user-callerid,s,1())",
                " same => n,Set(__EXTTOCALL=${EXTEN})",
                " same => n,Gosub(macro-blkvm-setifempty,s,1())",
                ' same => n,GotoIf($["${GOSUB_RETVAL}" = "TRUE"]?skipov)',
                " same => n,Gosub(macro-blkvm-set,s,1(reset))",
                " same => n,Set(__NODEST=)",
                " same => n(skipov),Set(RRNODEST=${NODEST})",
                " same => n,Set(__NODEST=${EXTEN})",
                f" same => n,Gosub(macro-simple-dial,s,1(${{EXTEN}},{user.pre_ring}))",
                f" same => n(DIALGRP),Gosub(macro-dial,s,1(20,${{DIAL_OPTIONS}},{numbers}))",
                ' same => n,GotoIf($["${RRNODEST}" != ""]?nodest)',
                " same => n,Set(__NODEST=)",
                " same => n,Gosub(macro-blkvm-clr,s,1())",
                f" same => n,Goto(ext-local,{n},dest)",
                " same => n(nodest),Hangup()",
            ]
    return _context("ext-findmefollow", *lines, _HANGUP)


def _queues(pbx: Pbx) -> list[str]:
    lines: list[str] = []
    vectors: list[str] = []
    toggle, pause = pbx.code("queue_toggle"), pbx.code("queue_pause")
    contexts = {0: "from-internal", 1: "from-queue-exten-internal", 2: "from-queue-exten-only"}
    for queue in pbx.queues:
        number = queue.number
        lines += _queue(queue)
        if toggle:
            lines += [
                f"exten => {toggle}{number},1,Set(QUEUENO={number})",
                " same => n,Goto(app-queue-toggle,s,start)",
            ]
        if pause:
            lines.append(f"exten => {pause}{number},1,Gosub(app-queue-pause-toggle,s,1({number}))")
        vectors.append(f"exten => {number},1,Goto({contexts[queue.context]},${{QAGENT}},1)")
    any_agent = pbx.queue_pattern
    vectors += [
        f"exten => {any_agent},1,Set(QAGENT=${{EXTEN}})",
        " same => n,Set(__FROMQ=true)",
        ' same => n,GotoIf($["${LEN(${NODEST})}" = "0"]?hangup)',
        " same => n,GotoIf($[${DIALPLAN_EXISTS(from-queue,${NODEST},1)} = 1]?${NODEST},1:hangup)",
        " same => n(hangup),Gosub(macro-hangupcall,s,1)",
        _HANGUP,
    ]
    only = [
        "exten => _XXXX,1,GotoIf($[${DB_EXISTS(AMPUSER/${EXTEN}/cidnum)} = 0]?hangup)",
        " same => n,Set(RingGroupMethod=none)",
        " same => n,Gosub(macro-dial-one,s,1(,${DIAL_OPTIONS},${EXTEN}))",
        " same => n(hangup),Hangup()",
        _HANGUP,
    ]
    return [
        *_context("ext-queues", *lines, _HANGUP),
        *_context("from-queue", *vectors),
        *_context("from-queue-exten-only", *only),
        *_context(
            "from-queue-exten-internal",
            "exten => foo,1,NoOp(bar)",
            includes=("from-queue-exten-only", "from-internal"),
        ),
    ]


def _queue(queue: Queue) -> list[str]:
    restricted = queue.context != 0
    return [
        f"exten => {queue.number},1,Gosub(macro-user-callerid,s,1())",
        " same => n,Answer()",
        " same => n,Set(__FROMQUEUEEXTEN=${CALLERID(number)})",
        *(
            ()
            if queue.context == 2
            else (
                " same => n,Gosub(macro-blkvm-set,s,1(reset))",
                (
                    ' same => n,ExecIf($[${REGEX("U[(]macro-auto-blkvm[)]" ${DIAL_OPTIONS})} != 1]'
                    "?Set(_DIAL_OPTIONS=${DIAL_OPTIONS}U(macro-auto-blkvm)))"
                ),
            )
        ),
        " same => n,Set(__NODEST=${EXTEN})",
        f" same => n,Set(__QCONTEXT={queue.context})",
        " same => n,Set(QOPTIONS=${IF($[${LEN(${VQ_OPTIONS})} > 0]?${VQ_OPTIONS}:t)})",
        " same => n,Set(QGOSUB=${IF($[${LEN(${VQ_GOSUB})} > 0]?${VQ_GOSUB}:${QGOSUB})})",
        f" same => n,Gosub(sub-record-check,s,1(q,{queue.number},{queue.recording}))",
        " same => n,Set(__CWIGNORE=TRUE)",
        *((" same => n,Set(__CFIGNORE=TRUE)",) if restricted else ()),
        *((" same => n,Set(__FORWARD_CONTEXT=block-cf)",) if restricted else ()),
        " same => n,Set(__SIGNORE=TRUE)",
        f" same => n,QueueLog({queue.number},${{UNIQUEID}},NONE,DID,${{FROM_DID}})",
        f" same => n,Set(QMAXWAIT={queue.max_wait})",
        f" same => n,Set(QUEUENUM={queue.number})",
        (
            f" same => n(qcall),Queue({queue.number},${{QOPTIONS}},,${{QAANNOUNCE}},${{QMAXWAIT}},"
            "${QAGI},,${QGOSUB},${QRULE},${QPOSITION})"
        ),
        " same => n,Gosub(macro-blkvm-clr,s,1())",
        " same => n,Set(__NODEST=)",
        " same => n,Set(_QUEUE_PRIO=0)",
        " same => n,Set(__CWIGNORE=)",
        f" same => n(gotodest),Goto({queue.fallback})",
    ]


def _ring_groups(groups: Iterable[RingGroup]) -> list[str]:
    lines = []
    for group in groups:
        lines += [
            f"exten => {group.number},1,Gosub(macro-user-callerid,s,1())",
            " same => n,Gosub(macro-blkvm-setifempty,s,1())",
            ' same => n,GotoIf($["${GOSUB_RETVAL}" = "TRUE"]?skipov)',
            " same => n,Gosub(macro-blkvm-set,s,1(reset))",
            " same => n,Set(__NODEST=)",
            " same => n(skipov),Set(RRNODEST=${NODEST})",
            " same => n,Set(__NODEST=${EXTEN})",
            " same => n,Set(RingGroupMethod=ringall)",
            (
                f" same => n(DIALGRP),Gosub(macro-dial,s,1({group.seconds},${{DIAL_OPTIONS}},"
                f"{'-'.join(group.members)}))"
            ),
            " same => n,Set(RingGroupMethod=)",
            ' same => n,GotoIf($["${RRNODEST}" != ""]?nodest)',
            " same => n,Set(__NODEST=)",
            " same => n,Gosub(macro-blkvm-clr,s,1())",
            " same => n,Goto(app-blackhole,hangup,1)",
            " same => n(nodest),NoOp(The caller came from a queue or a ring group)",
        ]
    return _context("ext-group", *lines, _HANGUP)


def _codes(pbx: Pbx) -> list[str]:
    lines: list[str] = []
    caller = "Gosub(macro-user-callerid,s,1())"
    if code := pbx.code("forward"):
        lines += [
            f"exten => _{code}X.,1,{caller}",
            f" same => n,Set(DB(CF/${{AMPUSER}})=${{FILTER(0-9,${{EXTEN:{len(code)}}})}})",
            " same => n,Answer()",
            " same => n,Hangup()",
        ]
    if code := pbx.code("forward_off"):
        lines += [
            f"exten => {code},1,{caller}",
            " same => n,Set(GONE=${DB_DELETE(CF/${AMPUSER})})",
            " same => n,Answer()",
            " same => n,Hangup()",
        ]
    if code := pbx.code("log_on"):
        lines.append(f"exten => _{code}X.,1,Gosub(macro-user-logon,s,1(${{EXTEN:{len(code)}}}))")
    if code := pbx.code("log_off"):
        lines.append(f"exten => {code},1,Gosub(macro-user-logoff,s,1())")
    return _context("app-feature-codes", *lines, _HANGUP)


def _outbound(pbx: Pbx) -> list[str]:
    lines = []
    for pattern in pbx.outbound:
        prefix = "1" if pattern == "_NXXNXXXXXX" else ""
        lines += [
            f"exten => {pattern},1,Gosub(macro-user-callerid,s,1(LIMIT,EXTERNAL))",
            " same => n,Set(_ROUTEID=1)",
            " same => n,Set(_ROUTENAME=out)",
            " same => n,Set(_NODEST=)",
            f" same => n,Gosub(macro-dialout-trunk,s,1(1,{prefix}${{EXTEN}},,off))",
            " same => n,Hangup()",
        ]
    return _context("outbound-allroutes", includes=("outrt-1",)) + _context(
        "outrt-1", *lines, _HANGUP
    )
