"""Estimate the memory of a step before the first one.

The run's own network computes a forward pass of two images and one of three, on its own device and
in its own precision, while hooks count the bytes that autograd keeps for the backward pass. The
difference is what an image adds. That is nearly all of a step's peak; the rest is the copies of the
weights and the gradients of a backward pass. The network does not change. The estimate is within
35 percent of the measured peak on the CPU (tests/engine/memory/test_footprint.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor, nn

from darts_engine.compute import device as devices
from darts_engine.compute.out_of_memory import limit_bytes
from darts_engine.layers.norm import statistics_kept
from darts_engine.run.errors import TooLargeError
from darts_engine.run.settings.config import SearchConfig, TrainConfig
from darts_engine.supernet.relaxed import RelaxedNetwork

# Bytes of gradients in a backward pass, relative to what the forward pass kept; measured.
BACKWARD = 0.15
# Bytes that the exact product keeps, relative to one backward pass, because it differentiates the
# backward pass as well; measured.
EXACT = 4.0
# Copies of the weights at the peak, by order: weights, gradients, momentum; second order adds the
# saved weights, the vector, and the offset along it.
COPIES = {1: 3, 2: 6}
# Bytes of kernels and their buffers, which the first step loads.
LOADED = 32_000_000
# Images of the two forward passes.
FEW = (2, 3)

# A forward pass, given images (B, C, H, W), or whatever else the network reads.
Forward = Callable[[Any], object]


class Footprint(NamedTuple):
    """Bytes of a step's peak.

    Attributes:
        fixed: bytes that do not depend on the batch.
        per_image: bytes of each image, or column of a text.
        unit: what a batch counts.
        sizes: the options that a smaller network is asked for with.
    """

    fixed: int
    per_image: int
    unit: str = "images"
    sizes: str = "--channels or --layers"

    def of(self, batch_size: int) -> int:
        """The bytes of a step with a batch of this size."""
        return self.fixed + batch_size * self.per_image

    def largest_batch(self, room: int) -> int:
        """The largest batch whose peak is at most `room` bytes; 0 if there is none."""
        return max(0, (room - self.fixed) // self.per_image)


def of_search(
    supernet: RelaxedNetwork, config: SearchConfig, image_shape: Sequence[int]
) -> Footprint:
    """The footprint of a search: of its alpha step or its weight step, whichever is larger.

    Args:
        supernet: on its device; unchanged.
        config: of the search.
        image_shape: (C, H, W).
    """
    precision = partial(devices.autocast, next(supernet.parameters()).device, config.engine)
    alphas, weights = list(supernet.alphas.parameters()), list(supernet.weights())

    def forward(images: Tensor) -> None:
        with precision():
            supernet(images)

    def forward_for_alphas(images: Tensor) -> None:
        with frozen(weights):
            forward(images)

    def forward_for_weights(images: Tensor) -> None:
        with frozen(alphas):
            forward(images)

    order, exact = config.search.order, config.search.hvp == "exact"
    if order == 1:
        return measure(supernet, [forward_for_alphas, forward_for_weights], images_of(image_shape))
    # Second order's passes are in full precision, which takes more memory.
    return measure(supernet, [supernet], images_of(image_shape), order=2, exact=exact)


def of_training(network: nn.Module, config: TrainConfig, image_shape: Sequence[int]) -> Footprint:
    """The footprint of a training.

    Args:
        network: on its device; unchanged.
        config: of the training.
        image_shape: (C, H, W).
    """
    device = next(network.parameters()).device

    def forward(images: Tensor) -> None:
        with devices.autocast(device, config.engine):
            network(images)

    estimate = measure(network, [forward], images_of(image_shape))
    if not config.weights.sam_rho:
        return estimate
    # The second pass of SAM keeps the original weights beside the perturbed ones.
    weights = sum(w.numel() * w.element_size() for w in network.parameters())
    return estimate._replace(fixed=estimate.fixed + weights)


@contextmanager
def frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, forward passes record nothing for the gradients of these parameters."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def images_of(image_shape: Sequence[int]) -> Callable[[int, torch.device], Tensor]:
    """Makes images (B, C, H, W) of zeros, given their number and the device."""

    def make(batch: int, device: torch.device) -> Tensor:
        images = torch.zeros(batch, *image_shape, device=device)
        return images.contiguous(memory_format=torch.channels_last)

    return make


def measure(
    network: nn.Module,
    passes: Sequence[Forward],
    make: Callable[[int, torch.device], Any],
    *,
    order: int = 1,
    exact: bool = False,
) -> Footprint:
    """The peak of a step, above what the process holds before it.

    Args:
        network: on its device; put into training mode and otherwise unchanged.
        passes: the forward passes of a step; the one that keeps the most bytes counts.
        make: makes what the network reads, given the size of the batch and the device.
        order: of alpha's step, 1 or 2.
        exact: whether second order takes the exact product, which differentiates twice.
    """
    network.train()
    weights = list(network.parameters())
    device = weights[0].device
    kept: list[int] = []
    with statistics_kept(network), torch.random.fork_rng([]), _no_benchmark():
        for batch in FEW:
            inputs = make(batch, device)
            kept.append(max(_kept(run, inputs, network) for run in passes))
    per_image = kept[1] - kept[0]
    fixed = max(0, kept[0] - FEW[0] * per_image)
    factor = (EXACT if exact else 1.0) + BACKWARD
    copies = COPIES[order] * sum(w.numel() * w.element_size() for w in weights)
    return Footprint(LOADED + copies + int(factor * fixed), int(factor * per_image))


@contextmanager
def _no_benchmark() -> Iterator[None]:
    """Turn off the search for the fastest kernels, which would take longer than the passes."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _kept(run: Forward, inputs: Any, network: nn.Module) -> int:
    """Bytes that autograd keeps of a forward pass, each storage once, without the weights.

    With activation checkpointing: the outputs of all cells, and everything of the largest cell.
    """
    # Held while counting, so that no address is used for two storages.
    seen = {w.untyped_storage()._cdata: w.untyped_storage() for w in network.parameters()}
    total, outputs = 0, 0
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
        nonlocal outputs
        by_cell[-1] += total
        outputs += out.untyped_storage().nbytes()

    handles = []
    recomputes = isinstance(network, RelaxedNetwork) and network.recomputes
    if isinstance(network, RelaxedNetwork) and recomputes:
        handles = [cell.register_forward_pre_hook(enter) for cell in network.cells]
        handles += [cell.register_forward_hook(leave) for cell in network.cells]
        network.recomputes = False
    try:
        # There is no backward pass, so unpacking may return anything.
        with torch.autograd.graph.saved_tensors_hooks(count, lambda _: inputs):
            run(inputs)
    finally:
        for handle in handles:
            handle.remove()
        if isinstance(network, RelaxedNetwork):
            network.recomputes = recomputes
    if not by_cell:
        return total
    return total - sum(by_cell) + max(by_cell) + outputs


def check_step_fits(
    found: Footprint, batch_size: int, device: torch.device, ranks: int = 1
) -> None:
    """Raise an error if a step does not fit into the free memory of the device.

    Args:
        found: the step's footprint.
        batch_size: images or columns of a step in this process.
        device: where it computes.
        ranks: processes that share a batch.

    Raises:
        TooLargeError: it does not fit; the remedy is the largest batch size that does.
    """
    needed, room = found.of(batch_size), available(device)
    if needed <= room:
        return
    fits = found.largest_batch(room)
    remedy = (
        f"--batch-size {fits * ranks} would fit"
        if fits >= 2
        else f"not even a batch of 2 would fit: lower {found.sizes}"
    )
    raise TooLargeError(
        f"a step needs about {gigabytes(needed)}, and {gigabytes(room)} are free",
        where=f"batches of {batch_size} {found.unit} on {device}",
        remedy=f"{remedy}; --no-memory-check starts it all the same",
    )


def available(device: torch.device) -> int:
    """Free bytes of a device; of the CPU, those within the limits of this process and its cgroups.

    An address space that `ulimit -v` limits counts whole, used or not: what it leaves is the most
    that can be allocated.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    free = psutil.virtual_memory().available
    limit = limit_bytes()
    if limit is not None:
        free = max(0, min(free, limit - psutil.Process().memory_info().vms))
    return min([free, *_cgroup_rooms(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def _cgroup_rooms(root: Path, membership: Path) -> Iterator[int]:
    """The bytes left under each memory limit of this process's cgroups, version 1 and 2."""
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
    """Bytes as text, for example "1.2 GB"."""
    return f"{count / 1e9:.1f} GB"
