#!/usr/bin/env python3
"""Start the demo call centre: Asterisk, the daemon and SIP phones. Returns when it is ready.

Prints addresses and tokens as KEY=value lines. docker/down ends it. With --nodes there are several
Asterisk, each with its phones and its daemon, and a NATS server: the usual lines are those of node
A, and others end in _A, _B, _C.

Environment: AVP_BED (docker or rootfs, as --backend), AVP_ROOTFS (a root file system with an
Asterisk of your own), AVP_CACHE (root file systems), AVP_STATE (instances of the docker backend),
AVP_NATS_SERVER (the program, with rootfs; default: this machine's, or Debian's package, which is
not installed).
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "asterisk"), str(ROOT)]

from bed import Backend, Bed, PhoneError, Unavailable, World, backend_named  # noqa: E402
from bed.nodes import Nodes, running  # noqa: E402
from bed.nodes_world import GROUPS  # noqa: E402
from bed.procs import forget_children  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--backend",
        choices=("docker", "rootfs"),
        help="default: docker if an engine answers and the images can be built, otherwise rootfs",
    )
    parser.add_argument("--instance", default="demo", help="name of this call centre")
    parser.add_argument(
        "--nodes",
        type=int,
        choices=(1, 2, 3),
        default=1,
        help="how many Asterisk are one call centre (default: 1)",
    )
    parser.add_argument("--no-phones", action="store_true", help="start no phones")
    parser.add_argument("--no-daemon", action="store_true", help="start Asterisk and phones only")
    return parser.parse_args()


def answering(world: World) -> frozenset[str]:
    """The demo's phones that answer by themselves: the agents' and the outside world's."""
    return frozenset((*(agent.id for agent in world.agents), *world.outside))


def show(values: Mapping[str, object]) -> None:
    for key, value in values.items():
        print(f"{key}={shlex.quote(str(value))}")


def describe(bed: Bed) -> dict[str, object]:
    """What a user of the call centre needs to know."""
    ports, log = bed.ports, bed.directory / "log"
    values: dict[str, object] = {
        "AVP_BED_INSTANCE": bed.name,
        "AVP_BED_BACKEND": bed.backend.name,
        "AVP_URL": bed.url,
        "AVP_TOKEN": bed.secrets.token,
        "AVP_SIP": f"127.0.0.1:{ports.sip}",
        "AVP_ARI": f"http://127.0.0.1:{ports.http}/ari",
        "AVP_ARI_USER": "avp",
        "AVP_ARI_PASSWORD": bed.secrets.ari,
        "AVP_AMI": f"127.0.0.1:{ports.ami}",
        "AVP_AMI_USER": "avp",
        "AVP_AMI_SECRET": bed.secrets.ami,
        "AVP_BED_PROBE_SECRET": bed.secrets.probe,
        "AVP_BED_DIR": bed.directory,
        "AVP_BED_LOG": log / "full.log",
        "AVP_BED_QUEUE_LOG": log / "queue_log",
        "AVP_BED_DAEMON_LOG": log / "daemon.log",
        "AVP_BED_PHONES": ",".join(bed.phones),
    }
    for name, phone in bed.phones.items():
        values[f"AVP_BED_PHONE_{name.upper()}"] = f"127.0.0.1:{phone.ports.control}"
    return values


def describe_nodes(nodes: Nodes) -> dict[str, object]:
    """Node A as if it were alone, and what each node has, with its letter."""
    values = describe(nodes.a)
    phones: dict[str, object] = {}
    for letter, node in nodes.nodes.items():
        end = f"_{letter.upper()}"
        own = {**describe(node)}
        shown = ("URL", "TOKEN", "SIP", "ARI", "ARI_PASSWORD", "AMI", "AMI_SECRET", "BED_INSTANCE")
        shown += ("BED_DIR", "BED_DAEMON_LOG", "BED_QUEUE_LOG", "BED_PHONES")
        values |= {f"AVP_{name}{end}": own[f"AVP_{name}"] for name in shown}
        if letter != "a":  # each node has an outside world of its own
            own = {key.replace("PHONE_PSTN", f"PHONE_PSTN{end}"): own[key] for key in own}
            phones |= {key: own[key] for key in own if key.startswith("AVP_BED_PHONE_")}
    return {**values, **phones, "AVP_NATS": f"127.0.0.1:{nodes.nats.port}"}


async def start_nodes(options: argparse.Namespace, backend: Backend, program: Path) -> None:
    nodes = Nodes(
        "abc"[: options.nodes],
        name=options.instance,
        backend=backend,
        outlive=True,
        program=program,
        relays=False,
        daemons=not options.no_daemon,
        groups=GROUPS[:2],
        qualify_frequency=World.demo().qualify_frequency,
    )
    try:
        await nodes.start(phones=())
        for node in nodes if not options.no_phones else ():
            auto = answering(node.world)
            local = node.world.local
            await asyncio.gather(
                *(node.start_phone(n, "auto" if n in auto else "manual") for n in local)
            )
            node.save()
    except BaseException:
        await nodes.stop()
        raise
    await nodes.detach()
    forget_children()
    show(describe_nodes(nodes))


def check_none_runs(backend: Backend, instance: str) -> None:
    """Raises `Unavailable` if the instance runs, on one Asterisk or on several."""
    there = running(backend, instance)
    if not there and (backend.directory(instance) / "instance.json").exists():
        asterisk = Bed.saved(instance, backend, World.demo()).asterisk
        there = asterisk is not None and asterisk.alive()
    if there:
        end = f"end it with docker/down --instance {instance}"
        raise Unavailable(f"instance {instance} is running already; {end}")


async def start(options: argparse.Namespace) -> None:
    program = Path(sys.executable).with_name("asterisk-avp")
    backend = backend_named(options.backend)
    check_none_runs(backend, options.instance)
    if options.nodes > 1:
        await start_nodes(options, backend, program)
        return
    world = World.demo()
    bed = Bed(world, name=options.instance, backend=backend, outlive=True, program=program)
    try:
        await bed.start(phones=())
        if not options.no_phones:
            auto = answering(world)
            await asyncio.gather(
                *(bed.start_phone(n, "auto" if n in auto else "manual") for n in world.accounts)
            )
            bed.save()
        if not options.no_daemon:
            await bed.start_daemon()
    except BaseException:
        await bed.stop()
        raise
    await bed.detach()
    forget_children()
    show(describe(bed))


def main() -> int:
    options = parse()
    try:
        asyncio.run(start(options))
    except (Unavailable, PhoneError, RuntimeError) as error:
        print(f"up: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("up: interrupted; everything that was started has ended", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
