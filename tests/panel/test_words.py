"""The page's words: `t`, plurals, values that are text, and values that are elements."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Route, expect

from asterisk_avp.api.broadcast import readiness_event
from asterisk_avp.api.languages import catalogues
from asterisk_avp.core.model.world import Readiness
from tests.panel.agent_page import AgentPage
from tests.panel.office import OpenOffice

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenPanel = Callable[..., Awaitable[AgentPage]]

WORDS = {
    "free.one": "{count} colleague free",
    "free.other": "{count} colleagues free",
    "named": "{name} hears {other}",
}


async def test_values_plurals_and_elements(office: OpenOffice, open_panel: OpenPanel) -> None:
    panel = await open_panel(office.url, None)

    async def with_more(route: Route) -> None:
        await route.fulfill(json=dict(catalogues()["en"]) | WORDS)

    await panel.page.route("**/languages/en.json", with_more)
    await panel.page.reload()
    found = await panel.page.evaluate(
        """async () => {
            const { t, parts, has, list } = await import("/panel/words.js");
            const time = document.createElement("time");
            const [first, , last] = parts("named", { name: time, other: "{name}" }).filter(Boolean);
            return {
                plurals: [0, 1, 2, 1234].map((count) => t("free", { count })),
                text: t("named", { name: "<b>", other: "{name}" }),
                element: first === time && last === "{name}",
                has: [has("named"), has("not there")],
                lists: [list([]), list(["Bob"]), list(["Bob", "Joan"])],
            };
        }"""
    )
    assert found == {
        "plurals": [
            "0 colleagues free",
            "1 colleague free",
            "2 colleagues free",
            "1,234 colleagues free",
        ],
        "text": "<b> hears {name}",
        "element": True,
        "has": [True, False],
        "lists": ["", "Bob", "Bob and Joan"],
    }
    assert panel.console_errors == []


async def test_a_key_without_words_is_shown_and_reported(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, None)
    shown = await panel.page.evaluate("import('/panel/words.js').then(({ t }) => t('no.words'))")
    assert shown == "no.words"
    assert panel.console_errors == ["The catalogue has no no.words"]


async def test_the_catalogue_is_fetched_once_and_again_if_it_did_not_arrive(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, None)
    asked: list[str] = []
    panel.page.on("request", lambda request: asked.append(request.url))
    await panel.page.reload()
    await expect(panel.page.get_by_label("Extension")).to_be_visible()
    assert len([url for url in asked if url.endswith("/languages/en.json")]) == 1, (
        "the preload and the fetch are one request"
    )
    assert panel.console_errors == []
    failures = iter(range(2))

    async def fails_twice(route: Route) -> None:
        if next(failures, None) is None:
            await route.fulfill(body=json.dumps(dict(catalogues()["en"])))
        else:
            await route.abort()

    await panel.page.route("**/languages/en.json", fails_twice)
    await panel.page.reload()
    await expect(panel.page.get_by_label("Extension")).to_be_visible()


async def test_why_no_transfer_is_accepted_is_said_in_the_agents_language(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, locale="fr-CA")
    banner = panel.page.locator("[data-key=banner]")
    stopping = Readiness(False, ari=True, ami=True, synced=True, detail="Stops.", reason="stopping")
    office.office.publish(readiness_event(stopping))
    await expect(banner).to_contain_text(catalogues()["fr"]["banner.why.stopping"])
    newer = Readiness(False, ari=True, ami=True, synced=True, detail="Something.", reason="new")
    office.office.publish(readiness_event(newer))
    await expect(banner).to_contain_text("Something.")
    assert panel.console_errors == []


async def test_a_refusal_is_said_in_the_agents_language(
    office: OpenOffice, open_panel: OpenPanel
) -> None:
    panel = await open_panel(office.url, None, locale="de-AT")
    await panel.sign_in("1001", "wrong")
    alert = panel.page.get_by_role("alert")
    await expect(alert).to_contain_text(catalogues()["de"]["errors.log_in_failed"])
