"""protovalidate 2 enforces the constraints in our .proto files on messages made by grpcio-tools' generator.

It is built on Buf's own runtime; google.protobuf messages are taken as they are, with the constraints read from their
descriptors. If a new version stopped that, every write would be accepted unchecked: hence this test.
"""

import protovalidate
import pytest
from google.protobuf.message import Message

from nser.lookup.v1 import lookup_pb2


def rules_broken(message: Message) -> list[str]:
    return [violation.proto.rule_id for violation in protovalidate.collect_violations(message)]


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (lookup_pb2.CheckRequest(), "required"),
        (lookup_pb2.BatchCheckRequest(), "repeated.min_items"),
        (lookup_pb2.Subject(phone="7" * 65), "string.max_len"),
        (lookup_pb2.CheckRequest(purpose=99), "enum.defined_only"),  # type: ignore[arg-type]
        (lookup_pb2.StreamCheckRequest(more=[lookup_pb2.StreamCheckItem()] * 256), "repeated.max_items"),
        (lookup_pb2.StreamCheckRequest(more=[lookup_pb2.StreamCheckItem()]), "required"),
    ],
)
def test_a_constraint_of_the_proto_is_enforced(message: Message, rule: str) -> None:
    assert rule in rules_broken(message)


def test_a_good_message_breaks_no_rule() -> None:
    assert rules_broken(lookup_pb2.CheckRequest(subject=lookup_pb2.Subject(phone="0712345678"))) == []
