"""Asterisk's configuration files: its syntax rules, and robustness against any text."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asterisk_avp.install.asterisk_conf import Conf, parse, read


def conf(text: str, **files: str) -> Conf:
    """Read ``text``, which may include ``files``; ``_`` in their names is a dot."""
    texts = {name.replace("_", "."): textwrap.dedent(more) for name, more in files.items()}
    texts["main.conf"] = textwrap.dedent(text)
    return parse("main.conf", lambda name: [(name, texts[name])] if name in texts else [])


def pairs(read: Conf, section: str) -> list[tuple[str, str]]:
    return [(line.name, line.value) for found in read.named(section) for line in found.lines]


def faults(read: Conf) -> list[str]:
    return [f"{fault.where}: {fault.what}" for fault in read.faults]


def test_lines() -> None:
    found = conf(
        """\
        [a]
        one = 1
        two=>2
          three   =>   3 = 3
        exten => 1,1,Set(X=y)
        empty =
        nothing here
        """
    )
    assert pairs(found, "a") == [
        ("one", "1"),
        ("two", "2"),
        ("three", "3 = 3"),
        ("exten", "1,1,Set(X=y)"),
        ("empty", ""),
    ]
    assert faults(found) == []
    assert [str(line.place) for line in found.sections[0].lines][-1] == "main.conf:6"


def test_names_have_no_case_and_the_last_value_counts() -> None:
    (section,) = conf("[Agent]\nAllow=a\nallow=b\n").named("AGENT")
    assert section.all("allow") == ["a", "b"]
    assert section.last("allow") == "b"
    assert section.last("deny", "c") == "c"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1 ; comment", [("a", "1")]),
        (";a=1", []),
        (r"a=1\;2 ; 3", [("a", "1;2")]),
        ("a=1\n;--\nb=2\n--;\nc=3", [("a", "1"), ("c", "3")]),
        ("a=1;-- hidden --;2", [("a", "12")]),
        (";-- a=1 ; still hidden\n--;b=2", [("b", "2")]),
        (";--\n;-- within\n--;\na=1\n--;\nb=2", [("b", "2")]),  # they can be nested
        (";--- a line, no block\na=1", [("a", "1")]),
        ("a=1\n;--\nb=2", [("a", "1")]),  # never closed
        ("a=1 --;\nb=2", [("a", "1 --;")]),  # never opened: Asterisk treats the rest as one
        (r"\[a]=1", [("[a]", "1")]),
        (r"\#a=1", [("#a", "1")]),
        ("a=1\na+=,2\nb+=3", [("a", "1,2"), ("b", "3")]),
        ("\ta\t=\t1\t\r", [("a", "1")]),
        ("=1", []),
    ],
)
def test_comments_and_escapes(text: str, found: list[tuple[str, str]]) -> None:
    assert pairs(conf(f"[s]\n{text}\n"), "s") == found


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a=1\na=2\na=1\na+=3", ["13", "2", "1"], ["1", "2", "13"]),
        ("a=x\nA=X\na=X\na+=y", ["Xy", "X", "X"], ["x", "X", "Xy"]),
        ("a=1\na=\na+=2", ["2", ""], ["1", "2"]),
        ("a=1\na=2\na+=3", ["1", "23"], ["1", "23"]),
    ],
)
def test_an_addition_behind_equal_lines(text: str, first: list[str], last: list[str]) -> None:
    """Up to Asterisk 22 the first of them changes, from 23 on the last (ast_variable_update)."""
    for takes_last, values in ((False, first), (True, last), (None, first)):
        found = parse("x", lambda _: [("x", f"[s]\n{text}\n")], takes_last=takes_last)
        (section,) = found.sections
        assert section.all("a") == values
        # An unknown version is said, where it makes a difference.
        assert [fault.harmless for fault in found.faults] == (
            [True] if takes_last is None and first != last else []
        )


def test_the_line_that_counts() -> None:
    (section,) = conf("[general]\nX = 1\ny = 0\nx = 2\nx = 3\n").sections
    values = {
        last: [line.value for line in section.retrieved("x", takes_last=last)]
        for last in (False, True, None)
    }
    assert values == {False: ["1"], True: ["3"], None: ["1", "3"]}
    assert [line.value for line in section.retrieved("y", takes_last=None)] == ["0"]
    assert section.retrieved("z", takes_last=True) == []


def test_templates() -> None:
    found = conf(
        """\
        [base](!)
        type = endpoint
        context = one
        [more](!,base)
        context = two
        [1001](more)
        set_var = A=1
        [1002](base,more)
        [1002](1001)
        type = auth
        """
    )
    one, two, three = (section for section in found.sections if not section.template)
    assert (one.last("type"), one.last("context")) == ("endpoint", "two")
    assert two.all("context") == ["one", "one", "two"]
    assert (three.name, three.last("type"), three.last("set_var")) == ("1002", "auth", "A=1")
    assert list(found.named("base")) == []
    # Inherited lines are in the template's place.
    assert [line.place.line for line in one.lines] == [2, 3, 5, 7]


def test_additions() -> None:
    found = conf(
        """\
        [1001]
        type = endpoint
        [1001]
        type = auth
        [1001](+type=auth)
        password = x
        [1001](+)
        context = one
        [t](!)
        a = 1
        [t](+TEMPLATES=include)
        b = 2
        [1002](t)
        """
    )
    endpoint, auth = found.named("1001")
    assert (endpoint.last("context"), auth.last("password")) == ("one", "x")
    assert pairs(found, "1002") == [("a", "1"), ("b", "2")]
    # Inheritance copies the lines: an addition to the template comes too late.
    later = conf("[t](!)\na=1\n[x](t)\n[t](+TEMPLATES=include)\nb=2\n")
    assert pairs(later, "x") == [("a", "1")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a\nb=1", "main.conf:1: Asterisk rejects this file: the section name has no closing ]"),
        (
            "[a](b\n",
            "main.conf:1: Asterisk rejects this file: the section options have no closing )",
        ),
        (
            "[a](b)",
            "main.conf:1: Asterisk rejects this file: it inherits from [b], which does not exist",
        ),
        ("[a](+)", "main.conf:1: Asterisk rejects this file: it adds to [a], which does not exist"),
        (
            "[a](!)\n[a](+)",
            "main.conf:2: Asterisk rejects this file: it adds to [a], which does not exist",
        ),
        (
            "[a]\nb=(\n[a](+b=()",
            "main.conf:3: Asterisk rejects this file: it adds to [a], which",
        ),
        (
            "a=1",
            "main.conf:1: Asterisk rejects this file: a line stands before the first section",
        ),
        (
            "#include x",
            "main.conf:1: Asterisk rejects this file: the file x does not exist",
        ),
        ("#include main.conf", "main.conf: includes itself"),
        ("#exec /bin/x", "main.conf:1: #exec /bin/x is not run here, so its output is unknown"),
    ],
)
def test_what_asterisk_does_not_take(text: str, fault: str) -> None:
    found = faults(conf(text))
    assert len(found) >= 1
    assert found[0].startswith(fault)


def test_what_asterisk_passes_over() -> None:
    found = conf("#tryinclude x\n#unknown y\n#include\n[a](\t)\n")
    assert [fault for fault in faults(found) if "inherit" not in fault] == []


def test_includes() -> None:
    found = conf(
        """\
        [a]
        one = 1
        #include "b.conf"
        two = 2
        #TRYINCLUDE <none.conf>
        #tryinclude c.conf
        """,
        b_conf="within = a\n[b]\nthree = 3\n",
        c_conf="four = 4\n",
    )
    # An included file continues the section before it; the including file continues its own.
    assert pairs(found, "a") == [("one", "1"), ("within", "a"), ("two", "2")]
    # The section that was opened last is now b.
    assert pairs(found, "b") == [("three", "3"), ("four", "4")]
    assert {str(line.place) for line in found.sections[1].lines} == {"b.conf:3", "c.conf:1"}
    assert faults(found) == []


def test_includes_go_ten_levels_deep() -> None:
    files = {f"x{i}": f"[x{i}]\n#include x{i + 1}\n" for i in range(1, 12)}
    found = conf("#include x1\n", **files)
    assert [section.name for section in found.sections] == [f"x{i}" for i in range(1, 11)]
    (fault,) = faults(found)
    assert fault.startswith("x10:2: ")
    # However often a file includes itself and others, it is read once per path.
    files = {f"x{i}": "".join(f"#include x{j}\n" for j in range(4)) for i in range(4)}
    assert {fault.what for fault in conf("#include x0\n", **files).faults} == {"includes itself"}


def test_files(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1.conf").write_text("[one]\na=1\n#include two.conf\n")
    (tmp_path / "parts" / "2.conf").write_bytes(b"[\xfcml]\nb=2\n")
    (tmp_path / "two.conf").write_text("b=3\n")
    (tmp_path / "main.conf").write_text("\ufeff[a]\n#include parts/*.conf\n", encoding="utf-8")
    (tmp_path / "abs.conf").write_text(f"#include {tmp_path}/parts/1.conf\n")
    (tmp_path / "dir.conf").write_text("#include parts\n")
    found = read(tmp_path, "main.conf")
    assert [section.name for section in found.sections] == ["a", "one", "\ufffdml"]
    assert pairs(found, "one") == [("a", "1"), ("b", "3")]
    assert {str(line.place) for line in found.sections[1].lines} == {"parts/1.conf:2", "two.conf:1"}
    assert pairs(read(tmp_path, "abs.conf"), "one") == [("a", "1"), ("b", "3")]
    assert len(read(tmp_path, "dir.conf").faults) == 1
    missing = read(tmp_path, "none.conf")
    assert (missing.found, missing.sections, missing.faults) == (False, (), ())


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main.conf").write_text("[a]\n")
    (tmp_path / "main.conf").chmod(0)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr(Path, "read_text", refuse)
    found = read(tmp_path, "main.conf")
    assert faults(found) == ["main.conf: cannot be read: Permission denied"]
    monkeypatch.setattr(Path, "exists", refuse)  # a directory without x
    assert faults(read(tmp_path, "main.conf")) == ["main.conf: cannot be read: Permission denied"]


# The disk may be slow and the machine busy.
WITHOUT_HURRY = settings(deadline=None)

# Text that resembles a configuration file.
BITS = st.one_of(
    st.sampled_from('[]()!+ab=;-\\\n\t "<>*&\0\x85'),
    st.sampled_from(("=>", ";--", "--;", "#include ", "#tryinclude ", "#exec ", "main.conf", "(+")),
)
TEXTS = st.one_of(st.text(), st.lists(BITS, max_size=60).map("".join))


@WITHOUT_HURRY
@given(TEXTS)
@example("[a](!,+,a,+a=b)\n")
@example("#include \0\n")
def test_no_text_is_too_much(text: str) -> None:
    found = conf(text)
    for section in found.sections:
        for line in section.lines:
            assert line.name
            assert 0 < line.place.line <= text.count("\n") + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("etc")


@WITHOUT_HURRY
@given(text=TEXTS)
@example(text="#include \0\n")
@example(text="#include [\n")
@example(text="#include *\n")
@example(text="#include " + "x" * 5000 + "\n")
def test_no_file_is_too_much(folder: Path, text: str) -> None:
    (folder / "main.conf").write_text(text, encoding="utf-8", errors="replace")
    read(folder, "main.conf")


@WITHOUT_HURRY
@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.lists(
            st.tuples(st.text("xyz", min_size=1), st.text("uvw=> ,()", max_size=9)), max_size=4
        ),
        max_size=4,
    ),
    st.sampled_from(["=", " = ", "=>", " => "]),
)
def test_what_is_written_is_read(sections: dict[str, list[tuple[str, str]]], equals: str) -> None:
    text = "".join(
        f"[{name}]  ; {name}\n" + "".join(f"{key}{equals}{value}\n" for key, value in lines)
        for name, lines in sections.items()
    )
    found = conf(text)
    for name, lines in sections.items():
        wanted = []
        for key, value in lines:
            kept = value.removeprefix(">") if equals == "=" else value
            wanted.append((key, kept.strip()))
        assert pairs(found, name) == wanted
