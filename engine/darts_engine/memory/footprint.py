"""How much memory a step will need, told before the first one is made.

Two and three images go forward through the run's own network, on its own device and in its own
precision, while hooks count what autograd keeps for the backward pass: what an image adds is the
difference. That is nearly all of a step's peak; the rest is the weights in their several copies
and what a backward pass holds beside. Nothing of the network changes by it. The estimate is within
35 percent of the measured peak on the CPU (tests/engine/memory/test_footprint.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import Tensor, nn

from darts_engine.compute import device as devices
from darts_engine.layers.norm import statistics_kept
from darts_engine.run.errors import TooLargeError
from darts_engine.run.settings.config import SearchConfig, TrainConfig
from darts_engine.supernet.relaxed import RelaxedNetwork

# Gradients that a backward pass holds while it still has what the forward pass kept, relative to
# that; measured.
BACKWARD = 0.15
# What the exact product keeps of a step, relative to one backward pass: it differentiates the
# backward pass as well; measured.
EXACT = 4.0
# Copies of the weights at the peak: with their gradients and momentum; second order adds the saved
# ones, the vector, and the offset along it.
COPIES = {1: 3, 2: 6}
# Kernels and their buffers, loaded at the first step.
LOADED = 32_000_000
FEW = (2, 3)

# A forward pass, given images (B, C, H, W).
Forward = Callable[[Tensor], object]


class Footprint(NamedTuple):
    """Bytes of a step's peak: those that do not depend on the batch, and those per image."""

    fixed: int
    per_image: int

    def of(self, batch_size: int) -> int:
        """The peak with a batch of this size."""
        return self.fixed + batch_size * self.per_image

    def largest_batch(self, room: int) -> int:
        """The largest batch whose peak is at most `room` bytes; 0 if there is none."""
        return max(0, (room - self.fixed) // self.per_image)


def of_search(
    supernet: RelaxedNetwork, config: SearchConfig, image_shape: Sequence[int]
) -> Footprint:
    """What a step of a search will need, the larger of alpha's and the weights'."""
    precision = partial(devices.autocast, next(supernet.parameters()).device, config.engine)
    alphas, weights = list(supernet.alphas.parameters()), list(supernet.weights())

    def both_move(images: Tensor) -> None:
        with precision():
            supernet(images)

    def alphas_move(images: Tensor) -> None:
        with _frozen(weights):
            both_move(images)

    def weights_move(images: Tensor) -> None:
        with _frozen(alphas):
            both_move(images)

    order, exact = config.search.order, config.search.hvp == "exact"
    if order == 1:
        return measure(supernet, [alphas_move, weights_move], image_shape)
    # Second order's passes in full precision are the larger ones.
    return measure(supernet, [supernet], image_shape, order=2, exact=exact)


def of_training(network: nn.Module, config: TrainConfig, image_shape: Sequence[int]) -> Footprint:
    """What a step of a training will need."""
    device = next(network.parameters()).device

    def forward(images: Tensor) -> None:
        with devices.autocast(device, config.engine):
            network(images)

    estimate = measure(network, [forward], image_shape)
    if not config.weights.sam_rho:
        return estimate
    # In the second pass the weights to come back to are kept beside the perturbed ones.
    weights = sum(w.numel() * w.element_size() for w in network.parameters())
    return estimate._replace(fixed=estimate.fixed + weights)


@contextmanager
def _frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def measure(
    network: nn.Module,
    passes: Sequence[Forward],
    image_shape: Sequence[int],
    *,
    order: int = 1,
    exact: bool = False,
) -> Footprint:
    """The peak of a step, above what the process holds before it.

    Args:
        network: where it will compute; put into training mode, and left as it is.
        passes: the forward passes of a step; the one that keeps most decides.
        image_shape: (C, H, W).
        order: 2 if alpha's step looks one step of the weights ahead.
        exact: whether it differentiates twice.
    """
    network.train()
    weights = list(network.parameters())
    device = weights[0].device
    kept: list[int] = []
    with statistics_kept(network), torch.random.fork_rng([]), _no_benchmark():
        for batch in FEW:
            images = torch.zeros(batch, *image_shape, device=device)
            images = images.contiguous(memory_format=torch.channels_last)
            kept.append(max(_kept(run, images, network) for run in passes))
    per_image = kept[1] - kept[0]
    fixed = max(0, kept[0] - FEW[0] * per_image)
    factor = (EXACT if exact else 1.0) + BACKWARD
    copies = COPIES[order] * sum(w.numel() * w.element_size() for w in weights)
    return Footprint(LOADED + copies + int(factor * fixed), int(factor * per_image))


@contextmanager
def _no_benchmark() -> Iterator[None]:
    """For a few batches, looking for the fastest kernels would take longer than all the rest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _kept(run: Forward, images: Tensor, network: nn.Module) -> int:
    """Bytes that autograd keeps of a forward pass, each storage once; the weights left out.

    Of cells that are computed again in the backward pass: what they give, and all of the largest.
    """
    # Held while we count, so that no storage's address is given to another.
    seen = {w.untyped_storage()._cdata: w.untyped_storage() for w in network.parameters()}
    total, given = 0, 0
    by_cell: list[int] = []

    def count(tensor: Tensor) -> None:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen[storage._cdata] = storage
            total += storage.nbytes()

    def enter(_cell: nn.Module, _inputs: object) -> None:
        by_cell.append(-total)

    def leave(_cell: nn.Module, _inputs: object, out: Tensor) -> None:
        nonlocal given
        by_cell[-1] += total
        given += out.untyped_storage().nbytes()

    handles = []
    recomputes = isinstance(network, RelaxedNetwork) and network.recomputes
    if isinstance(network, RelaxedNetwork) and recomputes:
        handles = [cell.register_forward_pre_hook(enter) for cell in network.cells]
        handles += [cell.register_forward_hook(leave) for cell in network.cells]
        network.recomputes = False
    try:
        # Nothing goes backward here, so nothing need be given back.
        with torch.autograd.graph.saved_tensors_hooks(count, lambda _: images):
            run(images)
    finally:
        for handle in handles:
            handle.remove()
        if isinstance(network, RelaxedNetwork):
            network.recomputes = recomputes
    if not by_cell:
        return total
    return total - sum(by_cell) + max(by_cell) + given


def refuse_what_cannot_fit(
    found: Footprint, batch_size: int, device: torch.device, ranks: int = 1
) -> None:
    """Do nothing if a step fits into what is free on the device.

    Args:
        found: the step's footprint.
        batch_size: images of a step in this process.
        device: where it computes.
        ranks: processes that share a batch.

    Raises:
        TooLargeError: it does not; names the largest batch size that would.
    """
    needed, room = found.of(batch_size), available(device)
    if needed <= room:
        return
    fits = found.largest_batch(room)
    remedy = (
        f"--batch-size {fits * ranks} would fit"
        if fits >= 2
        else "not even a batch of 2 would fit: lower --channels or --layers"
    )
    raise TooLargeError(
        f"a step needs about {gigabytes(needed)}, and {gigabytes(room)} are free",
        where=f"batches of {batch_size} images on {device}",
        remedy=f"{remedy}; --no-memory-check starts it all the same",
    )


def available(device: torch.device) -> int:
    """Bytes that a process could still take on a device; RAM within its cgroup's limit."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    free = psutil.virtual_memory().available
    return min([free, *_cgroup_rooms(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def _cgroup_rooms(root: Path, membership: Path) -> Iterator[int]:
    """What is left of each limit on this process's control groups, version 1 and 2."""
    names = (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    )
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top = root / "memory" if "memory" in controllers.split(",") else root
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            for limit, usage in names:
                try:
                    yield int((folder / limit).read_text()) - int((folder / usage).read_text())
                except (OSError, ValueError):
                    continue
            if folder == root:
                break


def gigabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB"
