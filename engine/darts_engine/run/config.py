"""What was asked: one frozen, nested value per run, written to and read from TOML.

Every field is also a command-line option (`option_name`), made from the field itself, so that file
and command line cannot drift apart. Defaults are sized for the bundled digits; recipes change them.
"""

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import tomli_w
from msgspec import Meta

from darts_engine.run import methods, networks
from darts_engine.run.errors import ConfigError
from darts_engine.run.methods import MethodSection

MAX_BYTES = 1_000_000
HVP = ("finite-difference", "exact")
SCHEDULES = ("cosine", "linear", "step", "multi-step", "exponential", "constant")
SMOOTHINGS = ("uniform", "others")
STEMS = ("cifar", "imagenet")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file."""


class BasisSection(Section, frozen=True, kw_only=True):
    """Where the settings come from. A run's own file has all of them, and this only names it."""

    recipe: Annotated[
        str, Meta(description="Begin with a recipe's settings; 'darts-tui recipes' lists them.")
    ] = ""


class EngineSection(Section, frozen=True, kw_only=True):
    """The process: where and how exactly it computes."""

    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="Names every random stream of the run.")
    ] = 2
    device: Annotated[str, Meta(description="auto, cpu, cuda, cuda:N or mps.")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="CPU threads of torch; 0 = cores - 1.")] = 0
    amp: Annotated[
        bool, Meta(description="bfloat16 autocast for the network; alpha stays float32.")
    ] = False
    deterministic: Annotated[bool, Meta(description="Refuse nondeterministic GPU kernels.")] = False
    sync_bn: Annotated[
        bool,
        Meta(description="With --nproc: batch norm over the whole batch, not each process's part."),
    ] = False
    channels_last: Annotated[
        bool,
        Meta(description="Weights channels-last in memory: 1.3 to 1.8 times as fast on a CPU."),
    ] = True
    compile: Annotated[
        bool, Meta(description="torch.compile the network; minutes at the start, then faster.")
    ] = False
    checkpoint_activations: Annotated[
        bool, Meta(description="Recompute cells in the backward pass: less memory, more time.")
    ] = False
    memory_check: Annotated[
        bool, Meta(description="Refuse a run whose estimated memory is not there.")
    ] = True


class DataSection(Section, frozen=True, kw_only=True):
    """The images."""

    dataset: Annotated[
        str,
        Meta(
            description="digits, cifar10, cifar100, svhn, imagenet[:DIR], npz:FILE or folder:DIR."
        ),
    ] = "digits"
    data_dir: Annotated[
        str,
        Meta(
            description="Where published data sets are or are downloaded to; empty = "
            "$DARTS_TUI_DATA or ~/.cache/darts-tui/data."
        ),
    ] = ""
    download: Annotated[
        bool, Meta(description="Download a published data set that is not there.")
    ] = True
    workers: Annotated[
        int, Meta(ge=0, le=256, description="Threads that decode streamed images; 0 = cores.")
    ] = 0
    stream_above: Annotated[
        int,
        Meta(ge=0, description="Stream folder: sets whose images would fill more than N MiB."),
    ] = 2000
    image_size: Annotated[
        int, Meta(ge=0, le=1024, description="Resize to N x N pixels; 0 = as they are.")
    ] = 0
    batch_size: Annotated[int, Meta(ge=2, description="Images per step; batch norm needs two.")] = (
        64
    )
    crop_padding: Annotated[
        int, Meta(ge=0, description="In memory: random crop after padding by N pixels; 0 = off.")
    ] = 1
    flip: Annotated[bool, Meta(description="Random horizontal flip.")] = False
    cutout: Annotated[
        int, Meta(ge=0, description="In memory: side of the square cut out of an image; 0 = off.")
    ] = 0
    color_jitter: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Streamed: strength of random brightness, contrast, saturation and "
            "(half) hue; 0 = off.",
        ),
    ] = 0.0
    cutout_prob: Annotated[
        float, Meta(ge=0, le=1, description="Probability that an image's square is cut out.")
    ] = 1.0


class SpaceSection(Section, frozen=True, kw_only=True):
    """The search space and the size of its supernet."""

    space: Annotated[str, Meta(description="Search space.")] = "darts"
    channels: Annotated[int, Meta(ge=2, description="Channels of the first cell (even).")] = 8
    layers: Annotated[int, Meta(ge=3, description="Cells in the supernet; two of them reduce.")] = 4
    nodes: Annotated[int, Meta(ge=1, le=12, description="Intermediate nodes per cell.")] = 4
    without_none: Annotated[
        bool, Meta(description="The operation none is no candidate (space darts).")
    ] = False


class SearchSection(Section, frozen=True, kw_only=True):
    """The search as a whole."""

    method: Annotated[str, Meta(description="Search method.")] = "darts"
    epochs: Annotated[int, Meta(ge=1, le=10_000, description="Epochs of the search.")] = 25
    skip_alert: Annotated[
        int, Meta(ge=0, description="Alert at this many skip connections in a cell; 0 = never.")
    ] = 4
    alpha_start_epoch: Annotated[
        int, Meta(ge=1, description="First epoch in which alpha moves.")
    ] = 1
    alpha_warmup: Annotated[
        float,
        Meta(ge=0, lt=1, description="Alpha also rests for this share of the epochs at first."),
    ] = 0.0
    order: Annotated[
        int,
        Meta(
            ge=1, le=2, description="2: alpha looks one step of the weights ahead; 1: it does not."
        ),
    ] = 1
    hvp: Annotated[
        str,
        Meta(description="Order 2's product with the Hessian: finite-difference or exact."),
    ] = "finite-difference"
    hvp_radius: Annotated[
        float, Meta(gt=0, description="L2 length of the finite difference's step in the weights.")
    ] = 0.01
    hvp_check: Annotated[
        bool, Meta(description="Now and then tell how far the finite difference is off.")
    ] = False


class WeightsSection(Section, frozen=True, kw_only=True):
    """Stochastic gradient descent on the network's weights, cosine schedule."""

    lr: Annotated[float, Meta(gt=0, description="Learning rate at the start.")] = 0.05
    lr_min: Annotated[float, Meta(ge=0, description="Learning rate the schedule ends at.")] = 0.001
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum.")] = 0.9
    weight_decay: Annotated[float, Meta(ge=0, description="L2 added to the gradient.")] = 3e-4
    grad_clip: Annotated[
        float, Meta(ge=0, description="Largest L2 norm of all weight gradients; 0 = off.")
    ] = 5.0


class TrainWeightsSection(WeightsSection, frozen=True, kw_only=True):
    """Stochastic gradient descent as a training has it: more schedules, and what goes with it.

    Lengths are fractions of the epochs, so that another number of epochs scales the schedule.
    """

    nesterov: Annotated[bool, Meta(description="Nesterov's form of the momentum.")] = False
    schedule: Annotated[
        str,
        Meta(description="cosine, linear, step, multi-step, exponential or constant."),
    ] = "cosine"
    warmup: Annotated[
        float, Meta(ge=0, lt=1, description="Warm-up of the learning rate, fraction of the epochs.")
    ] = 0.0
    gamma: Annotated[
        float,
        Meta(gt=0, le=1, description="Factor of step, multi-step and exponential."),
    ] = 0.2
    lr_step: Annotated[
        float,
        Meta(gt=0, le=1, description="Fraction of the epochs per gamma; step, exponential."),
    ] = 0.25
    milestones: Annotated[
        str, Meta(description="Fractions of the epochs from which gamma applies; multi-step.")
    ] = "0.3,0.6,0.8"
    sam_rho: Annotated[
        float,
        Meta(ge=0, description="Sharpness-aware minimisation: length of its step; 0 = off."),
    ] = 0.0
    sam_adaptive: Annotated[
        bool, Meta(description="Measure rho in units of the weights (ASAM).")
    ] = False
    ema: Annotated[
        float,
        Meta(ge=0, lt=1, description="Decay of the weights' average that is tested; 0 = off."),
    ] = 0.0

    def milestone_list(self) -> list[float]:
        """`milestones` as numbers.

        Raises:
            ValueError: they are no fractions in rising order.
        """
        values = [float(part) for part in self.milestones.split(",")]
        if values != sorted(set(values)) or not all(0 < value < 1 for value in values):
            raise ValueError("not in rising order between 0 and 1")
        return values


class AlphaSection(Section, frozen=True, kw_only=True):
    """Adam on alpha."""

    lr: Annotated[float, Meta(gt=0, description="Learning rate of alpha.")] = 0.03
    beta1: Annotated[float, Meta(ge=0, lt=1, description="Adam's first beta.")] = 0.5
    beta2: Annotated[float, Meta(ge=0, lt=1, description="Adam's second beta.")] = 0.999
    weight_decay: Annotated[float, Meta(ge=0, description="L2 added to alpha's gradient.")] = 1e-3
    init_scale: Annotated[
        float, Meta(ge=0, description="Standard deviation alpha starts with.")
    ] = 1e-3


class NetworkSection(Section, frozen=True, kw_only=True):
    """The network that is trained: that of a genotype, or a wide ResNet."""

    network: Annotated[
        str, Meta(description="genotype, or a wide ResNet by depth and width: wrn-28-10.")
    ] = networks.GENOTYPE
    genotype: Annotated[
        str, Meta(description="run:NAME, a published name, a file or genotype text.")
    ] = ""
    channels: Annotated[int, Meta(ge=2, description="Channels of the first cell (even).")] = 16
    layers: Annotated[int, Meta(ge=1, description="Cells in the network.")] = 5
    stem: Annotated[str, Meta(description="cifar or imagenet.")] = "cifar"
    auxiliary: Annotated[bool, Meta(description="Auxiliary head at two thirds of the depth.")] = (
        True
    )
    auxiliary_weight: Annotated[float, Meta(ge=0, description="Weight of the auxiliary loss.")] = (
        0.4
    )
    drop_path: Annotated[
        float, Meta(ge=0, lt=1, description="Drop-path probability at the end of its ramp.")
    ] = 0.1
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Dropout in the blocks of a wide ResNet.")
    ] = 0.0
    weights: Annotated[
        str, Meta(description="File of weights to start from, in the official code's layout.")
    ] = ""


class TrainSection(Section, frozen=True, kw_only=True):
    """The training as a whole."""

    epochs: Annotated[int, Meta(ge=1, le=10_000, description="Epochs of the training.")] = 50
    label_smoothing: Annotated[
        float, Meta(ge=0, le=0.5, description="Part of each target given to other classes.")
    ] = 0.0
    smoothing: Annotated[
        str, Meta(description="It goes to all classes alike (uniform), or to the others only.")
    ] = "uniform"
    valid_fraction: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Validate on this share of the training images, held out and not trained "
            "on; 0 = on the test part.",
        ),
    ] = 0.0


class CheckpointSection(Section, frozen=True, kw_only=True):
    """When the complete state is saved."""

    checkpoint_every: Annotated[int, Meta(ge=1, description="Save every N epochs.")] = 1
    checkpoint_seconds: Annotated[
        float, Meta(ge=0, description="Also save when this many seconds have passed; 0 = off.")
    ] = 300.0
    keep: Annotated[
        int, Meta(ge=1, description="Newest checkpoints to keep, beside asked-for and best ones.")
    ] = 2


class SearchConfig(Section, frozen=True, kw_only=True, tag_field="kind", tag="search"):
    """Everything that decides a search."""

    basis: BasisSection = BasisSection()
    engine: EngineSection = EngineSection()
    data: DataSection = DataSection()
    space: SpaceSection = SpaceSection()
    search: SearchSection = SearchSection()
    method: MethodSection = MethodSection()
    weights: WeightsSection = WeightsSection()
    alpha: AlphaSection = AlphaSection()
    checkpoint: CheckpointSection = CheckpointSection()

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.search.epochs

    @property
    def alpha_start(self) -> int:
        """The first epoch in which alpha moves."""
        rests = int(self.search.alpha_warmup * self.search.epochs)
        return max(self.search.alpha_start_epoch, rests + 1)


class TrainConfig(Section, frozen=True, kw_only=True, tag_field="kind", tag="train"):
    """Everything that decides a training."""

    basis: BasisSection = BasisSection()
    engine: EngineSection = EngineSection()
    data: DataSection = DataSection(cutout=2)
    network: NetworkSection = NetworkSection()
    train: TrainSection = TrainSection()
    weights: TrainWeightsSection = TrainWeightsSection(lr=0.05, lr_min=0.0)
    checkpoint: CheckpointSection = CheckpointSection()

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.train.epochs


Config = SearchConfig | TrainConfig
KINDS: dict[str, type[SearchConfig] | type[TrainConfig]] = {
    "search": SearchConfig,
    "train": TrainConfig,
}


class Setting(msgspec.Struct, frozen=True):
    """One field as an option: where it lives, its type, default and one-line description."""

    section: str
    field: str
    type: type
    default: Any
    description: str

    @property
    def key(self) -> str:
        """The dotted TOML key."""
        return f"{self.section}.{self.field}"

    @property
    def option_name(self) -> str:
        """The command-line option; alpha's fields carry its name, all others stand alone."""
        prefix = "alpha-" if self.section == "alpha" else ""
        return f"--{prefix}{self.field.replace('_', '-')}"


def settings(kind: str) -> list[Setting]:
    """Every setting of a kind of run, in the file's order."""
    out = []
    config = KINDS[kind]()
    for section in config.__struct_fields__:
        table = getattr(config, section)
        hints = get_type_hints(type(table), include_extras=True)
        for field in table.__struct_fields__:
            hint = hints[field]
            base, meta = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, Meta())
            out.append(Setting(section, field, base, getattr(table, field), meta.description or ""))
    return out


def to_plain(config: Config) -> dict[str, Any]:
    """Nested dictionaries, ready for JSON or TOML."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain


def to_toml(config: Config) -> str:
    """The TOML text that `from_toml` turns back into an equal value."""
    return tomli_w.dumps(to_plain(config))


def from_plain(plain: dict[str, Any], *, where: str = "") -> Config:
    """Check nested dictionaries and make the value.

    Raises:
        ConfigError: an unknown key (the nearest valid one is named) or a value that cannot be.
    """
    kind = plain.get("kind", "search")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(
            f"unknown kind of run {kind!r}", where=where, remedy="use search or train"
        )
    _refuse_unknown(plain, kind, where)
    if kind == "search":
        plain = methods.with_preset(plain)
    try:
        config = msgspec.convert(plain, KINDS[kind])
        # A path that is no text could not be told in the event log.
        msgspec.json.encode(config)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise ConfigError(f"a setting cannot be: {error}", where=where) from None
    _refuse_nonsense(config, where)
    return config


def from_toml(text: str, *, where: str = "") -> Config:
    """Read a config.

    Raises:
        ConfigError: as `from_plain`, or the text is not TOML.
    """
    return from_plain(decode(text, where=where), where=where)


def decode(text: str, *, where: str = "") -> dict[str, Any]:
    """The tables of a TOML text, unchecked.

    Raises:
        ConfigError: the text is not TOML.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"the config is larger than {MAX_BYTES} bytes", where=where)
    try:
        plain: dict[str, Any] = msgspec.toml.decode(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the config is not valid TOML: {error}", where=where) from None
    return plain


def read(path: Path) -> Config:
    """Read the config in a file.

    Raises:
        ConfigError: it cannot be read, or as `from_toml`.
    """
    return from_plain(read_plain(path), where=str(path))


def read_plain(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked: what it says and no defaults.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the config cannot be read: {error}", where=str(path)) from None
    return decode(text, where=str(path))


def override(config: Config, changes: dict[str, Any]) -> Config:
    """`config` with dotted keys replaced, checked again.

    Another method brings its own settings, and takes those of the one before with it.

    Raises:
        ConfigError: as `from_plain`.
    """
    plain = to_plain(config)
    if isinstance(config, SearchConfig) and "search.method" in changes:
        defaults = {setting.key: setting.default for setting in settings("search")}
        before = methods.preset(config.search.method).settings
        after = methods.preset(str(changes["search.method"])).settings
        changes = {key: defaults[key] for key in before} | after | changes
    for key, value in changes.items():
        section, _, field = key.partition(".")
        plain.setdefault(section, {})[field] = value
    return from_plain(plain, where="command line")


def _refuse_unknown(plain: dict[str, Any], kind: str, where: str) -> None:
    known: dict[str, set[str]] = {"kind": set()}
    for setting in settings(kind):
        known.setdefault(setting.section, set()).add(setting.field)
    keys = [f"{section}.{field}" for section in known for field in known[section]]
    for section, table in plain.items():
        if section not in known:
            raise _unknown(section, list(known), keys, where)
        for field in table if isinstance(table, dict) else ():
            if field not in known[section]:
                raise _unknown(f"{section}.{field}", keys, keys, where)


def _unknown(key: str, candidates: list[str], everywhere: list[str], where: str) -> ConfigError:
    # The right name in the wrong table comes first: "search.lr" is no typing error.
    last = key.rpartition(".")[2]
    near = [k for k in everywhere if k.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(key, candidates, 1, 0.5)
    remedy = (
        f"did you mean {near[0]!r}?" if near else "'darts-tui search --help' lists every setting"
    )
    return ConfigError(f"unknown setting {key!r}", where=where, remedy=remedy)


def _refuse_nonsense(config: Config, where: str) -> None:
    for section, table in to_plain(config).items():
        for field, value in table.items() if isinstance(table, dict) else ():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{section}.{field} must be a finite number", where=where)
    size = config.space if isinstance(config, SearchConfig) else config.network
    if size.channels % 2:
        raise ConfigError(
            f"channels must be even, not {size.channels}",
            where=where,
            remedy="a stride-2 skip connection halves them into two convolutions",
        )
    if isinstance(config, SearchConfig):
        _refuse_nonsense_order(config.search, where)
        methods.refuse_nonsense(config.method, where)
        _refuse_nonsense_cells(config, where)
        differentiates_twice = config.search.hvp == "exact" or config.search.hvp_check
        if config.engine.compile and config.search.order == 2 and differentiates_twice:
            raise ConfigError(
                "a compiled network cannot be differentiated twice",
                where=where,
                remedy="use --hvp finite-difference without --hvp-check, or leave --compile out",
            )
    if config.weights.lr_min > config.weights.lr:
        raise ConfigError("lr_min is larger than lr", where=where)
    if isinstance(config, TrainConfig):
        _refuse_nonsense_training(config, where)


def _refuse_nonsense_cells(config: SearchConfig, where: str) -> None:
    partial = config.method.partial_channels
    if config.space.channels % (2 * partial):
        raise ConfigError(
            f"{config.space.channels} channels have no even {partial}th part",
            where=where,
            remedy=f"use --channels {2 * partial} or a multiple of it, or fewer --partial-channels",
        )
    draws = config.method.edge_drop_path or config.space.space == "s4"
    if config.engine.checkpoint_activations and draws:
        raise ConfigError(
            "cells that draw random numbers cannot be computed again for the backward pass",
            where=where,
            remedy="leave out --checkpoint-activations, or --edge-drop-path and the space s4",
        )


def _refuse_nonsense_training(config: TrainConfig, where: str) -> None:
    network, weights = config.network, config.weights
    _refuse_unlisted("stem", network.stem, STEMS, where)
    _refuse_unlisted("schedule", weights.schedule, SCHEDULES, where)
    _refuse_unlisted("smoothing", config.train.smoothing, SMOOTHINGS, where)
    networks.parse(network.network, where)
    try:
        weights.milestone_list()
    except ValueError as error:
        raise ConfigError(
            f"the milestones {weights.milestones[:60]!r} cannot be: {error}",
            where=where,
            remedy="give fractions of the epochs in rising order, as in 0.2,0.5,0.7,0.85",
        ) from None
    if weights.nesterov and not weights.momentum:
        raise ConfigError("nesterov needs momentum", where=where, remedy="as in --momentum 0.9")
    if weights.sam_adaptive and not weights.sam_rho:
        raise ConfigError("sam_adaptive needs sam_rho", where=where, remedy="as in --sam-rho 2.0")
    if network.dropout and network.network == networks.GENOTYPE:
        raise ConfigError(
            "a derived network has no dropout", where=where, remedy="its --drop-path is the like"
        )


def _refuse_unlisted(what: str, value: str, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        raise ConfigError(
            f"unknown {what} {value[:60]!r}", where=where, remedy=f"use {', '.join(known)}"
        )


def _refuse_nonsense_order(search: SearchSection, where: str) -> None:
    if search.hvp not in HVP:
        raise ConfigError(
            f"unknown hvp {search.hvp!r}", where=where, remedy=f"use {' or '.join(HVP)}"
        )
    if search.hvp_check and search.order == 1:
        raise ConfigError(
            "hvp_check needs order 2",
            where=where,
            remedy="first order takes no product with the Hessian; add --order 2",
        )
