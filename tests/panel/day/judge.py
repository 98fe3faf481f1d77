"""Page against API: whether the page offers exactly what the API says can be done."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from bed.deadlines import deadline
from playwright.async_api import Page, WebSocket

from tests.asterisk.scene import Scene

ME: Final = "1001"
"""Alice, whose day it is."""
FINAL: Final = ("completed", "cancelled", "failed", "abandoned")
PLAIN: Final = ("complete", "cancel", "swap", "conference")

OFFERED = """() => {
    const all = (selector) => [...document.querySelectorAll(selector)]
        .filter(e => !e.disabled && !e.closest("[hidden]") && e.checkVisibility());
    const values = (selector) => all(selector).map(e => e.dataset.value || e.value).sort();
    const strips = {};
    for (const e of all(".strip [data-do=command]")) {
        (strips[e.closest("[data-transfer]").dataset.transfer] ||= []).push(e.dataset.value);
    }
    return {
        call: Boolean(document.querySelector("#bar")),
        commands: values("#running [data-do=command]"),
        add: all("[data-do=adding]").length > 0,
        drop: values("#running [data-do=drop]"),
        strips,
        targets: values("#transfer input[name=target]"),
        consult: values("#transfer .mini[data-do=consult]"),
        transfer: values("#transfer .mini[data-do=transfer]"),
        work: [["pause", "details[data-key=pause] > summary"], ["ready", "[data-do=ready]"],
            ["ready", "[data-do=keep-working]"], ["extend_acw", "[data-do=extend-acw]"]]
            .filter(([, selector]) => all(selector).length).map(([what]) => what).sort(),
    };
}"""


class Disagreement(AssertionError):
    """The page offers something else than the API."""


class Told:
    """What the page's stream of events has told of each agent, and when. Begin before it opens."""

    def __init__(self, page: Page) -> None:
        self._agents: dict[str, tuple[float, dict[str, Any]]] = {}
        page.on("websocket", self._opened)

    def of(self, agent: str) -> str:
        if agent not in self._agents:
            return "told nothing"
        at, shown = self._agents[agent]
        return f"told {time.monotonic() - at:.1f} s ago: {shown}"

    def _opened(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._heard)

    def _heard(self, frame: str | bytes) -> None:
        event = json.loads(frame)
        match event["type"]:
            case "snapshot" | "lists":
                if event.get("complete"):
                    self._agents.clear()
                for gone in event.get("gone", ()):
                    self._agents.pop(gone, None)
                found = event["agents"]
            case "agent":
                found = [event["agent"]]
            case _:
                return
        now = time.monotonic()
        self._agents |= {agent["id"]: (now, agent) for agent in found}


def present(transfer: dict[str, Any], role: str) -> bool:
    return any(p["role"] == role and p["state"] != "gone" for p in transfer["parties"])


@dataclass
class Judge:
    scene: Scene
    page: Page
    compared: int = 0
    told: Told = field(init=False)

    def __post_init__(self) -> None:
        self.told = Told(self.page)

    async def offers(self) -> dict[str, Any]:
        return await self.page.evaluate(OFFERED)  # type: ignore[no-any-return]

    async def allowed(self) -> dict[str, Any]:
        """What the page must offer, from the API alone."""
        me = await self.scene.agent(ME)
        transfers = {
            t["id"]: t
            for t in (await self.scene.api("GET", f"/v1/transfers?agent={ME}")).body
            if t["agent"] == ME and t["state"] not in FINAL
        }
        call = me["call"]
        own = call["transfer"] if call else None
        of_call = transfers.pop(own["id"], None) if own else None
        if of_call is None and not own:
            # Between the events of call and transfer: the transfer that the agent has in hand.
            of_call = next((t for t in transfers.values() if present(t, "transferor")), None)
            transfers.pop(of_call["id"] if of_call else "", None)
        actions = of_call["actions"] if of_call else []
        fourth = of_call is not None and present(of_call, "fourth")
        wanted: dict[str, Any] = {
            "call": bool(call or of_call),
            "commands": sorted(a for a in actions if a in PLAIN),
            "add": "add_party" in actions,
            "drop": sorted(a.partition(":")[2] for a in actions if a.startswith("drop_party:"))
            if fourth
            else [],
            "strips": {
                t["id"]: [a for a in ("complete", "cancel") if a in t["actions"]]
                for t in transfers.values()
                if {"complete", "cancel"} & set(t["actions"])
            },
            "work": sorted(self._work(me)),
        }
        wanted |= await self._targets(me, of_call)
        return wanted

    @staticmethod
    def _work(me: dict[str, Any]) -> set[str]:
        actions = set(me["work_actions"])
        work = {"pause"} & actions if me["state"] != "offline" else set()
        if me["paused"]:
            work |= {"ready"} & actions
        if me["acw_until"] and me["state"] == "acw":
            work |= {"extend_acw"} & actions
            if "end_acw" in actions and not me["paused"]:
                work.add("ready")
        return work

    async def _targets(self, me: dict[str, Any], of_call: object) -> dict[str, Any]:
        nothing: dict[str, Any] = {"targets": [], "consult": [], "transfer": []}
        if of_call is not None:
            return nothing
        targets = (await self.scene.api("GET", f"/v1/agents/{ME}/targets")).body
        may = targets["permissions"]
        if "session_transfer" not in may:
            return nothing
        agents, groups = set(), set()
        for group in targets["my_agent_groups"]:
            for listed in group["agents"]:
                agent = await self.scene.agent(listed["id"])
                away = agent["state"] in ("offline", "not_ready") or agent["paused"]
                if not away and not agent["waiting_transfer"]:
                    agents.add(f"agent:{agent['id']}")
        for group in targets["agent_groups"]:
            if group["logged_in"] and group["ready"]:
                groups.add(f"group:{group['id']}")
        presets = {f"preset:{preset['id']}" for preset in targets["external_presets"]}
        call = me["call"]
        begins = bool(call) and not call.get("consult") and not call.get("transferred")
        consult = agents | presets if begins else set()
        transfer = agents | groups if begins and "unsupervised_transfer" in may else set()
        return {
            "targets": sorted(agents | groups | presets),
            "consult": sorted(consult),
            "transfer": sorted(transfer),
        }

    async def agree(self) -> None:
        """Wait until page and API say the same. Raises `Disagreement`."""
        until = deadline(8.0)
        while True:
            before = await self.allowed()
            offered = await self.offers()
            if offered == before:
                self.compared += 1
                return
            if time.monotonic() > until:
                differ = {k: (offered[k], before[k]) for k in before if offered[k] != before[k]}
                why = await self._why(differ)
                raise Disagreement("\n".join((f"page, API: {differ}", *why)))
            await asyncio.sleep(0.1)

    async def _why(self, differ: dict[str, tuple[Any, Any]]) -> list[str]:
        """What the page was told of the agents about whom they differ, its rows, and the API."""
        keys = set[str]()
        for what in ("targets", "consult", "transfer"):
            page, api = differ.get(what, ((), ()))
            keys |= set(page) ^ set(api)
        lines = []
        for key in sorted(keys):
            row = self.page.locator(f'#transfer [data-key="{key}"]')
            lines.append(f"{key}: rows: {await row.all_inner_texts()}")
            kind, _, one = key.partition(":")
            if kind == "agent":
                lines += [f"  page: {self.told.of(one)}", f"  API: {await self.scene.agent(one)}"]
        return lines
