"""A call centre for tests: a real Asterisk 22 and real SIP phones (baresip), with ears.

    from bed import Bed, World, match

    async with Bed(World(wrapuptime=10)) as bed:      # World() is the demo world
        caller, alice = bed.phones["caller1"], bed.phones["1001"]
        await caller.dial("800")                      # queue sales
        await caller.hears({"music"})                 # waits for the condition, with a deadline
        call = await alice.answer(within=5)           # rings, accepts, established
        await caller.hears({"1001"})                  # exactly Alice's tone, for 0.4 s
        t = time.time(); ...; caller.heard(t)         # -> {"1001", "music", "silence", …}
        await bed.ami.bridged("caller1", "1001")      # the bridge with exactly these two
        await bed.start_daemon()                      # asterisk-avp run, waits for /readyz
        event = await bed.ami.wait(match("AgentComplete"), within=5)
        await alice.hangup(); await caller.closed()
        await bed.ami.assert_clean()                  # no channel, no bridge left
        bed.queue_log.completions()                   # {"Alice": [Row(…)]}

`bed.daemon_env()` is the daemon's environment, `bed.url` its API, `bed.secrets.token` its token.
`phone.transfer` sends a REFER, `bed.attended_transfer(phone, call, call)` one with Replaces;
`StubbornPhone` is a phone of our own for what baresip does not do.
`await bed.idle()` between tests ends calls and pauses; `await bed.available("1001")` waits for
the end of wrap-up. AVP_KEEP=1 keeps an instance's directory (logs, recordings) after the end.
"""

from .ami import ActionFailed, Bridge, Event, NotOneChannel, Probe, match, party
from .backend import Backend, RootFs, Unavailable
from .containers import Composed, Docker
from .instance import Bed, Secrets, backend_named
from .inviting import InvitingPhone
from .moved import MovedPhone
from .phones import Call, Phone, PhoneError
from .ports import Ports
from .procs import ProcessId
from .queuelog import QueueLog, Row
from .stubborn import StubbornPhone
from .wire import Hold, Wire, Wires
from .world import Agent, Group, World

__all__ = [
    "ActionFailed",
    "Agent",
    "Backend",
    "Bed",
    "Bridge",
    "Call",
    "Composed",
    "Docker",
    "Event",
    "Group",
    "Hold",
    "InvitingPhone",
    "MovedPhone",
    "NotOneChannel",
    "Phone",
    "PhoneError",
    "Ports",
    "Probe",
    "ProcessId",
    "QueueLog",
    "RootFs",
    "Row",
    "Secrets",
    "StubbornPhone",
    "Unavailable",
    "Wire",
    "Wires",
    "World",
    "backend_named",
    "match",
    "party",
]
