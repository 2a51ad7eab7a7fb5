"""Hypothesis without wall-clock deadlines (two busy cores); the same examples on every run, more in the long form."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "short", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
