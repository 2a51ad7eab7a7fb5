"""Distinct types for things that must not be mixed up. No values are made here: see kernel/ids.py."""

from typing import NewType
from uuid import UUID

OperatorId = NewType("OperatorId", UUID)
ExclusionId = NewType("ExclusionId", UUID)
RequestId = NewType("RequestId", UUID)
StoreId = NewType("StoreId", UUID)
ReplicaId = NewType("ReplicaId", UUID)

PersonNo = NewType("PersonNo", int)
Revision = NewType("Revision", int)

KeyId = NewType("KeyId", str)

# 16 bytes. Plain bytes underneath, because a lookup makes two of them and an index holds millions.
BlindIndex = NewType("BlindIndex", bytes)
