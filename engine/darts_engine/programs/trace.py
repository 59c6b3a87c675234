"""Reads time and memory by kind of operation from a profiler's trace of a search step.

Operations inside a label (`LABELS`) are of that kind; the others are classified by name. An
operation of a backward pass counts for the kind of the forward operation that it differentiates:
autograd gives both the same sequence number.
"""

from collections.abc import Iterable, Iterator

import msgspec

# The label around everything that is counted.
STEP = "step"
DEPTHWISE = "depthwise convolution"
POINTWISE = "pointwise convolution"
CONVOLUTION = "other convolution"
NORM = "batch norm"
POOLING = "pooling"
RELU = "ReLU"
MIXING = "mixing"
CONCATENATION = "concatenation"
AUGMENTATION = "augmentation and indexing"
OPTIMIZER = "optimizer"
OTHER = "other operations"
BETWEEN = "between operations"
KINDS = (
    DEPTHWISE, POINTWISE, CONVOLUTION, NORM, POOLING, RELU, MIXING, CONCATENATION, AUGMENTATION,
    OPTIMIZER, OTHER, BETWEEN,
)  # fmt: skip

# Kinds by the beginning of an operation's name, where no label around it has decided.
_BY_NAME = {
    "aten::conv": CONVOLUTION,
    "aten::relu": RELU,
    "aten::max_pool2d": POOLING,
    "aten::avg_pool2d": POOLING,
    "aten::adaptive_avg_pool2d": POOLING,
    "aten::batch_norm": NORM,
    "aten::cat": CONCATENATION,
    "aten::softmax": MIXING,
    "Optimizer.": OPTIMIZER,
    # Gradient clipping, and the steps in place of second order.
    "aten::linalg_vector_norm": OPTIMIZER,
    "aten::_foreach_": OPTIMIZER,
    # The host waits for a GPU.
    "cudaDeviceSynchronize": BETWEEN,
}
_BACKWARD = "autograd::engine::evaluate_function: "
_ACCUMULATE = f"{_BACKWARD}torch::autograd::AccumulateGrad"
# Labels inside a mixing label count for their own kind; any other label decides for all inside.
_CONTAINERS = (MIXING,)
LABELS = frozenset(KINDS)
# Launches of a GPU's runtime are host work too: a kernel is traced back to its launch.
_HOST_WORK = ("cpu_op", "user_annotation", "cuda_runtime", "cuda_driver")
_DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")
FOREVER = float("inf")


class Row(msgspec.Struct):
    """One kind of operation in a mean step: calls of the forward pass, memory of both passes."""

    kind: str
    calls: float = 0.0
    forward_ms: float = 0.0
    backward_ms: float = 0.0
    share: float = 0.0
    allocated_mb: float = 0.0
    device_ms: float = 0.0


class _Arguments(msgspec.Struct, rename={"sequence": "Sequence number", "bytes": "Bytes"}):
    sequence: int | None = None
    bytes: int = 0
    correlation: int | None = None


class _Event(msgspec.Struct):
    """An entry of the trace; times are microseconds."""

    ph: str
    name: str = ""
    cat: str = ""
    ts: float = 0.0
    dur: float = 0.0
    args: _Arguments = msgspec.field(default_factory=_Arguments)


class _Trace(msgspec.Struct):
    traceEvents: list[msgspec.Raw]  # noqa: N815  the format's name


class _Open(msgspec.Struct):
    """An operation of the trace that has not ended yet."""

    end: float
    kind: str
    # Whether everything inside is of this kind too.
    decided: bool
    backward: bool
    # Whether it is one of our labels; its own time belongs to no operation.
    label: bool


class Tally:
    """Adds up the traces of steps, each recorded on one host thread and labelled `STEP`."""

    def __init__(self) -> None:
        self.rows = {kind: Row(kind) for kind in KINDS}
        self.steps, self.peak_bytes = 0, 0

    def add(self, trace: bytes) -> None:
        """Count the trace of one step, in Chrome's JSON."""
        host, device = [], []
        for event in _events(trace):
            if event.cat in _DEVICE_WORK:
                device.append(event)
            elif event.name == "[memory]" or event.cat in _HOST_WORK:
                host.append(event)
        launches = self._walk(sorted(host, key=lambda event: (event.ts, -event.dur)))
        for event in device:
            kind = launches.get(event.args.correlation or 0)
            if kind is not None:
                self.rows[kind].device_ms += event.dur / 1000
        self.steps += 1

    def _walk(self, events: Iterable[_Event]) -> dict[int, str]:
        """Count all time for the kind of the innermost operation. Returns: launch -> kind."""
        # A backward operation belongs to the last forward operation with its sequence number.
        owners: dict[int, str] = {}
        launches: dict[int, str] = {}
        stack = [_Open(FOREVER, OTHER, decided=False, backward=False, label=True)]
        allocated = 0
        for event in events:
            while event.ts >= stack[-1].end:
                stack.pop()
            outer = stack[-1]
            if outer.end == FOREVER and event.name != STEP:
                continue
            if event.name == "[memory]":
                allocated += event.args.bytes
                self.peak_bytes = max(self.peak_bytes, allocated)
                self.rows[outer.kind].allocated_mb += max(0, event.args.bytes) / 1e6
                continue
            inner = _enter(event, outer, owners)
            self._count(event, inner, outer)
            if event.args.correlation is not None:
                launches[event.args.correlation] = inner.kind
            stack.append(inner)
        return launches

    def _count(self, event: _Event, inner: _Open, outer: _Open) -> None:
        ms = event.dur / 1000
        self._charge(inner, ms)
        if outer.end != FOREVER:
            self._charge(outer, -ms)
        begins = outer.label and not outer.decided and not inner.backward
        if begins and (inner.decided or not inner.label):
            self.rows[inner.kind].calls += 1

    def _charge(self, operation: _Open, ms: float) -> None:
        row = self.rows[BETWEEN if operation.label else operation.kind]
        if operation.backward:
            row.backward_ms += ms
        else:
            row.forward_ms += ms


def _events(trace: bytes) -> Iterator[_Event]:
    decoder = msgspec.json.Decoder(_Event)
    for raw in msgspec.json.decode(trace, type=_Trace).traceEvents:
        try:
            yield decoder.decode(raw)
        except msgspec.ValidationError:
            # Metadata, whose arguments are of other types.
            continue


def _enter(event: _Event, outer: _Open, owners: dict[int, str]) -> _Open:
    """Classify an operation by what surrounds it and what came before."""
    backward = event.name.startswith(_BACKWARD)
    label = event.cat == "user_annotation" and not event.name.startswith("Optimizer.")
    number = event.args.sequence
    kind, decided = outer.kind, outer.decided
    if event.name == _ACCUMULATE:
        kind, decided = OPTIMIZER, True
    elif backward and not outer.decided:
        kind, decided = owners.get(-1 if number is None else number, OTHER), True
    elif label and event.name in LABELS and not outer.decided:
        kind, decided = event.name, event.name not in _CONTAINERS
    elif not outer.decided and not label:
        found = next((k for name, k in _BY_NAME.items() if event.name.startswith(name)), None)
        kind, decided = found or outer.kind, True
    if number is not None and not backward:
        owners[number] = kind
    return _Open(event.ts + event.dur, kind, decided, backward or outer.backward, label)
