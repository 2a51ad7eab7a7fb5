"""Pairwise tokens (BST-03): another token for each operator, of which nothing is stored.

A token is one AES-256 block, under a key of the operator's own, over what is laid out here: person number (8 bytes),
generation (2 bytes), 48 zero bits. The zeros are what tells an operator's own token from noise: another operator's
token, or a made-up one, opens to zeros once in 2^48. The cipher is in `kernel/pairing.py`; this module has no keys.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lookup_core.domain.ids import PersonNo

BLOCK_BYTES: Final = 16
HIGHEST_GENERATION: Final = 2**15 - 1  # what the register's column holds; a token has room for twice as many
_NUMBER_BYTES: Final = 8
_GENERATION_BYTES: Final = 2
_TAIL: Final = bytes(BLOCK_BYTES - _NUMBER_BYTES - _GENERATION_BYTES)


class TokenKind(StrEnum):
    """By which tokens an operator knows people: chosen once, with its first key."""

    GLOBAL = "global"  # BST-02: the same token at every operator
    PAIRWISE = "pairwise"  # BST-03: another one at each


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a pairwise token stands for. A rotation takes the person's `generation` one further."""

    person_no: PersonNo
    generation: int = 0


def to_block(holder: Holder) -> bytes:
    """Lay a holder out as the block that is encrypted. Raises OverflowError for numbers that do not fit."""
    number = holder.person_no.to_bytes(_NUMBER_BYTES, "big")
    return number + holder.generation.to_bytes(_GENERATION_BYTES, "big") + _TAIL


def of_block(block: bytes) -> Holder | None:
    """Read a decrypted block; None for noise."""
    if len(block) != BLOCK_BYTES or not block.endswith(_TAIL):
        return None
    number, generation = block[:_NUMBER_BYTES], block[_NUMBER_BYTES : -len(_TAIL)]
    return Holder(PersonNo(int.from_bytes(number, "big")), int.from_bytes(generation, "big"))
