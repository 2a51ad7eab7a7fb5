"""New identifiers: UUIDv7 (RFC 9562), sortable by time of making, without any personal data in them."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Give a UUIDv7 that no other call, here or elsewhere, gives."""
    return uuid7()
