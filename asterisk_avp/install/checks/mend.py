"""Where does a line for an endpoint belong? In the file, the row or the section that it is from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asterisk_avp.install.asterisk_conf import Section
from asterisk_avp.install.running.overlay import TABLE, WIZARD, is_in_pjsip_conf

_REWRITTEN: Final = {"pjsip.endpoint.conf": "pjsip.endpoint_custom_post.conf"}
"""Files that FreePBX and Issabel rewrite, each with the one that is the administrator's."""


def place_of(endpoint: Section) -> str:
    """The place of a finding about an endpoint, to which the lines of `addition` belong."""
    file = endpoint.place.file
    if is_in_pjsip_conf(endpoint):
        return _REWRITTEN.get(Path(file).name, "pjsip.conf")
    return file


def addition(endpoint: Section, *lines: str) -> tuple[str, ...]:
    """The ``lines`` as they are added to an endpoint that exists."""
    if is_in_pjsip_conf(endpoint):
        # Sections of other types, such as aor or auth, may have the endpoint's name.
        return (f"[{endpoint.name}](+type=endpoint)", *lines)
    if endpoint.place.file == WIZARD:
        return (f"[{endpoint.name}](+)", *(f"endpoint/{line}" for line in lines))
    if endpoint.place.file.startswith(TABLE):
        return (f"; in the columns of the row with id = '{endpoint.name}':", *lines)
    return (f"; where endpoint {endpoint.name} is configured:", *lines)


def by_place(found: Iterable[Section]) -> dict[str, list[Section]]:
    """Endpoints by the place of their findings."""
    places: dict[str, list[Section]] = {}
    for endpoint in found:
        places.setdefault(place_of(endpoint), []).append(endpoint)
    return places
