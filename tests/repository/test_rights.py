"""`rights` has every action and every event class that the code uses, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import asterisk_avp
from asterisk_avp.ami.client import DEFAULT_EVENTS
from asterisk_avp.ami.integrity import LISTED
from asterisk_avp.ami.translate import EVENTS as TRANSLATED
from asterisk_avp.ami.wire import name_of_unwanted
from asterisk_avp.core.pbx.ami_rights import ACTIONS, DANGEROUS, EVENTS, READ, WRITE
from asterisk_avp.install.ami_filters import daemon_lines

PACKAGE = Path(asterisk_avp.__file__).parent
_SENDERS = {"action", "list_action", "_try", "_reported", "_send"}
_CHECK_ONLY = {"ListCommands"}
"""Sent by `asterisk-avp check`; Asterisk requires no class for them."""


def sent() -> Iterator[str]:
    """The names of actions: first arguments, and values of variables of that name."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=name), args=[first, *_]) if name in _SENDERS:
                    yield from words(first)
                case ast.Assign(targets=[ast.Name(id="action")]) if "ami" in file.parts:
                    yield from words(node.value)
                case ast.For(target=ast.Name(id="action"), iter=ast.Tuple(elts=items)):
                    for item in items:
                        yield from words(item)


def words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
        yield node.value


def test_every_action_that_is_sent_has_its_classes_here() -> None:
    assert set(sent()) - _CHECK_ONLY == set(ACTIONS)


def test_every_class_is_used() -> None:
    assert ",".join(READ) == DEFAULT_EVENTS
    for name in WRITE:
        others = set(WRITE) - {name}
        assert any(classes and not classes & others for classes in ACTIONS.values())
    for classes in ACTIONS.values():
        assert not classes or classes & set(WRITE)
    assert not set(DANGEROUS) & set(ACTIONS)


def test_the_filters_pass_every_event_that_is_translated_and_no_other() -> None:
    assert EVENTS.keys() == TRANSLATED - LISTED
    wanted = {name.encode() for name in TRANSLATED}
    for name, header in EVENTS.items():
        text = f"Event: {name}\r\nPrivilege: call,all\r\n"
        assert name_of_unwanted(text.encode(), wanted) == (name.encode() if header else b"")
        assert not name_of_unwanted(f"{text}{header or 'Channel'}: x\r\n".encode(), wanted)


def test_the_test_bed_has_the_filters() -> None:
    text = (PACKAGE.parent / "docker" / "asterisk" / "manager.conf").read_text(encoding="utf-8")
    written = [line for line in text.splitlines() if line.startswith("eventfilter")]
    assert written == daemon_lines()
