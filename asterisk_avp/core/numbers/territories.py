"""Territories with a numbering plan of their own in libphonenumber, and the country of each.

The settings decide which of them count as their country: a call may cost what a call abroad costs
(Jersey from Britain, the Faroes from Denmark), or nothing more than any other (Puerto Rico from
most of the US, which 47 U.S.C. 153 counts among the states; Réunion from most of France).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_OF: Final = {
    "US": "AS GU MP PR VI",
    "GB": "AC AI BM FK GG GI IM IO JE KY MS SH TA TC VG",
    "FR": "BL GF GP MF MQ NC PF PM RE WF YT",
    "AU": "CC CX NF",
    "DK": "FO GL",
    "FI": "AX",
    "NL": "AW BQ CW SX",
    "NO": "SJ",
    "NZ": "TK",
}

TERRITORIES: Final = {
    territory: country for country, territories in _OF.items() for territory in territories.split()
}
"""The country of each territory (both ISO 3166-1)."""


def country_of(region: str, domestic: Collection[str]) -> str:
    """The country that a region counts as where the ``domestic`` territories count as theirs."""
    return TERRITORIES[region] if region in domestic and region in TERRITORIES else region
