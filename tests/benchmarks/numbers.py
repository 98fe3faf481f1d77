"""The cost of a decision about a typed number, compared with libphonenumber alone.

    python -m tests.benchmarks.numbers [--rounds 60] [--calls 100] [--limit 1.25]

The comparison is phonenumbers' parse(), is_valid_number() and number_type() of the same text: the
minimum work, without the rules, the emergency numbers and the refusal of texts that merely contain
a number. Both take turns within one process, so that other load affects both alike. The figures are
medians of the rounds. The countries' data is loaded first.

`check` can be cheaper, because it looks up region and type only once. Refused texts are in the
table too, but not in the total ratio, because libphonenumber has no such answer.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import NumberParseException

from asterisk_avp.core.numbers.rules import check


class Case(NamedTuple):
    what: str
    text: str
    country: str
    expected: str = "ok"


CASES: Final = (
    Case("national, US", "(415) 555-2671", "US"),
    Case("national, Canada", "1 416 967 1111", "CA"),
    Case("national, UK", "020 7946 0000", "GB"),
    Case("national, Germany", "030 1234567", "DE"),
    Case("national, Italy", "06 4545 1234", "IT"),
    Case("national, Jamaica", "876 926 1234", "JM"),
    Case("with plus, US to Canada", "+1 416-967-1111", "US"),
    Case("with plus, UK", "+44 (0)20 7946 0000", "GB"),
    Case("with 00, France", "00 33 1 42 68 53 00", "FR"),
    Case("vanity, US", "1-800-FLOWERS", "US"),
    Case("tel: URI, Australia", "tel:+61-2-9374-4000", "AU"),
    Case(
        "Arabic digits, Egypt",
        "\u0660\u0662 \u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
        "EG",
    ),
    Case("another country", "+44 20 7946 0000", "US", "country_mismatch"),
    Case("emergency", "+1 911", "US", "emergency"),
    Case("two numbers", "415 555 2671 & 415 555 2672", "US", "invalid_format"),
    Case("extension", "415 555 2671 x12", "US", "invalid_format"),
)


def decide(case: Case) -> str:
    return check(
        case.text,
        agent_country=case.country,
        client_country=case.country,
        toll_free_service=True,
        toll_service=True,
    ).reason


def bare(case: Case) -> object:
    try:
        number = phonenumbers.parse(case.text, case.country)
    except NumberParseException:
        return None
    return phonenumbers.is_valid_number(number), phonenumbers.number_type(number)


def seconds(function: Callable[[Case], object], case: Case, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        function(case)
    return (time.perf_counter() - started) / calls


def measure(case: Case, rounds: int, calls: int) -> tuple[float, float, float]:
    """Microseconds of a decision and of bare libphonenumber, and the ratio; medians of rounds."""
    if decide(case) != case.expected:
        raise SystemExit(f"{case.text!r}: {decide(case)}, not {case.expected}")
    ours, theirs = [], []
    for number in range(rounds):
        pair = (ours, decide), (theirs, bare)
        for times, function in pair if number % 2 else reversed(pair):
            times.append(seconds(function, case, calls))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return statistics.median(ours) * 1e6, statistics.median(theirs) * 1e6, ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=100, help="of each, in a round")
    parser.add_argument(
        "--limit", type=float, default=1.25, help="fail if the total's ratio is higher"
    )
    options = parser.parse_args()
    gc.collect()
    gc.disable()
    print("| typed | decision, µs | libphonenumber, µs | ratio |")
    print("| --- | ---: | ---: | ---: |")
    allowed: list[tuple[float, float, float]] = []
    for case in CASES:
        result = measure(case, options.rounds, options.calls)
        if case.expected == "ok":
            allowed.append(result)
        what = case.what if case.expected == "ok" else f"{case.what}: {case.expected}"
        print("| {} | {:.1f} | {:.1f} | {:.2f} |".format(what, *result))
    ours, theirs = (sum(result[column] for result in allowed) for column in (0, 1))
    ratio = statistics.median(result[2] for result in allowed)
    print(f"| allowed, mean and median ratio | {ours / len(allowed):.1f} ", end="")
    print(f"| {theirs / len(allowed):.1f} | {ratio:.2f} |")
    return 0 if ratio <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
