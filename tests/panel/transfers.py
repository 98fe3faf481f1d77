"""Transfers of a simulated office in any state, as the core tells of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from asterisk_avp.api.broadcast import transfer_event
from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.engine.sessions import Outcome
from asterisk_avp.core.engine.views import transfer_view
from asterisk_avp.core.model.features import SWITCHES, Features
from asterisk_avp.core.model.world import (
    AgentState,
    CallView,
    Mode,
    TransferView,
    World,
)
from asterisk_avp.core.transfer.session import Presence
from asterisk_avp.core.transfer.states import State
from tests.core import sessions
from tests.panel.office import CALLER, EVERYTHING, ME, OpenOffice


@dataclass(frozen=True)
class Case:
    state: State
    mode: Mode
    fourth: Presence | None
    without: tuple[str, ...]


def view_of(case: Case, name: str) -> TransferView:
    """The transfer as the core tells of it."""
    permissions = set(EVERYTHING) - set(case.without)
    features = Features(**{switch: switch in permissions for switch in SWITCHES})
    made = sessions.session(case.state, mode=case.mode, fourth=case.fourth)
    engine = TransferEngine(
        World(groups={"sales": replace(sessions.SALES, features=features)}), lambda: "new"
    )
    engine.store.adopt(made, time.time(), Outcome())
    return replace(
        transfer_view(engine, engine.store.records[made.id]), id=name, started=time.time() - 30
    )


def call_of(view: TransferView | None, name: str = "chan-1", caller: str = CALLER) -> CallView:
    return CallView(name, caller, "sales", on_hold=view is not None, transfer=view)


def tell(office: OpenOffice, view: TransferView) -> None:
    office.office.known[view.id] = view
    office.office.publish(transfer_event(view))


def in_hand(office: OpenOffice, view: TransferView, *more: CallView) -> None:
    call = call_of(view)
    office.office.agent_changed(ME, state=AgentState.TALKING, call=call, calls=(call, *more))
