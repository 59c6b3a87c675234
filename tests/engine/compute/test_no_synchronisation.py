"""No step waits for the device: not one number is read back, whatever the method or the size.

On `meta` tensors have no numbers, so that reading one raises. On real devices every read is an
operation, which `no_reads` looks out for.
"""

from contextlib import contextmanager

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from darts_engine.data.dataset import Dataset, Part
from darts_engine.layers import operations
from darts_engine.run.architecture.text import published
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import KINDS
from darts_engine.runner.meter import FiniteGuard
from darts_engine.runner.position import Position
from darts_engine.search.task import Search
from darts_engine.supernet.edge import MixedEdge
from darts_engine.supernet.source import Source
from darts_engine.supernet.stochastic import StochasticOps
from darts_engine.supernet.supernet import Supernet
from darts_engine.training.task import Train

META = torch.device("meta")
TINY = {
    "search": {"space.channels": 4, "space.layers": 3, "space.nodes": 2},
    "train": {
        "network.channels": 4,
        "network.layers": 3,
        "network.genotype": published()["DARTS_V2"].genotype.text(),
        "data.cutout": 2,
    },
}
AT_1 = Position(epoch=1, step=1, global_step=1)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    return torch.device(request.param)


@contextmanager
def no_reads(device, counters=()):
    """Raises where a number of a tensor, or a tensor of the device, goes back to the host.

    `counters` are of the host on every device, but look like the device's on the CPU.
    """
    with NoCopies(), NoReads(device, {counter.data_ptr() for counter in counters}):
        yield


class NoCopies(TorchFunctionMode):
    """The reads that are no operations on the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu):
            raise AssertionError(f"a tensor is read: {func}")
        return func(*args, **(kwargs or {}))


class NoReads(TorchDispatchMode):
    """All other reads."""

    def __init__(self, device, counters):
        super().__init__()
        self.device, self.counters = device, counters

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        packet = func.overloadpacket
        if packet in (torch.ops.aten._local_scalar_dense, torch.ops.aten.equal):
            ours = args[0].device.type == self.device.type
            if ours and args[0].data_ptr() not in self.counters:
                raise AssertionError(f"a number is read: {func}")
        if packet in (torch.ops.aten.nonzero, torch.ops.aten.masked_select):
            raise AssertionError(f"a size is read: {func}")
        out = func(*args, **(kwargs or {}))
        from_device = any(isinstance(a, torch.Tensor) and a.device == self.device for a in args)
        if from_device and isinstance(out, torch.Tensor) and out.device.type != self.device.type:
            raise AssertionError(f"a tensor is read: {func}")
        return out


def task_of(kind, device, size=(8, 8), **changes):
    config = configs.override(KINDS[kind](), {"data.batch_size": 4, **TINY[kind], **changes})
    draws = torch.Generator().manual_seed(0)
    parts = (
        Part(
            torch.randint(0, 256, (count, *size, 3), generator=draws, dtype=torch.uint8),
            torch.arange(count) % 4,
        )
        for count in (16, 8)
    )
    dataset = Dataset("made up", list("abcd"), *parts)
    task = (Search if kind == "search" else Train)(config, dataset, device)
    # What the CPU checks at once to keep its weights clean, GPUs settle when an event is due.
    task._finite._immediately = False
    task.begin_epoch(1)
    return task


CASES = [
    ("search", {"search.order": 2}),
    pytest.param("search", {"search.order": 2, "search.hvp": "exact"}, marks=pytest.mark.slow),
    ("search", {"engine.amp": True, "engine.checkpoint_activations": True}),
    pytest.param("train", {}, marks=pytest.mark.slow),
    ("train", {"engine.amp": True}),
]


@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_no_step_reads_a_number(kind, changes, device):
    task = task_of(kind, device, **changes)
    task.step(1, 1)
    adam = task.method.architect._optimizer.state.values() if kind == "search" else ()
    with no_reads(device, [state["step"] for state in adam]):
        task.step(1, 2)
    assert task.report(AT_1)


def test_the_guard_notices_reads(device):
    x = torch.ones(2, device=device)
    reads = [x.sum().item, x.tolist, lambda: bool(x[0]), lambda: float(x[0]), x.nonzero]
    reads += [x.cpu, x.numpy]
    for read in reads:
        with pytest.raises(AssertionError, match="is read"), no_reads(device):
            read()


def test_a_report_is_where_numbers_are_read(device):
    task = task_of("search", device)
    task.step(1, 1)
    with pytest.raises(AssertionError, match="is read"), no_reads(device):
        task.report(AT_1)


@pytest.mark.parametrize(
    ("kind", "changes", "size"),
    [
        pytest.param("search", {"search.order": 2}, (7, 9), marks=pytest.mark.slow),
        ("train", {}, (9, 11)),
    ],
)
def test_steps_run_on_meta(kind, changes, size):
    task = task_of(kind, META, size, **changes)
    task.step(1, 1)
    network = task.supernet if kind == "search" else task.network
    assert all(p.device == META for p in network.parameters())


@pytest.mark.parametrize(("size", "stride"), [((8, 8), 2), ((7, 9), 1), ((7, 9), 2)])
def test_every_operation_goes_forward_and_backward_on_meta(size, stride):
    names = operations.PRIMITIVES
    with META:
        source = Source(4, stride, set(names), partial=1)
        edge = MixedEdge(names, 4, stride, StochasticOps(), auxiliary_skip=False)
        x = torch.empty(2, 4, *size, requires_grad=True)
        weights = torch.empty(len(names), requires_grad=True)
    out = edge(source(x), weights)
    halved = tuple(-(-side // stride) for side in size)
    assert out.shape == (2, 4, *halved)
    out.sum().backward()
    assert x.grad.shape == x.shape
    for name in (*names, "sep_conv_7x7", "conv_7x1_1x7"):
        with META:
            operation = operations.derived_operation(name, 4, stride)
            out = operation(torch.empty(2, 4, *size, requires_grad=True))
        assert out.shape == (2, 4, *halved)
        if name != operations.NONE:
            out.sum().backward()


def test_reading_on_meta_raises():
    with pytest.raises(RuntimeError, match="meta"):
        FiniteGuard(META).settle()
    with META:
        supernet = Supernet(channels=4, layers=3)
    with pytest.raises(RuntimeError, match="meta"):
        supernet(torch.empty(2, 3, 8, 8, device=META)).sum().item()
