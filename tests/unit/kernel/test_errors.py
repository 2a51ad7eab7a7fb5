import re

import grpc
import pytest

from lookup_core.kernel import errors
from lookup_core.kernel.errors import REASONS, QuotaExceeded, RecordedNotConfirmed, Refused

# CONVENTIONS.md's table and DESIGN.md: reason, code, HTTP status.
TABLE = {
    "STORE_UNREACHABLE": ("UNAVAILABLE", 503),
    "REPLICA_LOADING": ("UNAVAILABLE", 503),
    "DRAINING": ("UNAVAILABLE", 503),
    "REGISTER_STALE": ("UNAVAILABLE", 503),
    "RECORDED_NOT_CONFIRMED": ("UNAVAILABLE", 503),
    "REVISION_NOT_REACHED": ("UNAVAILABLE", 503),
    "AUDIT_UNAVAILABLE": ("UNAVAILABLE", 503),
    "STORE_BEHIND_WITNESS": ("UNAVAILABLE", 503),
    "REVISION_FROM_OTHER_STORE": ("FAILED_PRECONDITION", 409),
    "NOT_RELEASABLE": ("FAILED_PRECONDITION", 409),
    "EXCLUSION_RELEASED": ("FAILED_PRECONDITION", 409),
    "PERIOD_NOT_LONGER": ("FAILED_PRECONDITION", 409),
    "INVALID_REQUEST": ("INVALID_ARGUMENT", 400),
    "INVALID_IDENTITY": ("INVALID_ARGUMENT", 400),
    "MALFORMED_TOKEN": ("INVALID_ARGUMENT", 400),
    "INVALID_REVISION_TOKEN": ("INVALID_ARGUMENT", 400),
    "BATCH_TOO_LARGE": ("INVALID_ARGUMENT", 400),
    "REQUEST_ID_REUSED": ("INVALID_ARGUMENT", 400),
    "CREDENTIALS_INVALID": ("UNAUTHENTICATED", 401),
    "NOT_PERMITTED": ("PERMISSION_DENIED", 403),
    "QUOTA_EXCEEDED": ("RESOURCE_EXHAUSTED", 429),
    "EXCLUSION_NOT_FOUND": ("NOT_FOUND", 404),
    "KEY_NOT_FOUND": ("NOT_FOUND", 404),
    "AUDIT_ENTRY_NOT_FOUND": ("NOT_FOUND", 404),
    "TOKEN_NOT_FOUND": ("NOT_FOUND", 404),
    "ROTATION_NOT_FOUND": ("NOT_FOUND", 404),
    "TOKEN_NOT_LIVE": ("FAILED_PRECONDITION", 409),
    "NOT_IMPLEMENTED": ("UNIMPLEMENTED", 501),
    "INTERNAL": ("INTERNAL", 500),
}


def tree(root=Refused):
    for cls in root.__subclasses__():
        if cls.__module__.startswith("lookup_core.") and "reason" in cls.__dict__:
            yield cls
        yield from tree(cls)


def test_every_reason_has_the_code_and_status_of_the_table():
    assert {reason: (cls.code, cls.http) for reason, cls in REASONS.items()} == TABLE


def test_every_reason_belongs_to_one_class():
    reasons = [cls.reason for cls in tree()]
    assert len(reasons) == len(set(reasons))
    assert set(reasons) == set(REASONS)


@pytest.mark.parametrize("cls", REASONS.values(), ids=lambda cls: cls.__name__)
def test_every_class_has_a_whole_face(cls):
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", cls.reason)
    assert grpc.StatusCode[cls.code] is not grpc.StatusCode.OK
    assert 400 <= cls.http < 600
    assert cls.__doc__
    assert cls.__name__ in errors.__all__
    assert re.search(rf"\b{cls.__name__}\b.*\b{cls.reason}\b", errors.__doc__)


def test_what_is_unavailable_or_over_budget_is_retryable_and_nothing_else():
    assert {r for r, cls in REASONS.items() if cls.retryable} == {
        r for r, (code, _) in TABLE.items() if code in {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    }


def test_everything_that_is_exported_is_there():
    assert all(hasattr(errors, name) for name in errors.__all__)
    assert errors.__all__ == sorted(errors.__all__, key=lambda name: (not name.isupper(), name))


def test_a_recorded_write_tells_what_was_recorded():
    error = RecordedNotConfirmed("an-id", "a-revision")
    assert error.details == {"id": "an-id", "revision": "a-revision"}
    assert "same request_id" in error.message


def test_a_used_up_budget_tells_which_and_when_to_come_back():
    error = QuotaExceeded("requests", 100, 250)
    assert error.details == {"budget": "requests", "limit": "100"}
    assert error.retry_after_ms == 250
