"""The settings themselves: one struct per table of a run's config file, and the two configs.

The command line, its help and the file are made from each field's name, type, bounds, default and
description.
"""

from typing import Annotated

from msgspec import Meta

from darts_engine.run.architecture import networks
from darts_engine.run.settings.methods import MethodSection
from darts_engine.run.settings.text_sections import (
    SearchTextSection,
    Section,
    TrainTextSection,
)


class BasisSection(Section, frozen=True, kw_only=True):
    """The recipe that the settings began with. A run's own file has all settings anyway."""

    recipe: Annotated[
        str, Meta(description="Begin with a recipe's settings; 'darts-tui recipes' lists them.")
    ] = ""


class EngineSection(Section, frozen=True, kw_only=True):
    """The process: seed, device, threads, precision and memory."""

    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="Seed of every random stream of the run.")
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
        bool, Meta(description="Refuse a run that is estimated to need more memory than there is.")
    ] = True


class DataSection(Section, frozen=True, kw_only=True):
    """The images."""

    dataset: Annotated[
        str,
        Meta(
            description="digits, cifar10, cifar100, svhn, imagenet[:DIR], npz:FILE, "
            "npy:IMAGES,LABELS or folder:DIR. "
            "Text: verses, text:FILE, text:FOLDER, penn[:DIR] or wikitext2[:DIR]."
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
    labels: Annotated[
        str, Meta(description="folder: a CSV of file names and labels, beside a flat folder.")
    ] = ""
    max_level: Annotated[
        float,
        Meta(ge=0, description="folder, npz, npy: the level that is white; 0 = by what is there."),
    ] = 0.0
    batch_size: Annotated[
        int,
        Meta(
            ge=2,
            description="Images per step; batch norm needs two. Text: columns that a step reads.",
        ),
    ] = 64
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

    space: Annotated[
        str, Meta(description="Search space; 'darts-tui spaces' lists them. recurrent reads text.")
    ] = "darts"
    channels: Annotated[int, Meta(ge=2, description="Channels of the first cell (even).")] = 8
    layers: Annotated[int, Meta(ge=3, description="Cells in the supernet; two of them reduce.")] = 4
    nodes: Annotated[int, Meta(ge=1, le=12, description="Intermediate nodes per cell.")] = 4
    without_none: Annotated[
        bool, Meta(description="Leave the operation none out of the candidates.")
    ] = False
    bn_momentum: Annotated[
        float,
        Meta(
            gt=0, le=1, description="1shot1: weight of a batch in batch norm's running statistics."
        ),
    ] = 0.1
    last_bn_momentum: Annotated[
        float, Meta(gt=0, le=1, description="1shot1: the same of the norm behind the last cell.")
    ] = 0.1


class SearchSection(Section, frozen=True, kw_only=True):
    """The search as a whole."""

    method: Annotated[str, Meta(description="Search method.")] = "darts"
    epochs: Annotated[int, Meta(ge=1, le=10_000, description="Epochs of the search.")] = 25
    skip_alert: Annotated[
        int, Meta(ge=0, description="Alert at this many skip connections in a cell; 0 = never.")
    ] = 4
    entropy_alert: Annotated[
        float,
        Meta(ge=0, description="Alert when a cell's mean entropy is below this, nats; 0 = never."),
    ] = 0.0
    gap_every: Annotated[
        int,
        Meta(ge=0, description="Epochs between measurements of the discretisation gap; 0 = off."),
    ] = 0
    tables: Annotated[
        str,
        Meta(description="Folder of NAS-Bench-201's table; empty = tables/ below the data."),
    ] = ""
    surrogate: Annotated[
        str,
        Meta(description="Folder of nasbench301's models, which that package unpickles."),
    ] = ""
    alpha_start_epoch: Annotated[
        int, Meta(ge=1, description="First epoch in which alpha learns.")
    ] = 1
    alpha_warmup: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Share of the epochs, at the start, in which alpha does not learn.",
        ),
    ] = 0.0
    order: Annotated[
        int,
        Meta(
            ge=1,
            le=2,
            description="2: alpha's gradient after a virtual step of the weights; 1: without it.",
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
        bool, Meta(description="Measure the error of the finite difference at some steps.")
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
    """Stochastic gradient descent of a training, with more schedules, SAM and averaging.

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
    """The network that is trained: of a genotype, or a wide ResNet."""

    network: Annotated[
        str,
        Meta(
            description="genotype; recurrent for a recurrent one, which it goes without saying; or "
            "a wide ResNet by depth and width: wrn-28-10."
        ),
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
    init: Annotated[
        str,
        Meta(
            description="How a wide ResNet's weights are drawn: fan-out, or fan-in with a "
            "classifier of zeros."
        ),
    ] = "fan-out"
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
        str, Meta(description="Classes that it goes to: uniform (all of them) or others.")
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
        int, Meta(ge=1, description="Newest checkpoints to keep; requested and best ones stay too.")
    ] = 2


class SearchConfig(Section, frozen=True, kw_only=True, tag_field="kind", tag="search"):
    """Everything that decides a search."""

    basis: BasisSection = BasisSection()
    engine: EngineSection = EngineSection()
    data: DataSection = DataSection()
    space: SpaceSection = SpaceSection()
    search: SearchSection = SearchSection()
    text: SearchTextSection = SearchTextSection()
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
        """The first epoch in which alpha learns; after the last if it never does."""
        if self.method.architect == "random":
            return self.epochs + 1
        rests = int(self.search.alpha_warmup * self.search.epochs)
        return max(self.search.alpha_start_epoch, rests + 1)


class TrainConfig(Section, frozen=True, kw_only=True, tag_field="kind", tag="train"):
    """Everything that decides a training."""

    basis: BasisSection = BasisSection()
    engine: EngineSection = EngineSection()
    data: DataSection = DataSection(cutout=2)
    network: NetworkSection = NetworkSection()
    text: TrainTextSection = TrainTextSection()
    train: TrainSection = TrainSection()
    weights: TrainWeightsSection = TrainWeightsSection(lr=0.05, lr_min=0.0)
    checkpoint: CheckpointSection = CheckpointSection()

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.train.epochs


Config = SearchConfig | TrainConfig
