"""The shortest time a step could take on this machine, and the fraction of it that we reach.

Operations count as follows: those of the convolutions and the classifier as the paper defines them,
two for a multiplication and addition, padding included. A weight step has three times those of a
forward pass, without the gradient of the images. Bytes count as follows: every convolution reads
its input and its weights once and writes its output once, in float32. Norms, poolings and sums
count nothing. A weight step moves three times as much. The floor of a step is the longer of two
times: its operations at the machine's best rate, and its bytes at the machine's copying rate.
"""

from collections.abc import Callable

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.bench import steps
from darts_engine.bench.timing import Comparison, clock
from darts_engine.supernet.supernet import Supernet

TRIES = 7


class Machine(msgspec.Struct, frozen=True):
    """The best rates of this machine with the current threads, of several tries."""

    matrix_gflop_per_s: float
    convolution_gflop_per_s: float
    copy_gb_per_s: float

    @property
    def flops(self) -> float:
        """The better of both rates, in operations per second."""
        return 1e9 * max(self.matrix_gflop_per_s, self.convolution_gflop_per_s)


class Step(msgspec.Struct, frozen=True):
    """Operations and bytes of a step, its floor in seconds, and floor / measured time."""

    gflop: float
    gb: float
    operations_floor_s: float
    bytes_floor_s: float
    floor_s: float
    ours_s: float
    fraction: float


class Floor(msgspec.Struct, frozen=True):
    """The rates of the machine, and the floors of a forward pass and a weight step."""

    machine: Machine
    forward: Step
    weight_step: Step


def measure(batch: int, forward: Comparison, weight_step: Comparison) -> Floor:
    """The floors of two measured steps.

    Args:
        batch: images of a step.
        forward: what was measured of a forward pass, with the current threads.
        weight_step: what was measured of a weight step, with the current threads.
    """
    machine = rates()
    operations, moved, of_images = work(steps.channels_last(steps.random_batch(batch))[0])
    return Floor(
        machine=machine,
        forward=_step(machine, operations, moved, forward.ours_s),
        weight_step=_step(machine, 3 * operations - of_images, 3 * moved, weight_step.ours_s),
    )


def work(images: Tensor) -> tuple[int, int, int]:
    """Operations and bytes of a forward pass, and the operations of its first convolution."""
    # On the meta device nothing is computed, and no edges are fused.
    supernet = Supernet(channels=steps.CHANNELS, layers=steps.LAYERS).to("meta")
    counted: list[tuple[int, int]] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        weight = module.get_parameter("weight")
        operations = 2 * out.numel() * weight[0].numel()
        counted.append((operations, 4 * (inputs[0].numel() + out.numel() + weight.numel())))

    for module in supernet.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        supernet(images.to("meta"))
    operations, moved = (sum(column) for column in zip(*counted, strict=True))
    return operations, moved, counted[0][0]


def rates() -> Machine:
    """Measure the machine: a matrix product, a dense convolution, and a copy."""
    side, channels, size = 1536, 128, 32
    a, b = torch.randn(side, side), torch.randn(side, side)
    last = torch.channels_last
    x = torch.randn(16, channels, size, size).contiguous(memory_format=last)
    kernel = torch.randn(channels, channels, 3, 3).contiguous(memory_format=last)
    source = torch.randn(64 * 2**20)
    target = torch.empty_like(source)
    per_convolution = 2 * x.numel() * channels * 9
    return Machine(
        matrix_gflop_per_s=round(2 * side**3 / _fastest(lambda: a @ b) / 1e9, 1),
        convolution_gflop_per_s=round(
            per_convolution / _fastest(lambda: functional.conv2d(x, kernel, None, 1, 1)) / 1e9, 1
        ),
        copy_gb_per_s=round(
            2 * 4 * source.numel() / _fastest(lambda: target.copy_(source)) / 1e9, 1
        ),
    )


def _step(machine: Machine, operations: int, moved: int, ours_s: float) -> Step:
    computing, moving = operations / machine.flops, moved / (1e9 * machine.copy_gb_per_s)
    floor = max(computing, moving)
    return Step(
        gflop=round(operations / 1e9, 3),
        gb=round(moved / 1e9, 3),
        operations_floor_s=round(computing, 4),
        bytes_floor_s=round(moving, 4),
        floor_s=round(floor, 4),
        ours_s=ours_s,
        fraction=round(floor / ours_s, 3),
    )


def _fastest(act: Callable[[], object]) -> float:
    """Seconds of the fastest of several tries."""
    now = clock()
    act()
    seconds = []
    for _ in range(TRIES):
        began = now()
        act()
        seconds.append(now() - began)
    return min(seconds)
