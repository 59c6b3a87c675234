"""Events, in the past tense: one struct per kind of line in `events.jsonl`.

Every line has `v` (format version), `seq` (its number, from 1), `t` (Unix seconds) and `type`.
Order is by `seq`; `t` is for people. Epochs and steps count from 1. Losses are cross entropies in
nats, accuracies are percent, durations are seconds unless a name has another unit. A number that is
not finite is written as null.

`docs/events.md` describes each type and field; a test keeps both the same.
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
    """An engine started or resumed the run; in the second case `resumed_at_step` is not null.

    `memory_estimate_bytes` is the expected peak of a step, above what the idle engine holds. `run`
    is the run's id, see `run_id.py`; empty in logs of versions up to 0.2.0. `unit` is what `images`
    counts, "images" or "tokens"; a run on text has no classes, an empty `image_shape`, a
    `vocabulary`, and a number of steps per epoch that is a mean.
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
    run: str = ""
    unit: str = "images"
    vocabulary: int | None = None


class Rewound(Event, kw_only=True, frozen=True):
    """The run went back to a checkpoint: after a kill, or by a rollback of the search itself.

    The checkpoint was saved after event `to_seq`; events between that and this one are superseded.
    Only after a rollback, `reason` and `schedules` give its cause and the new schedules.
    """

    to_seq: int
    to_step: int
    to_epoch: int
    checkpoint: str
    reason: str = ""
    schedules: list[ScheduleSpan] = []


class EpochStarted(Event, kw_only=True, frozen=True):
    """An epoch begins or goes on. `schedules` is schedule name -> value in this epoch."""

    epoch: int
    steps: int
    schedules: dict[str, float]


class StepFinished(Event, kw_only=True, frozen=True):
    """A step is done. Not every step is written; losses are means since the last such event."""

    epoch: int
    step: int
    global_step: int
    train_loss: float | None = None
    train_top1: float | None = None
    alpha_loss: float | None = None


class AlphaSampled(Event, kw_only=True, frozen=True):
    """`alphas[cell]` is the matrix (E, O) of alpha, `weights[cell]` the operation weights."""

    epoch: int
    step: int
    global_step: int
    alphas: dict[str, Matrix]
    weights: dict[str, Matrix]


class GenotypeDerived(Event, kw_only=True, frozen=True):
    """The genotype of the present alpha. `changed` compares with the one derived before."""

    epoch: int
    step: int
    global_step: int
    genotype: Genotype
    text: str
    changed: list[GenotypeChange] = []


class AccuracyTabulated(Event, kw_only=True, frozen=True):
    """Accuracy of the genotype just derived according to a published table, in percent.

    `table` is nasbench201 (measured) or nasbench301 (predicted). `values` is by data set; a name
    with "-valid" means its validation images.
    """

    epoch: int
    step: int
    global_step: int
    table: str
    values: dict[str, float]


class EpochFinished(Event, kw_only=True, frozen=True):
    """`valid_*` is on the alpha half of the data in a search, on the test part in training.

    `valid_divergence` is of the predicted probabilities from the smoothed targets, in nats. Runs on
    text have perplexities per predicted token, and tokens per second in place of images.
    """

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
    images_per_s: float | None = None
    is_best: bool = False
    valid_divergence: float | None = None
    train_perplexity: float | None = None
    valid_perplexity: float | None = None
    tokens_per_s: float | None = None


class HealthMeasured(Event, kw_only=True, frozen=True):
    """Entropies are means over a cell's edges, in nats; gradient norms are of the last step.

    `sharpness_gap` is the mean loss at the weights that sharpness-aware minimisation perturbed
    minus that at the weights themselves, in nats, over the epoch's steps. `hidden_norm` is the mean
    L2 norm of the hidden states that the epoch ended with, on text.
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
    hidden_norm: float | None = None


class HvpChecked(Event, kw_only=True, frozen=True):
    """The error of second order's finite difference, on the batches of one step.

    `relative_distance` is |h - exact h| / |exact h| of the product with the Hessian,
    `gradient_distance` the same for alpha's whole gradient, `radius` the r of the difference.
    """

    epoch: int
    step: int
    global_step: int
    radius: float
    relative_distance: float | None
    gradient_distance: float | None


class MeanShifted(Event, kw_only=True, frozen=True):
    """The mean-shift perturbation of the last weight step, written with the alpha samples.

    `losses` are of the samples in the order they were drawn (T shifts of N samples each), `shift`
    is the distance that each cell's mixing weights moved (L2).
    """

    epoch: int
    step: int
    global_step: int
    losses: list[float | None]
    shift: dict[str, float | None]
    radius: float
    bandwidth: float


class GapMeasured(Event, kw_only=True, frozen=True):
    """The supernet before and after it is cut to the genotype, on the alpha half of the data.

    `derived_*` is the cut supernet with the running statistics of the whole one, `renewed_*` with
    running statistics of its own.
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


class TestMeasured(Event, kw_only=True, frozen=True):
    """Test images, looked at once at the end, with the weights of `epoch`; null for the last."""

    epoch: int | None
    images: int
    test_loss: float | None = None
    test_top1: float | None = None
    test_top5: float | None = None


class GpuFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU. Percent, bytes, watts, degrees Celsius."""

    name: str
    utilisation: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    temperature_c: float | None = None


class SystemMeasured(Event, kw_only=True, frozen=True):
    """The engine process and its machine. `cpu_percent` is of one core and may exceed 100."""

    global_step: int
    images_per_s: float | None = None
    tokens_per_s: float | None = None
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
    """A command was read and will be executed."""

    id: str
    command: str
    source: str = ""


class CommandDone(Event, kw_only=True, frozen=True):
    """A command was executed, `seconds` after it was read."""

    id: str
    command: str
    seconds: float


class CommandRejected(Event, kw_only=True, frozen=True):
    """A line of `commands.jsonl` was refused; the run is as before."""

    id: str = ""
    command: str = ""
    reason: str


class DownloadProgressed(Event, kw_only=True, frozen=True):
    """Progress of a download of a data set or table, at most once a second, before the run."""

    file: str
    done_bytes: int
    total_bytes: int


class RunPaused(Event, kw_only=True, frozen=True):
    """The engine pauses at a step boundary. `reason` is "command" or what went wrong."""

    epoch: int
    step: int
    global_step: int
    reason: str


class RunContinued(Event, kw_only=True, frozen=True):
    """The pause is over."""

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
    """All epochs are done. A search ends with a genotype, a training with a test accuracy.

    `valid_divergence` is of the last epoch, `best_divergence` of `best_epoch`; so are the
    perplexities of a run on text, whose best epoch is that of the lowest one.
    """

    seconds: float
    genotype: Genotype | None = None
    text: str = ""
    train_top1: float | None = None
    valid_top1: float | None = None
    best_top1: float | None = None
    best_epoch: int | None = None
    valid_divergence: float | None = None
    best_divergence: float | None = None
    valid_perplexity: float | None = None
    best_perplexity: float | None = None


class RunFailed(Event, kw_only=True, frozen=True):
    """A fault ended the run. `message` has at most three lines; engine.log has the traceback."""

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
    | TestMeasured
    | RunFinished
    | RunFailed
    | LogWritten
    | AlertRaised
    | EventsDropped
)

TYPES = frozenset(kind.__struct_config__.tag for kind in get_args(AnyEvent))

# Events about work that has to be repeated if it came after the last checkpoint.
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
    """One line of the log, newline included. Lone surrogates, as in odd paths, become "?"."""
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
        msgspec.MsgspecError: the line is no event that this version knows.
    """
    event: AnyEvent = _decoder.decode(line)
    return event
