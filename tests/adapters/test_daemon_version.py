"""The daemon's log about Asterisk's version, with a server over a real connection."""

from __future__ import annotations

import asyncio

from servers.ari_server import Answer, AriServer
from structlog.testing import capture_logs

from asterisk_avp.ari.client import AriClient
from asterisk_avp.core.model.world import Readiness
from asterisk_avp.service.links import Links
from asterisk_avp.service.readiness import ReadinessWatch, VersionWatch


class Connection:
    """Of which there are two, that come and go together."""

    connected = stuck = False

    def is_now(self, connected: bool, watch: VersionWatch) -> None:
        self.connected = connected
        watch.connected()


def info(version: object) -> Answer:
    return Answer(200, {"system": {"version": version}})


async def told(*answers: Answer) -> list[tuple[str, str]]:
    """Event and problem of each record, for as many connections as there are answers."""
    async with AriServer() as server:
        client = AriClient(server.url, server.username, server.password, "asterisk_avp")
        links = Connection()
        watch = VersionWatch(client.asterisk, Links(links, links))
        with capture_logs() as records:
            for answer in answers:
                server.answers["GET", "/asterisk/info"] = answer
                links.is_now(True, watch)
                asking = watch._asking
                watch.connected()  # AMI's news, say
                assert watch._asking is asking
                assert asking is not None
                await asking
                links.is_now(False, watch)
        await client.close()
        assert len(server.asked) == len(answers)
    return [(record["event"], record.get("problem", "")) for record in records]


async def test_the_troubles_of_each_connection_are_told() -> None:
    assert await told(info("22.10.1+dfsg+~cs6.17.60671434-1"), info("22.2.0"), info("22.11.0")) == [
        ("asterisk_version", ""),
        ("asterisk_version_warning", "refer_sub_crash"),
        ("asterisk_version", ""),
        ("asterisk_version_warning", "no_ari_only"),
        ("asterisk_version", ""),
    ]


async def test_a_version_that_is_not_known() -> None:
    unknown = ("asterisk_version_warning", "unknown_version")
    assert await told(info("GIT-22-5a2b3c4d5e")) == [("asterisk_version", ""), unknown]
    assert await told(Answer(200, {})) == [("asterisk_version", ""), unknown]
    assert await told(Answer(500)) == [("asterisk_version_unknown", "")]


async def test_the_end_of_a_connection_ends_the_question() -> None:
    async with AriServer() as server:
        server.answers["GET", "/asterisk/info"] = Answer(200, {}, hold=asyncio.Event())
        client = AriClient(server.url, server.username, server.password, "asterisk_avp")
        links = Connection()
        watch = VersionWatch(client.asterisk, Links(links, links))
        with capture_logs() as records:
            links.is_now(True, watch)
            asking = watch._asking
            assert asking is not None
            links.is_now(False, watch)
            await asyncio.wait([asking])
        assert asking.cancelled()
        assert records == []
        await client.close()


async def test_other_versions_are_named_and_too_old_ones_refused() -> None:
    no_button = ("asterisk_version_warning", "no_ari_only")
    for version, problems in (
        ("13.38.3", ["too_old"]),
        ("16.28.0~dfsg-0+deb11u4", ["not_maintained", "no_ari_only"]),
        ("18.26.4", ["not_maintained", "no_ari_only"]),
        ("20.21.0", []),
        ("21.7.0", ["security_only", "no_ari_only"]),
        ("23.5.0", []),
        ("24.0.0", ["not_tested"]),
    ):
        records = await told(info(version))
        assert [problem for _, problem in records[1:]] == problems, version
        assert no_button not in records or "no_ari_only" in problems


class Healthy:
    """Both connections stand, and everything has been read."""

    connected = True
    trouble = ""
    silent = stuck = False
    synced = True


async def test_on_one_that_is_too_old_nothing_is_ready_until_it_is_upgraded() -> None:
    async with AriServer() as server:
        client = AriClient(server.url, server.username, server.password, "asterisk_avp")
        published: list[Readiness] = []
        healthy = Healthy()

        def changed() -> None:
            ready.changed()

        links = Connection()
        watch = VersionWatch(client.asterisk, Links(links, links), changed)
        ready = ReadinessWatch(healthy, healthy, healthy, watch, asyncio.Event(), published.append)
        for version in ("13.38.3", "22.11.0"):
            server.answers["GET", "/asterisk/info"] = info(version)
            links.is_now(True, watch)
            assert watch._asking is not None
            await watch._asking
            links.is_now(False, watch)
        await client.close()
    refused, taken = published
    assert not refused.ready
    assert refused.detail.startswith("Asterisk 13.38.3: It is too old for session transfer")
    assert "Upgrade to Asterisk 22" in refused.detail
    assert refused.reason == "version"
    assert taken.ready
    assert (taken.detail, taken.reason) == ("", "")
