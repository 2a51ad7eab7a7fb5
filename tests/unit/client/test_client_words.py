"""The SDK's words are the contract's: enums, calls, reasons, exports."""

from __future__ import annotations

import ast
import inspect
from enum import StrEnum
from pathlib import Path

import pytest

import nser_client
from lookup_core.kernel import errors as kernel
from nser.access.v1 import access_pb2
from nser.audit.v1 import receipts_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser_client import errors, rpcs, statuses
from nser_client.errors import BY_REASON, NserError, Outage, Unavailable
from nser_client.vocabulary import ON_THE_WIRE, number_of, word_of

SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (lookup_pb2, "LookupService"),
        (register_pb2, "RegisterService"),
        (bst_pb2, "BstService"),
        (access_pb2, "AccessService"),
        (receipts_pb2, "ReceiptService"),
    )
]


@pytest.mark.parametrize("kind", ON_THE_WIRE, ids=lambda kind: kind.__name__)
def test_every_number_but_unspecified_has_a_word_and_back(kind: type[StrEnum]) -> None:
    wire, _ = ON_THE_WIRE[kind]
    numbers = set(wire.values()) - {0}
    assert {number_of(kind, word, field="x") for word in kind} == numbers
    assert {word_of(kind, number) for number in numbers} == set(kind)
    assert word_of(kind, 0) is None
    assert word_of(kind, 4_096) is None


def test_every_rpc_is_the_contracts() -> None:
    methods = {f"/{s.full_name}/{m.name}": (m.input_type, m.output_type) for s in SERVICES for m in s.methods}
    ours = [value for value in vars(rpcs).values() if isinstance(value, rpcs.Rpc)]
    assert len(ours) == 15
    for rpc in ours:
        assert methods[rpc.path] == (rpc.request.DESCRIPTOR, rpc.response.DESCRIPTOR)


@pytest.mark.parametrize("reason", kernel.REASONS)
def test_the_sdk_has_the_servers_names(reason: str) -> None:
    theirs, ours = kernel.REASONS[reason], BY_REASON[reason]
    assert ours.__name__ == theirs.__name__
    assert issubclass(ours, Outage) is (theirs.code in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL"})
    assert issubclass(ours, Unavailable) is (theirs.code == "UNAVAILABLE")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = inspect.getdoc(errors) or ""
    for reason, cls in BY_REASON.items():
        assert cls.__name__ in drawn
        assert reason in drawn or cls is Outage or cls is Unavailable


def test_all_is_what_the_package_imports_and_nothing_else() -> None:
    source = ast.parse(Path(nser_client.__file__).read_text())
    imported = {
        alias.name for node in source.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(nser_client.__all__) == imported
    assert len(nser_client.__all__) == len(set(nser_client.__all__))
    assert {cls.__name__ for cls in BY_REASON.values()} <= set(nser_client.__all__)


def test_a_reason_of_a_later_version_keeps_its_name_and_its_kind() -> None:
    error = statuses.of_reason("NEW_ONE", "said", otherwise=errors.Unreachable)
    assert (error.reason, isinstance(error, Unavailable)) == ("NEW_ONE", True)
    assert isinstance(statuses.of_reason("", "said"), errors.InternalFault)


def test_no_error_shows_what_was_sent_when_it_is_printed_by_repr() -> None:
    error: NserError = errors.InvalidIdentity("The phone number 0712345678 is none.", field="phone")
    assert repr(error) == "InvalidIdentity(INVALID_IDENTITY, phone)"
    assert "0712345678" not in repr(nser_client.Subject(phone="0712345678"))
