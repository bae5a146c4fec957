"""Pictures that are the same, or nearly, among many."""

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

BITS = 64
WINDOW = 32
"""Neighbours that a picture is compared with in each order, so that the work is bounded."""
DIFFERENCE = 0.15
"""Of two thumbnails that show the same, as a part of their contrast."""
FLAT = 4.0
"""Levels: thumbnails of less contrast look alike whatever they show."""
_CHUNK = 4096
_ONES = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def same(digests: Sequence[bytes | None]) -> list[list[int]]:
    """Groups of at least two positions with the same digest, None apart."""
    groups: dict[bytes, list[int]] = {}
    for i, digest in enumerate(digests):
        if digest is not None:
            groups.setdefault(digest, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def alike(
    codes: NDArray[np.uint64], thumbs: NDArray[np.uint8], bits: int = 4
) -> list[tuple[int, int]]:
    """Pairs of pictures that look the same but for compression, size or a little light.

    Two pictures are compared where their codes agree in at least two of ``bits + 2`` bands, as any
    two do that differ in at most ``bits`` bits; then their thumbnails decide. In sets of which most
    look alike each is compared with its nearest neighbours only, so the work stays proportional to
    the number of pictures; chains of pairs still hold them together.

    Args:
        codes: [N] difference hashes.
        thumbs: [N, S, S, 3].
        bits: by how many bits codes may differ; 0 to 8.
    """
    contrast = _contrast(thumbs)
    kept = np.flatnonzero(contrast >= FLAT)
    pairs = kept[_close(codes[kept], contrast[kept], bits)]
    found: list[tuple[int, int]] = []
    for start in range(0, len(pairs), _CHUNK):
        first, second = pairs[start : start + _CHUNK].T
        good = _differences(thumbs[first], thumbs[second], contrast[first], contrast[second])
        chosen = good <= DIFFERENCE
        found += list(zip(first[chosen].tolist(), second[chosen].tolist(), strict=True))
    return found


def joined(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of positions that pairs connect, in ascending order."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = i = parent[parent[i]]
        return i

    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for i in sorted(parent):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _close(
    codes: NDArray[np.uint64], contrast: NDArray[np.float32], bits: int
) -> NDArray[np.int64]:
    """Pairs [P, 2] of positions, first below second, whose codes differ in at most ``bits``."""
    bounds = np.linspace(0, BITS, bits + 3).round().astype(int).tolist()
    bands = [sum(1 << bit for bit in range(low, high)) for low, high in pairwise(bounds)]
    count = len(codes)
    pairs = np.zeros(0, np.int64)  # each as one number: the same is found in most bands
    for one, other in combinations(bands, 2):
        keys = codes & np.uint64(one | other)
        order = np.lexsort((contrast, codes, keys)).astype(np.int64)
        found = [pairs]
        for step in range(1, min(WINDOW, count - 1) + 1):
            first, second = order[:-step], order[step:]
            equal = keys[first] == keys[second]
            if not equal.any():
                break
            first, second = first[equal], second[equal]
            near = _bits_of(codes[first] ^ codes[second]) <= bits
            first, second = first[near], second[near]
            found.append(np.minimum(first, second) * count + np.maximum(first, second))
        pairs = np.sort(np.concatenate(found))  # np.unique() hashes, which takes ten times as long
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return np.stack(np.divmod(pairs, max(1, count)), 1)


def _bits_of(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    each = _ONES[np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8)]
    return np.asarray(each.sum(1), np.int64)


def _contrast(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Standard deviation of each thumbnail's values, [N]."""
    found = np.zeros(len(thumbs), np.float32)
    for start in range(0, len(thumbs), _CHUNK):
        part = thumbs[start : start + _CHUNK].astype(np.float32)
        found[start : start + _CHUNK] = part.mean(3).reshape(len(part), -1).std(1)
    return found


def _differences(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    contrast: NDArray[np.float32],
    other: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Root mean square of the differences once the brightness is the same, [P], over contrast."""
    apart = first.astype(np.float32) - second.astype(np.float32)
    apart = apart.reshape(len(apart), -1)
    apart -= apart.mean(1, keepdims=True)
    spread = np.sqrt((apart**2).mean(1)) / np.maximum((contrast + other) / 2, FLAT)
    return np.asarray(spread, np.float32)
