"""Reads a file of weights, and takes off what training code wraps around them.

Trainers save a state dictionary under a name of their own, beside an epoch and an optimizer; data
parallelism, compiling and averaging put a word before every tensor's name, or into it.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.networks import tensor_file
from darts_engine.run.errors import CheckpointError

# Names that a state dictionary is saved under. Of several, the first here is the network's.
ENVELOPES = ("state_dict", "model_state_dict", "model_state", "net_state_dict", "model", "net",
             "average", "network", "weights", "params", "module", "state_dict_ema", "model_ema",
             "ema")  # fmt: skip
DEEPEST = 3
# Parts of names: wrappers anywhere, and words that all names may begin with.
WITHIN = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
BEFORE = ("module", "model", "net", "network")
# The beginnings of files that are given for weights, and what they are.
OTHERS = {
    b"version https://git-lfs": ("is a pointer of Git LFS, not the file itself", "git lfs pull"),
    b"<!doctype": ("is a web page", "download the file itself: the page may ask to confirm"),
    b"<html": ("is a web page", "download the file itself: the page may ask to confirm"),
    b"genotype(": ("is a genotype", "give it as --genotype FILE"),
    b"\x1f\x8b": ("is compressed by gzip", "unpack it first"),
}
REMEDY = "give a file of torch.save(network.state_dict(), FILE): tensors only"


class Weights(NamedTuple):
    """A state dictionary, and what it was unwrapped of, as in "under 'model'"; empty if nothing."""

    state: dict[str, Any]
    unwrapped: str


def read(path: Path) -> Weights:
    """The state dictionary in a file of `torch.save` or of safetensors, on the CPU.

    Only tensors and plain containers are read from it; nothing in it is executed.

    Raises:
        CheckpointError: it cannot be read, or holds more than tensors and plain containers; save
            `network.state_dict()` instead.
    """
    if (tensors := _safetensors(path)) is not None:
        return unwrapped(tensors, str(path))
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        _refuse_others(path)
        raise CheckpointError(
            f"the weights cannot be read: {error.strerror or 'the file is broken'}", where=str(path)
        ) from None
    except Exception:  # noqa: BLE001  a file of anything may fail in any way
        _refuse_others(path)
        # torch's own message is left out: it advises to load such a file without this check.
        raise CheckpointError(
            "the weights cannot be loaded: this is no file of tensors, or it is broken",
            where=str(path),
            remedy=REMEDY,
        ) from None
    return unwrapped(value, str(path))


def _safetensors(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file of safetensors; None for any other file, or one that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(tensor_file.LENGTH + 1)
            if not tensor_file.is_one(head):
                return None
            content = head + file.read()
    except OSError:
        return None
    return tensor_file.decode(content, str(path)).tensors


def unwrapped(value: object, where: str = "") -> Weights:
    """The state dictionary in what a trainer saved.

    Raises:
        CheckpointError: there is none in it, or several that may be meant.
    """
    under: list[str] = []
    while isinstance(value, dict) and len(under) < DEEPEST and (name := _envelope(value, where)):
        under.append(name)
        value = value[name]
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CheckpointError("the file holds no state dictionary", where=where, remedy=REMEDY)
    state, prefix = _without_prefix(value)
    words = [f"under {'.'.join(under)!r}"] if under else []
    words += [f"without {prefix!r}"] if prefix else []
    if len(state) < len(value):
        raise CheckpointError(
            f"two tensors have the same name without {prefix!r}", where=where, remedy=REMEDY
        )
    return Weights(state, ", ".join(words))


def _envelope(value: Mapping[object, object], where: str) -> str:
    """The name that a state dictionary has in another; empty if `value` is one itself."""
    if any(isinstance(one, Tensor) for one in value.values()):
        return ""
    inner = [name for name, one in value.items() if isinstance(name, str) and _holds_tensors(one)]
    for name in ENVELOPES:
        if name in inner:
            return name
    if len(inner) > 1:
        raise CheckpointError(
            f"the file holds several networks: {', '.join(inner)[:120]}",
            where=where,
            remedy="save the one that is meant alone: torch.save(network.state_dict(), FILE)",
        )
    return inner[0] if inner else ""


def _holds_tensors(value: object, depth: int = DEEPEST) -> bool:
    """Whether it is a state dictionary, or has one inside; an optimizer's state is none."""
    if not isinstance(value, dict) or "param_groups" in value or not depth:
        return False
    if not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(one, Tensor) or _holds_tensors(one, depth - 1) for one in value.values())


def _without_prefix(state: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The same tensors without what wrappers add to their names, and what that was."""
    taken: dict[str, None] = {}
    plain = {}
    for name, value in state.items():
        parts = name.split(".")
        taken |= dict.fromkeys(part for part in parts if part in WITHIN)
        plain[".".join(part for part in parts if part not in WITHIN)] = value
    while True:
        # What counts batches or copies has no wrapper's word before it.
        firsts = {name.partition(".")[0] for name in plain if "." in name}
        first = next(iter(firsts)) if len(firsts) == 1 else ""
        if first not in BEFORE:
            break
        taken[first] = None
        plain = {name.removeprefix(f"{first}."): value for name, value in plain.items()}
    if "module" in {name.partition(".")[0] for name in plain}:
        taken["module"] = None
        plain = {name.removeprefix("module."): value for name, value in plain.items()}
    # In the order that they have in the names.
    names = (name.split(".") for name in state)
    example = next((parts for parts in names if taken.keys() <= set(parts)), list(taken))
    return plain, "".join(f"{part}." for part in sorted(taken, key=example.index))


def _refuse_others(path: Path) -> None:
    """Refuse a file by what it is instead, if that can be told.

    Raises:
        CheckpointError: it is empty, cut off, or a file of another kind.
    """
    try:
        with path.open("rb") as file:
            head = file.read(256)
        size = path.stat().st_size
    except OSError:
        return
    for start, (what, remedy) in OTHERS.items():
        if head.lstrip().lower().startswith(start):
            raise CheckpointError(f"this {what}, no weights", where=str(path), remedy=remedy)
    if not head:
        raise CheckpointError(
            "the file of weights is empty", where=str(path), remedy="copy it anew"
        )
    if head.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"the file of weights is cut off: its end is missing after {size:,} bytes",
            where=str(path),
            remedy="copy or download it anew",
        )
