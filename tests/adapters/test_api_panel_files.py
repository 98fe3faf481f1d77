"""The panel's files as browsers get them: joined, compressed, cached for good."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
import pytest_asyncio
from api_client import Api, api_here

from asterisk_avp.api import panel
from asterisk_avp.api.assets import Assets
from asterisk_avp.api.bundle import BundleError, bundle, modules_of

ADDRESS = re.compile(r'(?:href|src)="(/[^"]+)"')


@pytest_asyncio.fixture(loop_scope="function")
async def api() -> AsyncIterator[Api]:
    async with api_here() as running:
        yield running


async def get(api: Api, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"Accept-Encoding": "identity"} | named
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(api.server.url + path, headers=named) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def page(api: Api) -> list[str]:
    """The addresses in index.html."""
    _, _, html = await get(api, "/")
    return ADDRESS.findall(html.decode())


async def test_a_page_needs_few_files_and_keeps_them_for_good(api: Api) -> None:
    found = await page(api)
    scripts = [path.rpartition("/")[2] for path in found if path.endswith(".js")]
    assert scripts == ["early.js", "index.bundle.js"]
    assert sum(path.endswith(".css") for path in found) == 1
    versions = set()
    for path in found:
        status, headers, body = await get(api, path)
        assert status == 200, path
        assert body
        assert "immutable" in headers["Cache-Control"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        versions.add(path.split("/")[2])
    (version,) = versions
    assert (await get(api, f"/panel/{'0' * len(version)}/main.bundle.js"))[0] == 404
    status, headers, _ = await get(api, "/")
    assert headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("br", False),
        ("", False),
        ("gzip;q=x", False),
    ],
)
async def test_compressed_for_whoever_takes_it(api: Api, accepted: str, packed: bool) -> None:
    for path in ["/", *await page(api), "/panel/main.js"]:
        _, _, plain = await get(api, path)
        status, headers, body = await get(api, path, Accept_Encoding=accepted)
        assert status == 200
        assert "Accept-Encoding" in headers["Vary"]
        if len(plain) < 400:
            continue
        assert (headers.get("Content-Encoding") == "gzip") is packed, path
        assert (gzip.decompress(body) if packed else body) == plain
        assert int(headers["Content-Length"]) == len(body)
        status, again, nothing = await get(
            api, path, Accept_Encoding=accepted, If_None_Match=headers["ETag"]
        )
        assert (status, again["ETag"], nothing) == (304, headers["ETag"], b"")
        assert (await get(api, path, If_None_Match='"other"'))[0] == 200


async def test_pages_in_another_language_are_other_pages(api: Api) -> None:
    _, headers, _ = await get(api, "/", Accept_Language="en")
    status, german, html = await get(api, "/", Accept_Language="de", If_None_Match=headers["ETag"])
    assert status == 200
    assert b'<html lang="de"' in html
    assert "Accept-Language" in german["Vary"]
    preloaded = re.search(rb'href="(/panel/\w+/languages/de.json)"', html)
    assert preloaded
    assert (await get(api, preloaded[1].decode()))[0] == 200


def test_another_content_has_another_address() -> None:
    html = b'<script type="module" src="/panel/a.js"></script>'
    one = Assets({"a.js": b"const a = 1;\n"}, {"index.html": html})
    other = Assets({"a.js": b"const a = 2;\n"}, {"index.html": html})
    assert one.version != other.version
    assert one.version.encode() in one.pages["index.html"]


# --- the bundle ----------------------------------------------------------------------------------

NODE = shutil.which("node")
MODULES = {
    "main.js": (
        'import { twice as double, One } from "./lib/math.js";\n'
        'import * as said from "./said.js";\n'
        'import "./effect.js";\n'
        "const list = [];\n"
        "export function hear(value) { list.push(value); }\n"
        "said.say(double(4), new One().value, said.WORD);\n"
        'console.log(list.join(" "));\n'
    ),
    "lib/math.js": (
        "const list = 3; // a name that others use too\n"
        "export const twice = (value) => value * 2;\n"
        "export class One { value = list - 2; }\n"
    ),
    # main.js and said.js import each other.
    "said.js": (
        'import {\n  hear,\n} from "./main.js";\n'
        'export const WORD = "word";\n'
        "export function say(...values) { values.forEach((value) => hear(value)); }\n"
    ),
    "effect.js": 'const late = await Promise.resolve("awaited");\nconsole.log(late);\n',
}  # fmt: skip


def test_modules_run_in_the_order_of_their_imports() -> None:
    assert modules_of(MODULES, "main.js") == ["lib/math.js", "said.js", "effect.js", "main.js"]


@pytest.mark.skipif(NODE is None, reason="needs Node.js; the panel's tests run the real bundle")
def test_a_bundle_does_what_its_modules_do() -> None:
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-"],
        input=bundle(MODULES, "main.js"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "awaited\n8 1 word\n"


@pytest.mark.parametrize(
    "text",
    [
        "export default 7;",
        "export let changes = 1;",
        'export { a } from "./b.js";',
        'import a from "./b.js";',
        'import { a } from "./missing.js";',
    ],
)
def test_what_cannot_be_joined_is_said(text: str) -> None:
    with pytest.raises(BundleError):
        bundle({"a.js": text + "\n", "b.js": ""}, "a.js")


def test_the_panels_own_modules_can_be_joined() -> None:
    scripts = {name: x.decode() for name, x in panel.files().items() if name.endswith(".js")}
    assert "main.js" in modules_of(scripts, "main.js")
    assert bundle(scripts, "main.js")


BUDGET = {"": 600, "css": 7_300, "js": 37_130, "json": 6_560, "svg": 400}
"""Bytes of the compressed answers by their kind; "" is the page. 50 kB take a second at 400 kbit/s.

Raise one only for something that agents need before they can sign in or take the first call.
"""


async def test_the_page_stays_light(api: Api) -> None:
    for path in ["/", *await page(api)]:
        _, _, body = await get(api, path, Accept_Encoding="gzip")
        kind = path.rpartition(".")[2] if path != "/" else ""
        assert len(body) <= BUDGET[kind], path
    assert sum(BUDGET.values()) < 52_000
