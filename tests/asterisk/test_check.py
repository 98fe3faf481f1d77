"""Asterisk's configuration files as we parse them, compared with Asterisk itself."""

from __future__ import annotations

import pytest
from bed import ActionFailed, Bed

from asterisk_avp.install.asterisk_conf import read

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

# A line or two for every rule; a reader could get each one wrong.
TRICKY = """\
[a](!)
x = 1
y => 2 ; comment
[b](a) anything
x += ,4
z+=5
;--
[hidden]
;-- nested --;
--;
v=a\\;b
w=1;-- within --;2
;--- a line
[b](+)
\\[q] = 3
\\#r => 4
u = => 5
t =>> 6
no sign
[c](!,a,b)
[B]
x=1
x=2
x=1
x+=3
[b](+x=2)
chosen = this
[a](+TEMPLATES=include)
late = yes
[d] (a)
#include included.conf
after = include
#tryinclude none.conf
#unknown
s = 1 --;
lost = after an end without a begin
"""
INCLUDED = """\
first = into the section that was opened last
[e](c)
"""
BROKEN = ("x = 1", "[a", "[a](b)", "[a](+)", "[a](!)\n[a](+)", "#include none.conf", "[a](b")

Sections = list[tuple[str, bool, list[tuple[str, str]]]]


async def asterisks(bed: Bed, file: str) -> Sections:
    """Name, template flag and lines of each section."""
    answer = await bed.ami.action("GetConfig", Filename=file, Filter="TEMPLATES=include")
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    templates = set()
    for key, value in answer.items():
        kind, _, number = key.partition("-")
        if kind == "Category":
            found[number] = (value, [])
        elif kind == "IsTemplate":
            templates.add(number)
        elif kind == "Line":
            name, _, rest = value.partition("=")
            found[number.partition("-")[0]][1].append((name, rest))
    return [(name, number in templates, lines) for number, (name, lines) in found.items()]


def ours(bed: Bed, file: str) -> Sections:
    conf = read(bed.directory / "etc", file)
    return [(s.name, s.template, [(x.name, x.value) for x in s.lines]) for s in conf.sections]


async def test_a_file_of_all_rules(bed: Bed) -> None:
    etc = bed.directory / "etc"
    (etc / "tricky.conf").write_text(TRICKY)
    (etc / "included.conf").write_text(INCLUDED)
    expected = await asterisks(bed, "tricky.conf")
    assert [name for name, _, _ in expected] == ["a", "b", "c", "B", "d", "e"]
    assert ours(bed, "tricky.conf") == expected


async def test_the_files_of_this_call_centre(bed: Bed) -> None:
    for file in ("pjsip.conf", "extensions.conf", "queues.conf", "features.conf"):
        expected = await asterisks(bed, file)
        assert expected
        assert ours(bed, file) == expected


async def test_what_asterisk_does_not_take(bed: Bed) -> None:
    for text in BROKEN:
        (bed.directory / "etc" / "broken.conf").write_text(f"{text}\n")
        with pytest.raises(ActionFailed):
            await asterisks(bed, "broken.conf")
        (fault,) = read(bed.directory / "etc", "broken.conf").faults
        assert "Asterisk rejects this file" in fault.what
