"""The cipher of pairwise tokens: one AES-256 block under a key that HKDF gives each operator (SAFETY.md, BST-03).

One block and no mode: the block is a pseudonym, which has to be the same at every look, and no two blocks of one key
are equal because no two people have one number. Whoever has the roots links every operator's tokens; nobody else can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lookup_core.domain.bst import PAIRWISE, Token
from lookup_core.domain.ids import OperatorId
from lookup_core.domain.pairwise import Holder, of_block, to_block

KEY_BYTES: Final = 32
_PURPOSE: Final = b"nser/pairwise/1\0"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token opened to, and whether the key that tokens are made with now opened it."""

    holder: Holder
    is_by_newest_key: bool


class Pairing:
    """Makes and opens the tokens of every operator. `roots`: the one in use first, then the others, newest first."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        if not roots or any(len(root) != KEY_BYTES for root in roots):
            raise ValueError(f"there is a root, and each has {KEY_BYTES} bytes")
        self._roots = tuple(roots)
        self._made: dict[OperatorId, tuple[Cipher[ECB], ...]] = {}

    def __repr__(self) -> str:
        return "[secret]"

    def mint(self, operator_id: OperatorId, holder: Holder) -> Token:
        """Give an operator's token of a person: the same at every call."""
        cipher = self._ciphers(operator_id)[0].encryptor()
        return Token(cipher.update(to_block(holder)) + cipher.finalize(), PAIRWISE)

    def open(self, operator_id: OperatorId, token: Token) -> Opened | None:
        """Give whom an operator's token stands for; None for noise. Tries every key, whichever fits."""
        opened: Opened | None = None
        for place, cipher in enumerate(self._ciphers(operator_id)):
            opening = cipher.decryptor()
            holder = of_block(opening.update(token.raw) + opening.finalize())
            if holder is not None and opened is None:
                opened = Opened(holder, is_by_newest_key=place == 0)
        return opened

    def _ciphers(self, operator_id: OperatorId) -> tuple[Cipher[ECB], ...]:
        if (made := self._made.get(operator_id)) is None:
            info = _PURPOSE + operator_id.bytes
            keys = [HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(root) for root in self._roots]
            made = self._made[operator_id] = tuple(Cipher(AES(key), ECB()) for key in keys)  # noqa: S305
        return made
