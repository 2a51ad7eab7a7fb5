"""Every call of the registrar: the scope it needs, and whether it is built yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lookup_core.domain.scope import AUDIT_READ, BST_READ, BST_WRITE, NSER_ADMIN, NSER_READ, NSER_WRITE

REGISTER: Final = "nser.register.v1.RegisterService"
BST: Final = "nser.bst.v1.BstService"
ACCESS: Final = "nser.access.v1.AccessService"
RECEIPTS: Final = "nser.audit.v1.ReceiptService"
AUDIT: Final = "nser.audit.v1.AuditService"
SERVICES: Final = (REGISTER, BST, ACCESS, AUDIT, RECEIPTS)


@dataclass(frozen=True, slots=True)
class Method:
    """One call. `is_built` is false for what a later version completes: it answers NOT_IMPLEMENTED."""

    service: str
    name: str
    scope: str
    is_built: bool = True

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    @property
    def title(self) -> str:
        """`RegisterService.List`"""
        return f"{self.service.rpartition('.')[2]}.{self.name}"


_ALL: Final = (
    Method(REGISTER, "Register", NSER_WRITE),
    Method(REGISTER, "Get", NSER_READ),
    Method(REGISTER, "List", NSER_READ, is_built=False),
    Method(REGISTER, "Extend", NSER_WRITE),
    Method(REGISTER, "RequestRelease", NSER_WRITE, is_built=False),
    Method(REGISTER, "Release", NSER_WRITE, is_built=False),
    Method(REGISTER, "Stats", NSER_READ),
    Method(REGISTER, "Watch", NSER_READ, is_built=False),
    Method(REGISTER, "Shred", NSER_ADMIN),
    Method(BST, "Generate", BST_WRITE),
    Method(BST, "BatchGenerate", BST_WRITE),
    Method(BST, "Validate", BST_READ),
    Method(BST, "Rotate", BST_WRITE),
    Method(BST, "History", BST_READ),
    Method(BST, "StartRotation", NSER_ADMIN),
    Method(BST, "GetRotation", NSER_ADMIN),
    Method(BST, "ListRotations", NSER_ADMIN),
    Method(BST, "CancelRotation", NSER_ADMIN),
    Method(ACCESS, "CreateKey", NSER_ADMIN),
    Method(ACCESS, "ListKeys", NSER_ADMIN),
    Method(ACCESS, "RotateKey", NSER_ADMIN, is_built=False),
    Method(ACCESS, "RevokeKey", NSER_ADMIN),
    Method(RECEIPTS, "Fetch", NSER_READ),
    Method(AUDIT, "GetCheckpoint", NSER_READ),
    Method(AUDIT, "ProveConsistency", NSER_READ),
    Method(AUDIT, "ProveEntry", AUDIT_READ),
)
METHODS: Final[Mapping[str, Method]] = MappingProxyType({method.path: method for method in _ALL})
