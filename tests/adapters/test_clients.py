"""Nothing that an agent receives mentions anything of another client.

The call centres are random (`tests/properties/clients.py`), and so are their transfers. Everything
that the API would send to an agent is searched for the words of other clients.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.api import schemas
from asterisk_avp.api.auth import Principal
from asterisk_avp.api.broadcast import agent_event, transfer_event
from asterisk_avp.api.clients import event_for
from asterisk_avp.api.event_cache import Rosters, SharedEvent
from asterisk_avp.api.events_ws import View
from asterisk_avp.api.lists import Lists, Shown
from asterisk_avp.api.schemas import agent_for_all, iso_time
from asterisk_avp.api.shown import ScopedResponses
from asterisk_avp.api.visibility import involves, redacted, visible_to
from asterisk_avp.core.engine import views
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.groups import group_view, membership
from asterisk_avp.core.engine.requests import CallVariables
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.errors import Refused
from asterisk_avp.core.model.work import GroupView, MembershipView
from asterisk_avp.core.model.world import (
    AgentView,
    Mode,
    Readiness,
    Target,
    TargetKind,
    TransferRequest,
    TransferView,
)
from asterisk_avp.core.pops.board import PopBoard
from asterisk_avp.core.pops.content import read
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.pops.reader import pop_event
from tests.core.test_tenants import GROUPS, two_clients, with_group
from tests.core.world import NOW, member, talk
from tests.properties.clients import Centre, centres

CALLER = "u-caller"


class Office:
    """An engine with its pops, and the API's port."""

    def __init__(self, made: TransferEngine) -> None:
        self.engine = made
        self.board = PopBoard(made, iso_time)
        self.board.started()
        self.told: list[tuple[str, Mapping[str, Any]]] = []

    def fact(self, *facts: ev.Fact) -> None:
        for fact in facts:
            self.board.observe(fact, NOW)
            self.follow(self.engine.fact(fact, NOW))

    def follow(self, outcome: Outcome) -> None:
        tellings, calls = self.board.refresh(outcome.agents, outcome.transfers, NOW)
        self.told += [(telling.agent, telling.pop) for telling in tellings]
        for call in calls:
            self.board.ledger.variables_read(call, read({"AVP_POP": '{"case": 4711}'}))
            self.follow(Outcome(agents=self.board.holders(call)))

    def pop(self, agent: str, call: str) -> Mapping[str, Any]:
        return self.board.shown(agent, call, NOW)

    # --- the API's port, as far as it is asked here ---------------------------------------------

    def readiness(self) -> Readiness:
        return Readiness(ready=True, ari=True, ami=True, synced=True)

    def agents(self) -> Sequence[AgentView]:
        return [self.agent(agent) for agent in sorted(self.engine.agents.by_id)]

    def roster(self) -> Sequence[AgentView]:
        by_id = self.engine.agents.by_id
        return [views.roster_view(self.engine, by_id[agent]) for agent in sorted(by_id)]

    def agent(self, agent_id: str) -> AgentView:
        return views.agent_view(self.engine, self.engine.agents.by_id[agent_id], self.pop)

    def transfers(self, agent_id: str | None = None) -> Sequence[TransferView]:
        store = self.engine.store
        found = store.records.values() if agent_id is None else store.involving(agent_id)
        return [views.transfer_view(self.engine, record) for record in found]

    def offered_pops(self, agent_id: str | None) -> Sequence[Mapping[str, Any]]:
        return [pop_event(one) for one in self.board.offered(agent_id)]

    def groups(self, agent_id: str | None) -> Sequence[GroupView]:
        agents = self.engine.agents
        own = agents.world.groups if agent_id is None else agents.groups_of(agent_id)
        return [group_view(agents, self.engine.waiting, group) for group in own]

    def membership(self, agent_id: str, group_id: str) -> MembershipView | None:
        agents = self.engine.agents
        return membership(agents, agents.by_id[agent_id], group_id)

    # --- what is sent -----------------------------------------------------------------------------

    def shown_to(self, viewer: str) -> Iterator[str]:
        """Everything that this agent could receive, as text."""
        engine, caller, scope = self.engine, Principal(viewer), self.engine.scope_of(viewer)
        view = View(self, caller, Rosters(agent_for_all), lambda: scope)  # type: ignore[arg-type]
        yield view.snapshot()
        yield from self.lists_of(viewer)
        for event in self.events():
            yield view.text(SharedEvent(event)) or ""
            yield json.dumps(visible_to(caller, event, scope))
        shown = ScopedResponses(engine.scope_of)
        roster = Rosters(lambda x: schemas.agent_out(x).model_dump(mode="json"))
        yield from (text for _, text in roster.texts(self.roster(), scope))
        yield shown.agent(caller, self.agent(viewer)).model_dump_json()
        yield json.dumps(asdict(views.targets_view(engine, viewer)))
        for transfer in self.transfers():
            if involves(transfer, viewer):
                yield shown.transfer(caller, transfer).model_dump_json()
        yield from (json.dumps(pop) for agent, pop in self.told if agent == viewer)

    def lists_of(self, viewer: str) -> Iterator[str]:
        """What a panel with the coalesced stream receives of others."""
        scope, own = self.engine.scope_of(viewer), self.engine.agents.groups_of(viewer)
        lists = Lists(
            lambda wanted: [
                agent_for_all(view) for view in self.roster() if set(view.groups) & set(wanted)
            ]
        )
        for group in self.engine.world.groups:
            lists.group({"id": group, "available": 1, "logged_in": 1, "ready": 1})
        shown = Shown(frozenset(filter(scope.group, own)), scope.groups)
        yield lists.complete(shown).decode("utf-8", "replace")
        for event in self.events():
            if event["type"] == "agent":
                lists.agent(redacted(event)["agent"])
        yield lists.batch(shown, 0).decode("utf-8", "replace")

    def events(self) -> list[Mapping[str, Any]]:
        agents = [agent_event(view) for view in self.agents()]
        return [*agents, *(transfer_event(view) for view in self.transfers())]


def move(office: Office, centre: Centre, session: str, taker: str, *, late: bool) -> None:
    """The transferred call reaches ``taker``, as Asterisk tells it.

    ``late``: AMI's word that it has come to the queue comes behind ARI's that it rings somebody.
    """
    made = office.engine.record(session).session
    office.follow(office.engine.report(session, SessionEvent(EventType.REDIRECTED), NOW))
    queue = made.target_destination.extension
    if made.permission.agent is not None:
        queue = f"avp-agent-{made.permission.agent}"
    joined, rung = (
        ev.QueueJoined(queue, CALLER),
        ev.AgentRung(queue, CALLER, f"PJSIP/{taker}"),
    )
    office.fact(
        ev.BridgeLeft(CALLER, f"b-{made.agent}"),
        ev.ChannelGone(f"u-{made.agent}"),
        *((rung, joined) if late else (joined, rung)),
        ev.QueueLeft(queue, CALLER),
        ev.AgentConnected(queue, CALLER, f"PJSIP/{taker}"),
        ev.ChannelSeen(f"u-{taker}", f"PJSIP/{taker}-00000003"),
        ev.BridgeEntered(f"u-{taker}", "b-taken"),
        ev.BridgeEntered(CALLER, "b-taken"),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Centre, str, str, list[Target], int]:
    centre = draw(centres())
    agent = draw(st.sampled_from([x for x, groups in centre.members.items() if groups]))
    group = draw(st.sampled_from([*(centre.members[agent] * 4), *centre.world.groups]))
    targets = [
        *(Target(TargetKind.GROUP, x) for x in centre.world.groups),
        *(Target(TargetKind.AGENT, x) for x in centre.members),
        *(Target(TargetKind.PRESET, x) for x in centre.world.presets),
    ]
    return centre, agent, group, draw(st.permutations(targets)), draw(st.integers(0, 9))


@given(histories())
def test_nothing_of_another_client_is_told(
    case: tuple[Centre, str, str, list[Target], int],
) -> None:
    centre, agent, group, targets, turn = case
    office = Office(centre.engine())
    talk(office.engine, agent, "caller", centre.world.groups[group].queue)
    if group not in centre.members[agent]:
        office.fact(ev.CallGroup(CALLER, group))
    office.follow(Outcome(agents=set(centre.members)))
    check(office, centre)
    for target in targets:
        mode = Mode.SUPERVISED if target.kind is TargetKind.PRESET else Mode.UNSUPERVISED
        if target.kind is TargetKind.AGENT and turn % 2:
            mode = Mode.SUPERVISED
        request = TransferRequest(agent, mode, target)
        try:
            session, outcome = office.engine.request(request, CallVariables(), NOW)
        except Refused:
            continue
        office.follow(outcome)
        check(office, centre)
        if mode is Mode.UNSUPERVISED:
            takers = [target.value]
            if target.kind is TargetKind.GROUP:
                takers = [x for x, groups in centre.members.items() if target.value in groups]
            if takers:
                move(office, centre, session.id, takers[turn % len(takers)], late=turn % 3 == 0)
                check(office, centre)
        break


def check(office: Office, centre: Centre) -> None:
    for viewer in centre.members:
        foreign = centre.foreign_words(viewer)
        for text in office.shown_to(viewer):
            # The caller's channel and the bridges are not named after anybody.
            found = {word for word in foreign if word in text}
            assert not found, (viewer, found, text)
        # And nothing that they may know is hidden.
        seen = json.loads(next(office.shown_to(viewer)))
        known = {x for x in centre.members if centre.knows_agent(x, centre.accounts_of(viewer))}
        assert {x["id"] for x in seen["agents"]} == known | {viewer}


# --- by example -----------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_a_call_that_is_handed_over_to_another_client_comes_from_nobody(late: bool) -> None:
    """`help` is shared with acme, whose agents beta's people do not thereby know."""
    office = Office(two_clients(with_group("help", shared_with=("acme",))))
    talk(office.engine, "1001", "caller", "sales", "sales")
    request = TransferRequest(
        "1001", Mode.UNSUPERVISED, Target(TargetKind.GROUP, "help"), "wants blue"
    )
    session, outcome = office.engine.request(request, CallVariables(), NOW)
    office.follow(outcome)
    members = {"1001": ("sales",), "2001": ("help",)}
    move(office, Centre(office.engine.world, members), session.id, "2001", late=late)
    (pop,) = {json.dumps(pop): pop for agent, pop in office.told if agent == "2001"}.values()
    assert pop["group"] == "help"
    assert (pop["note"], pop["data"]) == ("wants blue", {"case": 4711})
    (moved,) = pop["transfers"]
    assert (moved["from"], moved["from_name"], moved["note"]) == ("", "", "wants blue")
    # They know whose call it was.
    mine = ScopedResponses(office.engine.scope_of)
    view = views.transfer_view(office.engine, office.engine.record(session.id))
    assert mine.transfer(Principal("1001"), view).group == "sales"
    assert mine.transfer(Principal("1001"), view) == schemas.transfer_out(view)
    assert mine.transfer(Principal(None), view) == schemas.transfer_out(view)
    theirs = mine.transfer(Principal("2001"), view)
    assert (theirs.agent, theirs.group, theirs.parties[0].id) == ("", "", "")
    assert (theirs.parties[0].name, theirs.parties[0].role) == ("", "transferor")


def snapshots(view: View, events: list[Mapping[str, Any]]) -> list[bool]:
    return [view.outdated(event) for event in events]


def test_who_is_known_no_more_does_not_stay_on_the_screen() -> None:
    """An agent of two clients leaves one of them; earlier events about them become stale."""
    office = Office(two_clients())
    view = View(
        office, Principal("1001"), Rosters(agent_for_all), lambda: office.engine.scope_of("1001")
    )  # type: ignore[arg-type]
    assert '"3001"' in view.snapshot()
    event = agent_event(office.agent("3001"))
    assert not view.outdated(event)
    assert json.loads(view.text(event) or "")["agent"]["groups"] == ["sales"]
    world = office.engine.world
    office.engine.reconfigure(replace(world, agents={}), NOW)  # memberships only in the queues
    office.engine.agents.member_removed("sales", "PJSIP/3001")
    event = agent_event(office.agent("3001"))
    assert view.outdated(event)
    assert '"3001"' not in view.snapshot()
    assert view.text(event) is None
    assert not view.outdated(event)


def test_another_group_of_ones_own_shows_others() -> None:
    office = Office(two_clients())
    view = View(
        office, Principal("1001"), Rosters(agent_for_all), lambda: office.engine.scope_of("1001")
    )  # type: ignore[arg-type]
    assert '"2001"' not in view.snapshot()
    office.fact(member("1001", "help"))
    assert view.outdated(None)
    assert '"2001"' in view.snapshot()
    assert not view.outdated(None)
    # So does a new configuration.
    office.engine.reconfigure(with_group("lost", shared_with=("acme",)), NOW)
    assert view.outdated(None)
    assert '"4001"' in view.snapshot()


def test_an_integration_sees_all_clients() -> None:
    office = Office(two_clients())
    caller = Principal(None)
    seen = ScopedResponses(office.engine.scope_of)
    assert seen.scope(caller).unrestricted
    view = View(office, caller, Rosters(agent_for_all), lambda: seen.scope(caller))  # type: ignore[arg-type]
    agents = {x["id"] for x in json.loads(view.snapshot())["agents"]}
    assert agents == {"1001", "1002", "1003", "2001", "3001", "4001"}


def test_a_text_is_written_once_for_each_client() -> None:
    office = Office(two_clients())
    event = SharedEvent(agent_event(office.agent("3001")))
    texts = {
        x: event.text_for(Principal(x), office.engine.scope_of(x))
        for x in office.engine.agents.by_id
    }
    assert texts["1001"] is texts["1002"]
    assert json.loads(texts["1001"] or "")["agent"]["groups"] == ["sales"]
    assert json.loads(texts["2001"] or "")["agent"]["groups"] == ["help"]
    assert json.loads(texts["3001"] or "")["agent"]["groups"] == ["sales", "help"]
    assert texts["4001"] is None
    assert len(GROUPS) == 4
    assert event_for(event, office.engine.scope_of("4001")) is None
