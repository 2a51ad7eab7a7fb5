"""What is told of a request that breaks rules of its form."""

from __future__ import annotations

import pytest

from lookup_core.registrar.rpc.interceptors.validation import Garbled, Malformed, careful, validate
from lookup_core.registrar.rpc.methods import METHODS, SERVICES
from nser.access.v1 import access_pb2
from nser.audit.v1 import audit_pb2, receipts_pb2
from nser.bst.v1 import bst_pb2
from nser.register.v1 import register_pb2


def test_every_call_of_the_contract_has_a_scope() -> None:
    named = {
        f"/{service.full_name}/{method.name}"
        for module in (access_pb2, audit_pb2, bst_pb2, receipts_pb2, register_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(METHODS) == named
    assert {method.service for method in METHODS.values()} == set(SERVICES)


def test_bytes_that_are_no_message_are_the_callers_fault() -> None:
    read = careful(register_pb2.GetRequest.FromString)
    assert isinstance(read(b"\xff\xff"), Garbled)
    assert read(b"") == register_pb2.GetRequest()
    with pytest.raises(Malformed) as malformed:
        validate(Garbled())
    assert malformed.value.refused.reason == "INVALID_REQUEST"


def test_the_first_violation_gives_the_reason_and_all_are_told() -> None:
    with pytest.raises(Malformed) as malformed:
        validate(register_pb2.RegisterRequest(period=5, county=99))
    fields = [violation.field for violation in malformed.value.violations]
    assert fields == ["document", "date_of_birth", "request_id", "phone", "county"]
    assert malformed.value.refused.reason == "INVALID_IDENTITY"
    assert malformed.value.violations[0].message.startswith("document: needed for every period")


def test_a_nested_and_a_repeated_field_are_named_by_their_path() -> None:
    request = register_pb2.RegisterRequest(period=5)
    request.document.number = "x" * 99
    with pytest.raises(Malformed) as nested:
        validate(request)
    assert "document.number" in [violation.field for violation in nested.value.violations]
    with pytest.raises(Malformed) as repeated:
        validate(access_pb2.CreateKeyRequest(scopes=["nser:read", "NO"]))
    assert "scopes[1]" in [violation.field for violation in repeated.value.violations]
