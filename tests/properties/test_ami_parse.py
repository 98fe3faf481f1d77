"""Messages of AMI are parsed alike by the short way and by the long one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.ami.wire import FrameReader, parse_message

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
words = st.sampled_from(("Event", "Response", "ActionID", "Variable", "A:B", "A", "", " ", ":"))
separators = st.sampled_from((": ", ":", " ", " : ", ":  "))
values = st.text(st.sampled_from("ab: \t\r\né"), max_size=6)
lines = st.builds("{}{}{}".format, words, separators, values)


def reference(block: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for line in block.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name, []).append(value[1:] if value[:1] == " " else value)
    return {name: "\n".join(each) for name, each in found.items()}


@given(st.lists(lines, max_size=6))
def test_as_line_by_line(some: list[str]) -> None:
    block = "\r\n".join(some)
    assert parse_message(block) == reference(block)


@given(st.lists(lines, max_size=8), st.lists(st.integers(1, 40), max_size=5))
def test_whatever_the_segments_are(some: list[str], cuts: list[int]) -> None:
    data = GREETING + "\r\n".join((*some, "", "")).encode()
    whole = FrameReader().feed(data)
    reader, read, at = FrameReader(), [], 0
    for size in (*cuts, len(data)):
        read += reader.feed(data[at : at + size])
        at += size
    assert read == whole
