"""Join the panel's modules into one script, so that a slow line waits for one file and not for 20.

The sources stay plain ES modules, which run as they are. Each becomes a block of one module: its
imports are constants at the block's beginning, its exports the fields of an object. A module that
imports one which in turn imports it gets those names when the other one begins (functions) and has
run (the rest); it must not use them before, which ECMAScript allows for functions.

Understood are ``import {a, b as c} from "./x.js"``, ``import * as x from "./x.js"``,
``import "./x.js"``, and ``export`` before const, class and function. `BundleError` says what is
not; the panel's tests run on the bundle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from posixpath import dirname, join, normpath

_IMPORT = re.compile(
    r"^import\s+(?:(?:\{(?P<names>[^}]*)\}|\*\s+as\s+(?P<whole>[\w$]+))\s*from\s*)?"
    r'"(?P<path>\./[\w./-]+)";[^\S\n]*$',
    re.MULTILINE,
)
_EXPORT = re.compile(
    r"^export\s+(?P<declared>(?:async\s+)?function\*?|const|class)\s+(?P<name>[\w$]+)", re.MULTILINE
)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


class BundleError(ValueError):
    """A module cannot be joined with the others."""


def modules_of(files: Mapping[str, str], first: str) -> list[str]:
    """The modules that ``first`` imports and itself, in the order in which they run."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        if name not in files:
            raise BundleError(f"there is no {name}")
        for found in _IMPORT.finditer(files[name]):
            visit(_path(name, found["path"]))
        order.append(name)

    visit(first)
    return order


def bundle(files: Mapping[str, str], first: str) -> str:
    """One module that does what ``first`` does with all that it imports."""
    order = modules_of(files, first)
    variables = {name: f"$module{place}" for place, name in enumerate(order)}
    late: dict[str, list[str]] = {}
    """Module to what is to be done after it has run."""
    parts = [f"const {', '.join(f'{name} = {{}}' for name in variables.values())};"]
    for place, name in enumerate(order):
        text = files[name]
        before = set(order[:place])
        links = []
        for found in _IMPORT.finditer(text):
            path = _path(name, found["path"])
            if found["whole"]:
                links.append(f"const {found['whole']} = {variables[path]};")
            elif found["names"] and path in before:
                links.append(f"const {{ {_renamed(found['names'])} }} = {variables[path]};")
            elif found["names"]:
                link = f"$link{len(late)}_{place}"
                names = [one.partition(":")[2].strip() or one for one in _each(found["names"])]
                links.append(f"let {', '.join(names)};")
                set_them = f"({{ {_renamed(found['names'])} }} = {variables[path]});"
                links.append(f"{link} = () => {{ {set_them} }};")
                late.setdefault(path, []).append(link)
        body = _IMPORT.sub("", text)
        functions: list[str] = []
        others: list[str] = []
        for found in _EXPORT.finditer(body):
            (functions if "function" in found["declared"] else others).append(found["name"])
        body = _EXPORT.sub(r"\g<declared> \g<name>", body)
        other = _OTHER.search(body)
        if other:
            raise BundleError(f"{name}: not understood: {other[0]}")
        known = [f"{link}();" for link in late.get(name, ())]
        before_it = [_given(variables[name], functions), *known]
        after_it = [_given(variables[name], others), *known] if others else []
        parts.append(
            "\n".join((f"// {name}", "{", *links, *before_it, body.strip(), *after_it, "}"))
        )
    declared = [link for links in late.values() for link in links]
    if declared:
        parts.insert(0, f"let {', '.join(declared)};")
    return "\n".join(parts) + "\n"


def _given(variable: str, names: list[str]) -> str:
    return f"Object.assign({variable}, {{ {', '.join(names)} }});"


def _path(of: str, imported: str) -> str:
    return normpath(join(dirname(of), imported))


def _each(names: str) -> list[str]:
    """``a, b as c`` as ``a`` and ``b: c``."""
    found = (one.strip() for one in names.split(","))
    return [re.sub(r"\s+as\s+", ": ", one) for one in found if one]


def _renamed(names: str) -> str:
    return ", ".join(_each(names))
