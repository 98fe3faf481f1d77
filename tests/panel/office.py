"""A simulated office for the page alone: agents in every state, calls with screen pops."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from asterisk_avp.api.app import create_app
from asterisk_avp.api.auth import Authenticator
from asterisk_avp.api.panel_access import PanelAccess
from asterisk_avp.api.server import ApiServer, serve
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.views import transfer_view
from asterisk_avp.core.model.features import SWITCHES, Features
from asterisk_avp.core.model.world import (
    AgentState,
    AgentView,
    CallView,
    Mode,
    PartyView,
    Target,
    TargetAgent,
    TargetGroup,
    TargetKind,
    TargetsView,
    TransferRequest,
    TransferState,
    TransferView,
    World,
)
from asterisk_avp.core.numbers import shown
from asterisk_avp.core.transfer.states import State
from tests.adapters.scripted_transfer_service import INTEGRATION, ScriptedTransferService
from tests.core import sessions

ME = "1001"
CALLER = "+12025550143"
FORMATTED = shown(CALLER, "US")
EVERYTHING = (
    "session_transfer",
    "internal_transfer",
    "external_transfer",
    "manual_dial",
    "presets",
    "unsupervised_transfer",
    "conference",
    "toll_free_service",
    "toll_service",
)
PEOPLE = (
    ("1001", "Alice Morgan", AgentState.AVAILABLE, ("sales",), 95),
    ("1002", "Bob Hartley", AgentState.AVAILABLE, ("sales",), 312),
    ("1003", "Carol Nwosu", AgentState.TALKING, ("sales",), 187),
    ("1004", "Dave Lindqvist", AgentState.ACW, ("sales",), 12),
    ("1005", "Erin Castellanos", AgentState.NOT_READY, ("sales",), 640),
    ("1006", "Farid Rahimi", AgentState.OFFLINE, ("sales",), 7200),
    ("1007", "Grace Okafor", AgentState.AVAILABLE, ("support",), 33),
    ("1008", "Hugo Petit", AgentState.TALKING, ("billing",), 75),
)
GROUPS = {"sales": "Sales", "support": "Technical Support", "billing": "Billing"}
POP = {
    "id": "pop-1",
    "data": {
        "customer": "Northwind Traders",
        "account_number": "NW-20417",
        "case": "4711",
        "plan": "Business Plus",
        "language": "English",
        "last_contact": "12 November, delivery question",
    },
    "caller": {"number": CALLER, "number_formatted": FORMATTED, "name": "Ms. Joan Sample"},
    "group": "sales",
    "waited_seconds": 23,
    "transfers": [],
    "note": "",
    "url": "https://crm.example/cases/4711",
}


@dataclass
class Office(ScriptedTransferService):
    """A scripted transfer service with more people. ``permissions`` can be removed."""

    permissions: tuple[str, ...] = EVERYTHING
    pins: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        now = time.time()
        for agent_id, name, state, groups, ago in PEOPLE:
            self.views[agent_id] = AgentView(
                id=agent_id, name=name, state=state, since=now - ago, groups=groups,
                waiting_transfer=agent_id == "1003", paused=state is AgentState.NOT_READY,
            )  # fmt: skip
            self.pins[agent_id] = f"pin-{agent_id}"

    def targets(self, agent_id: str) -> TargetsView:
        own = self.agent(agent_id).groups
        may = self.permissions.__contains__
        agents = may("internal_transfer")
        return TargetsView(
            permissions=self.permissions,
            my_agent_groups=tuple(self._group(g, agent_id, True) for g in own if agents),
            agent_groups=tuple(
                self._group(g, agent_id, False)
                for g in GROUPS
                if agents and may("unsupervised_transfer")
            ),
            external_presets=(
                {"id": "warehouse", "name": "Warehouse, Newark", "group": "support"},
                {"id": "courier", "name": "Courier hotline", "group": "billing"},
            )
            if may("presets")
            else (),
        )

    def _group(self, group: str, asking: str, with_agents: bool) -> TargetGroup:
        return self.group_of(group, GROUPS[group], asking, with_agents)

    def group_of(self, group: str, name: str, asking: str, with_agents: bool) -> TargetGroup:
        members = [v for v in self.views.values() if group in v.groups and v.id != asking]
        agents = tuple(
            TargetAgent(v.id, v.name, v.state, v.since, v.waiting_transfer) for v in members
        )
        free = sum(v.state is AgentState.AVAILABLE for v in members)
        there = [v for v in members if v.state is not AgentState.OFFLINE]
        ready = sum(not v.paused for v in there)
        shown = agents if with_agents else ()
        return TargetGroup(group, name, shown, free, len(there), ready)

    def counted(self, view: AgentView, group: str) -> tuple[bool, bool, bool]:
        if view.id == ME and not view.memberships:
            return False, False, False  # a panel takes its own agent off as the memberships say
        return super().counted(view, group)

    def changed(self, view: TransferView) -> TransferView:
        return super().changed(formatted(as_the_core_shows(view, self.permissions)))

    # --- events -----------------------------------------------------------------------------

    def call_arrives(self, pop: dict[str, Any] | None = None, caller: str = CALLER) -> None:
        call = CallView(
            "chan-1", caller, "sales", on_hold=False, pop=POP if pop is None else pop,
            caller_formatted=shown(caller, "US"),
        )  # fmt: skip
        self.agent_changed(
            ME, state=AgentState.TALKING, since=time.time(), call=call, calls=(call,)
        )

    def call_ends(self) -> None:
        self.agent_changed(ME, state=AgentState.ACW, since=time.time(), call=None, calls=())

    async def request(self, request: TransferRequest) -> TransferView:
        await super_request(self, request)
        now = time.time()
        supervised = request.mode is Mode.SUPERVISED
        view = TransferView(
            id=f"t{len(self.requests)}", agent=request.agent, group="sales", mode=request.mode,
            target=request.target, ended_reason=None, caller=CALLER, since=now, started=now,
            state=TransferState.RINGING if supervised else TransferState.WAITING,
            notes=request.notes, hold_until=now + 90, parties=(
                PartyView(ME, "transferor", "Alice Morgan", "talking" if supervised else "gone"),
                PartyView("caller", "caller", CALLER, "holding"),
                PartyView(request.target.value, "target", request.target.value, "ringing"),
            ),
        )  # fmt: skip
        return self.changed(view)

    def becomes(self, state: TransferState, transfer_id: str = "t1", **changes: Any) -> None:
        self.changed(
            replace(
                self.known[transfer_id], state=state, since=time.time(), hold_until=None, **changes
            )
        )

    def past(self, transfer_id: str, target: str, ago: float, state: TransferState,
             reason: str | None, agent: str = ME, caller: str = CALLER) -> None:  # fmt: skip
        when = _today(ago)
        self.changed(
            TransferView(
                id=transfer_id, agent=agent, group="sales", mode=Mode.SUPERVISED,
                target=Target(TargetKind.AGENT, target), state=state, ended_reason=reason,
                caller=caller, since=when, started=when - 40,
                parties=(PartyView(target, "target", target, "gone"),),
            )
        )  # fmt: skip


def _today(ago: float) -> float:
    """So many seconds ago; shortly after midnight less, since the page shows this day only."""
    now = time.time()
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006 - the page's own day
    of_today = now - midnight.timestamp()
    return now - (ago if ago < of_today else of_today * ago / (ago + 600))


def formatted(view: TransferView) -> TransferView:
    """With the numbers as people of the client's country write them."""
    parties = tuple(
        replace(party, name_formatted=shown(party.name, "US"))
        if party.role in ("caller", "fourth")
        or (party.role == "target" and party.name.startswith("+"))
        else party
        for party in view.parties
    )
    return replace(view, caller_formatted=shown(view.caller, "US"), parties=parties)


def as_the_core_shows(view: TransferView, permissions: Sequence[str]) -> TransferView:
    """With what the core says of such a transfer: who hears what, and what may be asked for."""
    if view.state.final:
        return replace(view, actions=())
    queued = {TransferState.WAITING: State.QUEUED, TransferState.RINGING: State.OFFERED}
    alone = view.mode is Mode.UNSUPERVISED
    fourth = {
        party.role: sessions.IN if party.state == "talking" else sessions.OUT
        for party in view.parties
    }.get("fourth")
    made = sessions.session(
        queued[view.state] if alone else State(view.state.value),
        mode=view.mode,
        target=view.target,
        fourth=fourth,
    )
    features = Features(**{name: name in permissions for name in SWITCHES})
    engine = TransferEngine(
        World(groups={"sales": replace(sessions.SALES, features=features)}), lambda: "new"
    )
    roles = {"transferor": made.transferor, "caller": made.caller, "target": made.leg}
    on_hold = {roles[party.role].channel for party in view.parties if party.state == "on_hold"}
    engine.store.adopt(replace(made, on_hold=frozenset(on_hold)), 0.0, Outcome())
    shown = transfer_view(engine, engine.store.records[made.id])
    heard = {party.role: party.hears for party in shown.parties}
    parties = tuple(replace(party, hears=heard[party.role]) for party in view.parties)
    music = "music" in heard.get("caller", ())
    since = (view.music_since or view.since) if music else None
    return replace(view, actions=shown.actions, parties=parties, music_since=since)


async def super_request(office: Office, request: TransferRequest) -> None:
    """The checks of the scripted transfer service before it accepts a transfer."""
    from asterisk_avp.core.model.errors import AsteriskUnavailable, Refused
    from asterisk_avp.core.policy.policy import refused

    office.requests.append(request)
    if not office.connected:
        raise AsteriskUnavailable("ARI is not connected")
    agent = office.agent(request.agent)
    if agent.call is None:
        raise Refused("no_active_call", "You have no call to transfer.")
    target = office.views.get(request.target.value)
    if target is not None and target.paused:
        raise refused("target_not_ready")
    if target is not None and target.waiting_transfer:
        raise refused("target_queue_full")


def consult(
    office: OpenOffice,
    state: TransferState,
    *more: PartyView,
    transfer_id: str = "t1",
    on_hold: str = "",
) -> None:
    """Alice's transfer to Bob, usually her first, is in a state in which they talk.

    ``on_hold``: the id of a party that has put the call on hold.
    """
    said = {on_hold: "on_hold"}
    office.office.becomes(
        state,
        transfer_id,
        parties=(
            PartyView(ME, "transferor", "Alice Morgan", said.get(ME, "talking")),
            PartyView("caller", "caller", CALLER, said.get("caller", "holding")),
            PartyView("1002", "target", "1002", said.get("1002", "talking")),
            *more,
        ),
    )


@dataclass
class OpenOffice:
    """An office behind a real port."""

    office: Office
    auth: Authenticator
    server: ApiServer
    access: PanelAccess

    @property
    def url(self) -> str:
        return self.server.url

    async def restart(self) -> None:
        """Restart the same server on the same port. Log-ins remain valid."""
        await self.server.stop()
        await self.start_again()

    async def start_again(self) -> None:
        app = create_app(self.office, self.auth, access=self.access)
        self.server = await serve(app, self.server.host, self.server.port)


@asynccontextmanager
async def opened(
    office: Office, access: PanelAccess | None = None, users: Mapping[str, str] | None = None
) -> AsyncIterator[OpenOffice]:
    """``access`` and ``users``: who may embed the panel, and who a proxy's users are."""
    auth = Authenticator(tokens=[INTEGRATION], pins=office.pins, users=users)
    access = access or PanelAccess()
    server = await serve(create_app(office, auth, access=access), "127.0.0.1", 0)
    serving = OpenOffice(office, auth, server, access)
    try:
        yield serving
    finally:
        await serving.server.stop()


@asynccontextmanager
async def open_office(
    permissions: Sequence[str] = EVERYTHING,
    access: PanelAccess | None = None,
    users: Mapping[str, str] | None = None,
) -> AsyncIterator[OpenOffice]:
    async with opened(Office(permissions=tuple(permissions)), access, users) as office:
        yield office
