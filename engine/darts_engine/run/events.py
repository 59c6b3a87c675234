"""Events, in the past tense: one struct per kind of line in `events.jsonl`.

Every line carries `v` (format version), `seq` (its place, from 1), `t` (Unix seconds) and `type`.
Order is by `seq`; `t` is for people. Epochs and steps count from 1. Losses are natural-log cross
entropies, accuracies are percent, durations are seconds unless a name says otherwise. A number
that is not finite is written as null.

`docs/events.md` describes each type; a test holds the two together.
"""

from typing import Any, get_args

import msgspec

from darts_engine.run.architecture.genotype import Genotype, GenotypeChange
from darts_engine.run.architecture.layout import CellLayout, Matrix

VERSION = 1


def _type_name(class_name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in class_name).lstrip("_")


class Event(msgspec.Struct, tag_field="type", tag=_type_name, kw_only=True, frozen=True):
    """What all events have in common. `seq` and `t` are filled in by the log."""

    seq: int = 0
    t: float = 0.0
    v: int = VERSION


class ScheduleSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One planned quantity: its value at the start of each epoch (length = epochs)."""

    name: str
    label: str
    values: list[float]


class RunStarted(Event, kw_only=True, frozen=True):
    """An engine took the run up, for the first time or again (`resumed_at_step` is not null).

    `memory_estimate_bytes` is the expected peak of a step, above what the idle engine holds.
    """

    name: str
    kind: str
    config: dict[str, Any]
    versions: dict[str, str]
    device: str
    threads: int
    pid: int
    host: str
    parameters: int
    alpha_parameters: int = 0
    epochs: int
    steps_per_epoch: int
    method: str = ""
    space: str = ""
    dataset: str
    classes: list[str]
    images: dict[str, int]
    image_shape: list[int]
    cells: list[CellLayout] = []
    schedules: list[ScheduleSpan] = []
    genotype: Genotype | None = None
    resumed_at_step: int | None = None
    memory_estimate_bytes: int | None = None


class Rewound(Event, kw_only=True, frozen=True):
    """Work after a checkpoint was lost and is being done again, or was given up by a search.

    The checkpoint knows all events up to `to_seq`; those between it and this one are superseded.
    `reason` is why a search itself went back, and `schedules` what it plans since; else empty.
    """

    to_seq: int
    to_step: int
    to_epoch: int
    checkpoint: str
    reason: str = ""
    schedules: list[ScheduleSpan] = []


class EpochStarted(Event, kw_only=True, frozen=True):
    """`schedules` maps each schedule's name to its value in this epoch."""

    epoch: int
    steps: int
    schedules: dict[str, float]


class StepFinished(Event, kw_only=True, frozen=True):
    """Thinned to a few a second. Losses are means over the steps since the last such event."""

    epoch: int
    step: int
    global_step: int
    train_loss: float | None = None
    train_top1: float | None = None
    alpha_loss: float | None = None


class AlphaSampled(Event, kw_only=True, frozen=True):
    """`alphas[cell]` is the raw architecture matrix, `weights[cell]` what mixes the operations."""

    epoch: int
    step: int
    global_step: int
    alphas: dict[str, Matrix]
    weights: dict[str, Matrix]


class GenotypeDerived(Event, kw_only=True, frozen=True):
    """What the alphas say now. `changed` compares with the genotype derived before."""

    epoch: int
    step: int
    global_step: int
    genotype: Genotype
    text: str
    changed: list[GenotypeChange] = []


class AccuracyTabulated(Event, kw_only=True, frozen=True):
    """What a published table says of the genotype just derived, in percent.

    `table` is nasbench201 (measured) or nasbench301 (predicted); `values` is by data set, with
    "-valid" where it was measured on validation images.
    """

    epoch: int
    step: int
    global_step: int
    table: str
    values: dict[str, float]


class EpochFinished(Event, kw_only=True, frozen=True):
    """`valid_*` is the half that alpha learns from in a search, the test part in training."""

    epoch: int
    global_step: int
    train_loss: float | None
    train_top1: float | None
    train_top5: float | None = None
    valid_loss: float | None
    valid_top1: float | None
    valid_top5: float | None = None
    auxiliary_loss: float | None = None
    seconds: float
    images_per_s: float
    is_best: bool = False


class HealthMeasured(Event, kw_only=True, frozen=True):
    """Entropies are means over a cell's edges, in nats; gradient norms are of the last step.

    `sharpness_gap` is the mean loss at the weights that sharpness-aware minimisation perturbed
    minus that at the weights themselves, in nats, over the epoch's steps.
    """

    epoch: int
    global_step: int
    entropy: dict[str, float | None] = {}
    skip_count: dict[str, int] = {}
    kept_edges: dict[str, int] = {}
    alpha_grad_norm: float | None = None
    weight_grad_norm: float | None = None
    sharpness_gap: float | None = None
    eigenvalue: float | None = None


class HvpChecked(Event, kw_only=True, frozen=True):
    """What the finite difference of second order costs in exactness, at one step's batches.

    `relative_distance` is |h - exact h| / |exact h| of the product with the Hessian,
    `gradient_distance` the same of alpha's whole gradient, `radius` the r of the difference.
    """

    epoch: int
    step: int
    global_step: int
    radius: float
    relative_distance: float | None
    gradient_distance: float | None


class MeanShifted(Event, kw_only=True, frozen=True):
    """The mean-shift perturbation of the last weight step; thinned as the alpha samples are.

    `losses` are of the samples in the order they were drawn (T shifts of N samples each), `shift`
    is how far each cell's mixing weights went (L2).
    """

    epoch: int
    step: int
    global_step: int
    losses: list[float | None]
    shift: dict[str, float | None]
    radius: float
    bandwidth: float


class GapMeasured(Event, kw_only=True, frozen=True):
    """The supernet against itself, cut to the genotype, on the half that alpha learns from.

    `derived_*` uses the running statistics of the mixture, `renewed_*` those of the cut network.
    """

    epoch: int
    step: int
    global_step: int
    supernet_loss: float | None
    supernet_top1: float | None
    derived_loss: float | None
    derived_top1: float | None
    renewed_loss: float | None
    renewed_top1: float | None


class GpuFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU. Percent, bytes, watts, degrees Celsius."""

    name: str
    utilisation: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    temperature_c: float | None = None


class SystemMeasured(Event, kw_only=True, frozen=True):
    """The engine process and its machine. `cpu_percent` is of one core, so it may pass 100."""

    global_step: int
    images_per_s: float | None = None
    step_ms: float | None = None
    alpha_ms: float | None = None
    weight_ms: float | None = None
    data_ms: float | None = None
    cpu_percent: float
    cpu_count: int
    rss_bytes: int
    memory_total_bytes: int
    disk_free_bytes: int | None = None
    gpus: list[GpuFigures] = []


class CheckpointSaved(Event, kw_only=True, frozen=True):
    """Written after the file is durable. `path` is relative to the run folder."""

    path: str
    reason: str
    epoch: int
    step: int
    global_step: int
    size_bytes: int
    seconds: float


class CommandAccepted(Event, kw_only=True, frozen=True):
    """A command was read and will be carried out."""

    id: str
    command: str
    source: str = ""


class CommandDone(Event, kw_only=True, frozen=True):
    """A command was carried out, `seconds` after it was read."""

    id: str
    command: str
    seconds: float


class CommandRejected(Event, kw_only=True, frozen=True):
    """A line of `commands.jsonl` was refused; the run is as before."""

    id: str = ""
    command: str = ""
    reason: str


class DownloadProgressed(Event, kw_only=True, frozen=True):
    """So much of a data set's or table's file is here, before the run starts; one a second."""

    file: str
    done_bytes: int
    total_bytes: int


class RunPaused(Event, kw_only=True, frozen=True):
    """The engine holds at a step boundary. `reason` is "command" or what went wrong."""

    epoch: int
    step: int
    global_step: int
    reason: str


class RunContinued(Event, kw_only=True, frozen=True):
    """The engine left its pause."""

    epoch: int
    step: int
    global_step: int


class RunStopping(Event, kw_only=True, frozen=True):
    """The engine will save a checkpoint and end."""

    reason: str


class RunStopped(Event, kw_only=True, frozen=True):
    """The engine ended on a command or signal; `darts-tui resume` goes on from here."""

    epoch: int
    step: int
    global_step: int
    reason: str


class RunFinished(Event, kw_only=True, frozen=True):
    """All epochs are done. A search has a genotype, a training its best test accuracy."""

    seconds: float
    genotype: Genotype | None = None
    text: str = ""
    train_top1: float | None = None
    valid_top1: float | None = None
    best_top1: float | None = None
    best_epoch: int | None = None


class RunFailed(Event, kw_only=True, frozen=True):
    """The run ended by a fault. `message` has at most three lines; engine.log has the traceback."""

    message: str
    exit_code: int


class LogWritten(Event, kw_only=True, frozen=True):
    """A line for people. `level` is info, warning or error."""

    level: str
    message: str


class AlertRaised(Event, kw_only=True, frozen=True):
    """Something a person should look at: `code` is stable, `message` is for reading."""

    code: str
    message: str
    epoch: int
    global_step: int


class EventsDropped(Event, kw_only=True, frozen=True):
    """`count` events could not be written (a full disk) before this one."""

    count: int


AnyEvent = (
    RunStarted
    | Rewound
    | EpochStarted
    | StepFinished
    | AlphaSampled
    | GenotypeDerived
    | AccuracyTabulated
    | EpochFinished
    | HealthMeasured
    | HvpChecked
    | MeanShifted
    | GapMeasured
    | SystemMeasured
    | CheckpointSaved
    | CommandAccepted
    | CommandDone
    | CommandRejected
    | DownloadProgressed
    | RunPaused
    | RunContinued
    | RunStopping
    | RunStopped
    | RunFinished
    | RunFailed
    | LogWritten
    | AlertRaised
    | EventsDropped
)

TYPES = frozenset(kind.__struct_config__.tag for kind in get_args(AnyEvent))

# Events that tell of work: those after a checkpoint are lost with it.
WORK = (
    StepFinished,
    AlphaSampled,
    GenotypeDerived,
    AccuracyTabulated,
    EpochFinished,
    HealthMeasured,
    MeanShifted,
    GapMeasured,
    AlertRaised,
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """One line of the log, newline included; half characters, as in odd paths, become "?"."""
    try:
        return _encoder.encode(event) + b"\n"
    except UnicodeEncodeError:
        return _encoder.encode(_whole(msgspec.to_builtins(event))) + b"\n"


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list | tuple) else value


def decode(line: bytes) -> AnyEvent:
    """The event on a line.

    Raises:
        msgspec.MsgspecError: the line is not an event this version knows.
    """
    event: AnyEvent = _decoder.decode(line)
    return event
