"""A caller who leaves the transfer has the limit of their own call again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asterisk_avp.core.messages import effects as fx
from asterisk_avp.core.transfer import actions
from asterisk_avp.core.transfer.dialplan import LIMIT
from asterisk_avp.core.transfer.states import State
from tests.core.sessions import session

NOW = 1_800_000_000.0
LET_GO = (actions.complete, actions.return_to_transferor, actions.bridge_rest)


@pytest.mark.parametrize("let_go", LET_GO)
@pytest.mark.parametrize("ends_at", ["", str(int(NOW))])
def test_who_is_let_go_has_the_limit_of_their_own(let_go: object, ends_at: str) -> None:
    """Before the Bridge: afterwards nothing would remove our limit."""
    assert callable(let_go)
    leaving = replace(session(State.CONSULTING), variables={"AVP_ENDS_AT": ends_at})
    effects = let_go(leaving)
    assert isinstance(effects[-1], fx.BridgePair)
    (marked,) = [
        effect.variables
        for effect in effects
        if isinstance(effect, fx.SetVariables) and effect.channel == "chan-caller"
    ]
    assert marked[LIMIT] == "0"
    own = [effect for effect in effects if isinstance(effect, fx.LimitCall)]
    assert own == ([fx.LimitCall("chan-caller", NOW)] if ends_at else [])
