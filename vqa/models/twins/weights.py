"""Draws the weights of a twin and writes them as safetensors in shards; knows no model.

Fast, because a full twin has billions of weights: each element is one 16-bit random number looked up in a table of
the normal distribution's 65,536 quantiles, already in bfloat16; all cores draw, and every piece goes straight to its
place in the file. A piece has a random number generator of its own, seeded by the twin's seed, the tensor's name and
the piece's number, so the bytes depend on neither the number of cores nor the order.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from vqa.models.twins.tensors import QUIET, Tensor

SHARD_BYTES = 4 * 10**9
"""Of one file at most (a larger tensor gets one of its own); publishers cut at 4 to 5 GB."""
_PIECE = 1 << 20
_BYTES = 2  # of a bfloat16
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class _Piece:
    """Elements of one tensor that are drawn together: where they go and how they spread."""

    tensor: Tensor
    number: int
    offset: int
    """In bytes, from the start of the file."""
    elements: int
    spread: float


def write_weights(folder: Path, tensors: Iterable[Tensor], seed: int) -> int:
    """Writes one model.safetensors, or shards with their index, into `folder`; returns the bytes of the weights.

    Raises:
        ValueError: two tensors have one name.
        OSError: the folder cannot be written.
    """
    shards = _shards(tensors)
    total = sum(tensor.elements for shard in shards for tensor in shard) * _BYTES
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else "model.safetensors"
        for tensor in shard:
            if tensor.name in where:
                raise ValueError(f"two tensors have the name {tensor.name}")
            where[tensor.name] = name
        _write_shard(folder / name, shard, seed)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (folder / _INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return total


def _shards(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    shards: list[list[Tensor]] = [[]]
    filled = 0
    for tensor in tensors:
        size = tensor.elements * _BYTES
        if shards[-1] and filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += size
    return shards


def _write_shard(path: Path, tensors: list[Tensor], seed: int) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        offsets = [end, end := end + tensor.elements * _BYTES]
        header[tensor.name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.flush()
        start = out.tell()
        out.truncate(start + end)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # `list` waits for all and raises what went wrong in one of them.
            list(pool.map(lambda piece: _write_piece(out.fileno(), piece, seed), _pieces(tensors, start)))


def _pieces(tensors: list[Tensor], start: int) -> Iterator[_Piece]:
    offset = start
    for tensor in tensors:
        number = 0
        for elements, spread in _stretches(tensor):
            for first in range(0, elements, _PIECE):
                size = min(_PIECE, elements - first)
                yield _Piece(tensor, number, offset, size, spread)
                number += 1
                offset += size * _BYTES


def _stretches(tensor: Tensor) -> Iterator[tuple[int, float]]:
    """Yields (elements, spread) of neighbouring rows that spread alike."""
    row = tensor.elements // tensor.shape[0]
    at = 0
    for first, end in sorted(tensor.quiet):
        yield (first - at) * row, tensor.deviation
        yield (end - first) * row, tensor.deviation * QUIET
        at = end
    yield (tensor.shape[0] - at) * row, tensor.deviation


def _write_piece(file: int, piece: _Piece, seed: int) -> None:
    if piece.tensor.value is not None:
        values = np.full(piece.elements, _bfloat16(np.array([piece.tensor.value], np.float32))[0])
    else:
        key = [seed, zlib.crc32(piece.tensor.name.encode()), piece.number]
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))
        drawn = rng.integers(0, 2**64, -(-piece.elements // 4), np.uint64).astype("<u8", copy=False)
        values = _quantiles(piece.spread)[drawn.view("<u2")[: piece.elements]]
    content = values.data.cast("B")
    offset = piece.offset
    while content:
        done = os.pwrite(file, content, offset)
        content, offset = content[done:], offset + done


@cache
def _standard_quantiles() -> NDArray[np.float32]:
    normal = NormalDist()
    upper = [normal.inv_cdf((index + 0.5) / 65536) for index in range(32768, 65536)]
    return np.array([*(-value for value in reversed(upper)), *upper], np.float32)


@cache
def _quantiles(spread: float) -> NDArray[np.uint16]:
    return _bfloat16(_standard_quantiles() * np.float32(spread))


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = values.astype("<f4").view("<u4")
    # Round to the nearest, ties to even: add half of the lowest kept bit, plus one where that bit is set.
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return rounded
