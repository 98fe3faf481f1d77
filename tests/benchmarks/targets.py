"""From a key in the panel's search to the hits, with up to 5,000 colleagues.

    tests/run bench targets [--agents 300 5000] [--keys 200]

Each size gets an office in this process and a panel in Chromium. Searches are typed and removed key
by key, during a call. Measured in the page: from the key's `input` event until the frame with the
hits has been painted, which waits for the screen's next frame (up to 17 ms). The ratio to the
smallest size says what a colleague costs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import expect

from tests.benchmarks.figures import conditions, percentile
from tests.panel.agent_page import AgentPage
from tests.panel.browser import chromium
from tests.panel.crowd import crowded_office
from tests.panel.office import ME

SEARCHES = ("jurgen kruger", "available", "group 17", "2081", "oyvind", "break", "nobody such")
GROUPS = 60
MEASURE = """() => {
    window.shown = [];
    let began = 0;
    const search = ({ target }) => target.id === "search";
    document.addEventListener("input", (event) => {
        if (search(event)) began = performance.now();
    }, true);
    // The page draws in a timeout that its own listener sets; this one runs after it. The task
    // after the next frame begins once that has been painted.
    const painted = new MessageChannel();
    painted.port1.onmessage = () => window.shown.push(performance.now() - began);
    window.addEventListener("input", (event) => {
        if (search(event)) setTimeout(() => {
            requestAnimationFrame(() => painted.port2.postMessage(null));
        });
    });
}"""


@dataclass
class Measured:
    agents: int
    to_result: list[float] = field(default_factory=list)
    """From each key to its hits, in ms."""

    def row(self, smallest: Measured) -> str:
        p50, p99 = (percentile(self.to_result, percent) for percent in (50, 99))
        return (
            f"| {self.agents:,} | {len(self.to_result)} | {min(self.to_result):.1f} | {p50:.1f} |"
            f" {p99:.1f} | {p50 / percentile(smallest.to_result, 50):.2f} |"
        )


async def measure(agents: int, keys: int) -> Measured:
    measured = Measured(agents)
    async with crowded_office(agents, GROUPS) as office, chromium() as browser:
        context = await browser.new_context(viewport={"width": 1366, "height": 768})
        panel = AgentPage(await context.new_page(), office.url)
        await panel.open()
        await panel.sign_in(ME)
        office.office.call_arrives()
        await expect(panel.page.locator(".row [data-do=consult]").first).to_be_enabled()
        await panel.page.evaluate(MEASURE)
        await panel.page.locator("#search").focus()
        pressed = 0
        while pressed < keys:
            for text in SEARCHES:
                for key in (*text, *(["Backspace"] * len(text))):
                    await panel.page.keyboard.press(key)
                    pressed += 1
                    await panel.page.wait_for_function(
                        "pressed => window.shown.length === pressed", arg=pressed
                    )
        measured.to_result = await panel.page.evaluate("window.shown")
    return measured


async def run(sizes: list[int], keys: int) -> str:
    load = os.getloadavg()[0]
    found = [await measure(agents, keys) for agents in sorted(sizes)]
    lines = [
        f"A call, {GROUPS} groups, 1366 x 768.",
        "",
        "| colleagues | keys | least ms | median ms | 99 % ms | ratio to the smallest |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *(measured.row(found[0]) for measured in found),
        "",
        *conditions("Chromium", "the API on this machine", load),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, nargs="+", default=[30, 300, 5000])
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    text = asyncio.run(run(options.agents, options.keys))
    print(text)
    if options.output:
        again = f"python -m tests.benchmarks.targets --output {options.output}"
        title = "# From a key to the targets found"
        options.output.write_text(f"{title}\n\nMade by\n\n    {again}\n\n{text}\n")


if __name__ == "__main__":
    main()
