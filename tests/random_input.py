"""How long the tests with random input look for a fault: settings for hypothesis.

By default each tries hypothesis' usual 100 inputs, which takes seconds altogether. They are the
same in each run, so that no change is blamed for what another input would have found before it.
With ``AVP_FUZZ_EXAMPLES=20000`` those that do not say a number of their own try that many, and
other ones each time.

The conftest of each folder with such tests imports this. `tests/core` does without: hypothesis
takes a third of a second to load.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("usual", deadline=None, derandomize=True)
settings.register_profile(
    "long",
    deadline=None,
    max_examples=int(os.environ.get("AVP_FUZZ_EXAMPLES") or 100),
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("long" if os.environ.get("AVP_FUZZ_EXAMPLES") else "usual")
