"""Other nodes' calls on a simulated Asterisk, whose events an engine may miss."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import Redirect
from asterisk_avp.core.messages.remote import NodeCall, NodeRestarted, TrunkLost
from asterisk_avp.core.model.nodes import Node
from tests.core.world import NOW, WORLD, member

PERSONAL = "avp-agent-1001"
TO_AGENT = NodeCall("in-1", "1001", PERSONAL, "t1", "b", "c-1", "sales", "", "1003")
TO_GROUP = NodeCall("in-1", "", "sales", "t1", "b", "c-1", "sales", "", "1003")


def engine() -> TransferEngine:
    world = replace(WORLD, node="a", nodes={"b": Node("b", "trunk-b")})
    made = TransferEngine(world, new_id=lambda: "t1")
    made.fact(member("1001"), NOW)
    return made


@dataclass
class Call:
    """A call of node b's, as Asterisk has it."""

    call: NodeCall
    state: str = "new"

    @property
    def id(self) -> str:
        return self.call.channel

    def seen(self, **more: str) -> ev.ChannelSeen:
        return ev.ChannelSeen(self.id, f"PJSIP/trunk-b-{self.id}", **more)

    def step(self) -> list[ev.Fact]:
        """What happens to it next."""
        match self.state:
            case "new":
                self.state = "begins"
                return [self.seen(), self.call]
            case "begins":
                self.state = "waits"
                return [ev.QueueJoined(self.call.queue, self.id)]
            case "waits":
                self.state = "talks"
                return [
                    ev.QueueLeft(self.call.queue, self.id),
                    ev.AgentConnected(self.call.queue, self.id, "PJSIP/1001"),
                    ev.BridgeEntered(self.id, f"b-{self.id}"),
                ]
            case "talks":
                self.state = "over"
                return [ev.BridgeLeft(self.id, f"b-{self.id}"), ev.ChannelGone(self.id)]
        return []

    def hang_up(self) -> list[ev.Fact]:
        if self.state in ("new", "over", "talks"):
            return self.step() if self.state == "talks" else []
        left = [ev.QueueLeft(self.call.queue, self.id)] if self.state == "waits" else []
        self.state = "over"
        return [*left, ev.ChannelGone(self.id)]

    def picture(self) -> list[ev.Fact]:
        """What a resync reads of it."""
        match self.state:
            case "begins":
                return [self.seen()]
            case "waits":
                return [self.seen(), ev.QueueJoined(self.call.queue, self.id)]
            case "talks":
                return [self.seen(bridge=f"b-{self.id}")]
        return []


@dataclass
class Asterisk:
    calls: list[Call]
    engine: TransferEngine = field(default_factory=engine)
    deaf: bool = False

    def happens(self, facts: list[ev.Fact]) -> None:
        for fact in () if self.deaf else facts:
            self.engine.fact(fact, NOW)

    def resync(self) -> set[str]:
        """The agents who have changed. As `Synchroniser` and `TrunkWatch` do."""
        self.engine.sync_started()
        self.engine.fact(member("1001"), NOW)
        for call in self.calls:
            for fact in call.picture():
                self.engine.fact(fact, NOW)
        changed = self.engine.sync_finished(NOW).agents
        known = self.engine.remote_calls.node_calls
        for call in self.calls:
            if call.state in ("begins", "waits") and call.id not in known:
                self.engine.fact(call.call, NOW)
        self.deaf = False
        return changed

    def view(self) -> tuple[object, ...]:
        """What decisions depend on."""
        made = self.engine
        waiting = sum(call.state == "waits" for call in self.calls if not call.call.agent)
        made.fact(ev.QueueWaiting("sales", waiting + 2, 7, NOW), NOW)
        ended = []
        for fact in (TrunkLost("b"), NodeRestarted("b")):
            effects = made.fact(fact, NOW).effects
            ended.append({x.channel for _, x in effects if isinstance(x, Redirect)})
        known = sorted(made.remote_calls.node_calls)
        return made.slot_taken("1001"), made.waiting.here("sales").callers, ended, known
