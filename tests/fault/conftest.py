"""The fixture `trial`: what most faults are tried on, for `async with trial(broken) as it`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.support import safety
from tests.support.services import Services

Try = Callable[[str], AbstractAsyncContextManager[safety.Trial]]


@pytest.fixture
def trial(services: Services, redis_url: str) -> Try:
    return lambda broken: safety.trial(services, redis_url, broken)
