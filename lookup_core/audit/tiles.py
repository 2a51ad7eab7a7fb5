"""Tiles: 256 hashes of one level of the tree in a row, as C2SP tlog-tiles lays a log out.

Level 0 holds the leaves; level n holds the roots of the full tiles of the level below. Only full tiles are kept: what
is after the last full one is the roots of the tiles below, or the last entries themselves, at most 255 of each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lookup_core.domain.merkle import HASH_BYTES, Node, complete_subtrees, joined, root

WIDTH: Final = 256
_HEIGHT: Final = 8
TILE_BYTES: Final = WIDTH * HASH_BYTES


class Key(NamedTuple):
    level: int
    tile: int


class Tile(NamedTuple):
    """A full tile."""

    level: int
    tile: int
    hashes: bytes
    root: bytes


@dataclass(slots=True)
class Growing:
    """The right edge of a log: everything that is needed to append to it and to say its root."""

    size: int = 0
    edges: list[list[bytes]] = field(default_factory=lambda: [[]])
    """For each level, the hashes after the last full tile."""

    def append(self, leaf: bytes) -> list[Tile]:
        """Add a leaf hash; gives the tiles that are full with it, the lowest first."""
        self.size += 1
        full: list[Tile] = []
        level, arrived = 0, leaf
        while True:
            if level == len(self.edges):
                self.edges.append([])
            edge = self.edges[level]
            edge.append(arrived)
            if len(edge) < WIDTH:
                return full
            arrived = root(edge)
            tile = (self.size >> _HEIGHT * (level + 1)) - 1
            full.append(Tile(level, tile, b"".join(edge), arrived))
            edge.clear()
            level += 1

    def root(self) -> bytes:
        return joined(
            root(edge[begin << level : (begin + 1) << level])
            for edge in reversed(self.edges)
            for level, begin in complete_subtrees(0, len(edge))
        )

    def copy(self) -> Growing:
        return Growing(self.size, [list(edge) for edge in self.edges])


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be read to know some nodes: full tiles, roots of tiles, leaves."""

    tiles: frozenset[Key]
    roots: frozenset[Key]
    leaves: frozenset[int]


def needs(nodes: Collection[Node], sealed: int) -> Needs:
    """What these nodes are made from, in a log whose full tiles reach to `sealed` entries."""
    tiles: set[Key] = set()
    roots: set[Key] = set()
    leaves: set[int] = set()
    for node in nodes:
        level, tile, first, count = _place(node)
        if (tile + 1) << _HEIGHT * (level + 1) <= sealed:
            tiles.add(Key(level, tile))
        elif level == 0:
            leaves.update(range(first, first + count))
        else:
            roots.update(Key(level - 1, each) for each in range(first, first + count))
    return Needs(frozenset(tiles), frozenset(roots), frozenset(leaves))


def hash_of(
    node: Node, tiles: Mapping[Key, bytes], roots: Mapping[Key, bytes], leaves: Mapping[int, bytes]
) -> bytes:
    """The hash of a node from what `needs` asked for. Raises KeyError for what is missing."""
    level, tile, first, count = _place(node)
    if (kept := tiles.get(Key(level, tile))) is not None:
        begins = (first % WIDTH) * HASH_BYTES
        return root(list(split(kept[begins : begins + count * HASH_BYTES])))
    if level == 0:
        return root([leaves[each] for each in range(first, first + count)])
    return root([roots[Key(level - 1, each)] for each in range(first, first + count)])


def edge_keys(size: int) -> list[list[Key]]:
    """For each level above the leaves, the tiles below whose roots are after its last full tile."""
    levels: list[list[Key]] = []
    level = 1
    while size >> _HEIGHT * level:
        count = size >> _HEIGHT * level
        levels.append([Key(level - 1, tile) for tile in range(count - count % WIDTH, count)])
        level += 1
    return levels


def split(hashes: bytes) -> Iterator[bytes]:
    return (hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))


def _place(node: Node) -> tuple[int, int, int, int]:
    """Where a node's hashes are: the tiles' level, the tile, its first hash on that level, and how many."""
    height, place = node
    level, within = divmod(height, _HEIGHT)
    first = place << within
    return level, first // WIDTH, first, 1 << within
