"""What the engine's child programs write to stdout as JSON, and the command line reads.

Each program of `darts_engine.programs` that answers a command has its answer here, so that both
sides use one definition: `analyse`, `bilevel`, `evaluate` and `predict`. The answer of
`export_network` is a plain list of file names.
"""

import msgspec

from darts_engine.run.events import GapMeasured

# Relative difference that the exact eigenvalue and the one by Lanczos' method may have.
AGREEMENT = 0.01


class AnalysisRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `analyse` is to compute.

    Attributes:
        epoch: of the checkpoint, from 1; None is the newest.
        exact: compute the whole Hessian.
        spectrum: return all its eigenvalues.
        distance: evaluate the loss along lines through alpha.
        landscape: evaluate the loss in a plane: "" (no), "random" or "dominant".
        gap: measure the discretisation gap.
        points: points of a line on each side of alpha; a plane has 2 * points + 1 per axis.
        radius: length of a line on each side (L2); 0 is the norm of alpha, but at least 1.
        images: images per loss; 0 is the whole alpha half of the training data.
    """

    epoch: int | None = None
    exact: bool = True
    spectrum: bool = False
    distance: bool = False
    landscape: str = ""
    gap: bool = False
    points: int = 5
    radius: float = 0.0
    images: int = 512


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """The validation loss along a straight line through alpha.

    Attributes:
        direction: name of the line's direction.
        distances: from alpha (L2); negative against the direction.
        losses: nats, one per distance; None where not finite.
        top1: percent, one per distance.
    """

    direction: str
    distances: list[float]
    losses: list[float | None]
    top1: list[float | None]


class Landscape(msgspec.Struct, frozen=True, kw_only=True):
    """The validation loss in a plane through alpha.

    Attributes:
        directions: names of the x axis and the y axis.
        distances: coordinates of both axes (L2).
        losses: nats; `losses[row][column]` is at (y, x) = (distances[row], distances[column]).
        top1: percent, laid out as `losses`.
    """

    directions: list[str]
    distances: list[float]
    losses: list[list[float | None]]
    top1: list[list[float | None]]


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """The loss around a checkpoint's alpha: the answer of `analyse`.

    Attributes:
        source: the checkpoint.
        epoch: the checkpoint's epoch; `step` is its step in that epoch.
        entries: number of entries of alpha, n.
        alpha_norm: L2.
        eigenvalue: the largest eigenvalue of the Hessian in alpha, by Lanczos' method.
        exact_eigenvalue: the same from the whole Hessian; None if that was not computed.
        spectrum: all n eigenvalues, ascending; None unless requested.
        images: images per validation loss.
        valid_loss: at alpha, nats; `valid_top1` in percent.
        walks: None unless requested.
        landscape: None unless requested.
        gap: None unless requested.
    """

    source: str
    epoch: int
    step: int
    entries: int
    alpha_norm: float
    eigenvalue: float
    exact_eigenvalue: float | None
    spectrum: list[float] | None
    images: int
    valid_loss: float | None
    valid_top1: float | None
    walks: list[Walk] | None
    landscape: Landscape | None
    gap: GapMeasured | None

    @property
    def agrees(self) -> bool:
        """Whether both eigenvalues are the same within `AGREEMENT`; true if there is only one."""
        exact = self.exact_eigenvalue
        return exact is None or abs(self.eigenvalue - exact) <= AGREEMENT * abs(exact)


class ToyDescent(msgspec.Struct, frozen=True):
    """Gradient descent on the toy bilevel problem: the answer of `bilevel`.

    Attributes:
        xi: learning rate of the virtual step; 0 is first order.
        path: (alpha, w) at the start and after each pair of steps.
    """

    xi: float
    path: list[tuple[float, float]]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a network on the test images: the answer of `evaluate`.

    Attributes:
        test_loss: mean cross entropy, nats; None where it is not finite.
        test_top1: accuracy, percent; `test_top5` among the best five classes.
        per_class: class -> accuracy of its images, percent; None for a class without images.
        images: number of test images.
        confusion: images by true class (rows) and predicted class (columns), in the order of
            `per_class`.
        dataset: name or path of the data set.
        source: the checkpoint or file of the weights.
        epoch: after which the checkpoint was saved; None for weights from elsewhere.
        test_divergence: mean KL divergence of the predicted probabilities from the smoothed targets
            of the training, nats; None where its labels were not smoothed.
        part: "test", or "valid" where the data set has no test part.
    """

    test_loss: float | None
    test_top1: float | None
    test_top5: float | None
    per_class: dict[str, float | None]
    images: int
    confusion: list[list[int]]
    dataset: str
    source: str
    epoch: int | None
    test_divergence: float | None = None
    part: str = "test"


class TextEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The score of a recurrent network on a part of a text: the answer of `evaluate` there.

    Attributes:
        part: train, valid or test.
        loss: mean over the predicted tokens, nats; None where it is not finite.
        perplexity: exp(loss); None where there is none, or it is too large a number.
        tokens: that were predicted: all but the first of each column.
        is_official_division: whether the loss was divided as the official code does, by one row
            more than is predicted.
        dataset: name or path of the text.
        source: the checkpoint or file of the weights.
        epoch: after which the checkpoint was saved; None for weights from elsewhere.
    """

    part: str
    loss: float | None
    perplexity: float | None
    tokens: int
    is_official_division: bool
    dataset: str
    source: str
    epoch: int | None


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """How a text goes on: the answer of `predict` on text.

    Attributes:
        prompt: the tokens that were read, as text.
        unknown: those of the prompt that the network does not know, and read as `<unk>`.
        text: what comes after the prompt.
        is_of_characters: whether tokens are characters: then no blank stands between the two.
    """

    prompt: str
    unknown: list[str]
    text: str
    is_of_characters: bool


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The likeliest classes of one image; `predict` answers with a list of these.

    Attributes:
        labels: (class, probability in 0 .. 1), the likeliest first; empty for a broken image.
        error: why the image cannot be read; else empty.
    """

    labels: list[tuple[str, float]] = []
    error: str = ""
