"""Tensors in the format safetensors: a header of JSON, then the bytes of the tensors.

8 bytes hold the header's length (little-endian). The header is a dictionary of name ->
{"dtype", "shape", "data_offsets"}, and "__metadata__" -> texts by name. Nothing in such a file is
executed. The format is that of https://github.com/huggingface/safetensors.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.run.errors import CheckpointError

METADATA = "__metadata__"
LENGTH = 8
MAX_HEADER = 100_000_000
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# The metadata's name for which tensor is another one: {"decoder.weight": "encoder.weight"}.
SHARED = "shared"


class Tensors(NamedTuple):
    """The content of a file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a file. What several names have in common is stored once.

    Args:
        tensors: by name. Of equal ones the first is stored; the metadata name the others, and
            `decode` gives them back.
        metadata: texts by name.
    """
    stored: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    for name, tensor in tensors.items():
        twin = next((n for n, one in stored.items() if _is_same(one, tensor)), None)
        if twin is None:
            stored[name] = tensor.detach().cpu().contiguous()
        else:
            shared[name] = twin
    about = dict(metadata) | ({SHARED: json.dumps(shared)} if shared else {})
    header: dict[str, Any] = {METADATA: about}
    parts, at = [], 0
    # The widest first, so that every tensor begins at a multiple of its items' size.
    for name, tensor in sorted(stored.items(), key=lambda one: (-one[1].element_size(), one[0])):
        content = tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(content)],
        }
        parts.append(content)
        at += len(content)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)
    return b"".join([len(text).to_bytes(LENGTH, "little"), text, *parts])


def _is_same(one: Tensor, other: Tensor) -> bool:
    # Small ones that happen to be equal, as the statistics of a fresh batch norm, stay apart.
    return one.dim() > 1 and one.dtype == other.dtype and torch.equal(one, other)


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is of this format; at least 9 bytes tell."""
    return head[:LENGTH].count(0) >= LENGTH // 2 and head[LENGTH : LENGTH + 1] == b"{"


def decode(content: bytes, where: str = "") -> Tensors:
    """The tensors and the metadata of a file.

    Args:
        content: of the file.
        where: its path, for messages.

    Raises:
        CheckpointError: it is cut off, damaged or of another format.
    """
    try:
        return _decoded(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"this is a file of safetensors, and damaged: {(str(error).splitlines() or [''])[0]}"[
                :200
            ],
            where=where,
            remedy="copy it anew",
        ) from None


def _decoded(content: bytes) -> Tensors:
    length = int.from_bytes(content[:LENGTH], "little")
    if not 2 <= length <= min(MAX_HEADER, len(content) - LENGTH):
        raise ValueError("its header is longer than itself")
    header = json.loads(content[LENGTH : LENGTH + length], object_pairs_hook=_without_doubles)
    metadata = {str(name): str(text) for name, text in header.pop(METADATA, {}).items()}
    data = memoryview(content)[LENGTH + length :]
    tensors, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda one: one[1]["data_offsets"]):
        dtype, shape = DTYPES[entry["dtype"]], [int(size) for size in entry["shape"]]
        first, last = entry["data_offsets"]
        if first != end or min(shape, default=0) < 0:
            raise ValueError(f"the place of {name!r}")
        end = last
        if last - first != math.prod(shape) * dtype.itemsize or last > len(data):
            raise ValueError(f"the size of {name!r}")
        raw = bytearray(data[first:last])
        flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        tensors[name] = flat.view(shape)
    if end != len(data):
        raise ValueError("bytes that belong to no tensor")
    for name, twin in json.loads(metadata.get(SHARED, "{}")).items():
        tensors[name] = tensors[twin]
    return Tensors(tensors, metadata)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
