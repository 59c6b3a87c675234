"""A loss, gradient or alpha that is not finite stops the run before an optimizer has used it."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from engine_kit import make_run  # noqa: E402
from torch import Tensor  # noqa: E402

from darts_engine.data import dataset as datasets  # noqa: E402
from darts_engine.data.watch import Unwatched  # noqa: E402
from darts_engine.run.errors import NotFiniteError  # noqa: E402
from darts_engine.runner.meter import FiniteGuard  # noqa: E402
from darts_engine.search.task import Search  # noqa: E402
from darts_engine.training.task import Train  # noqa: E402

NAN, INFINITE = float("nan"), float("inf")
SEARCHES: dict[str, dict[str, Any]] = {
    "first order": {},
    "second order": {"search__order": 2},
    "second order, exact": {"search__order": 2, "search__hvp": "exact"},
    "random perturbation": {"method__perturbation": "random"},
    "adversarial perturbation": {"method__perturbation": "adversarial"},
    "Gumbel": {"search__method": "gdas"},
    "Dirichlet": {"search__method": "drnas"},
}
TRAININGS: dict[str, dict[str, Any]] = {
    "SGD": {},
    "SAM": {"weights__sam_rho": 0.05},
    "ASAM": {"weights__sam_rho": 1.0, "weights__sam_adaptive": True},
}


def spoiled(batch: Callable[..., Any]) -> Callable[..., Any]:
    def spoil(epoch: int, step: int) -> tuple[Tensor, Tensor]:
        images, labels = batch(epoch, step)
        return images * NAN, labels

    return spoil


# Each spoils a search, and returns how to undo that.
Undo = Callable[[], object]


def spoil_weight_batch(search: Search) -> Undo:
    search.halves.weight_batch = spoiled(search.halves.weight_batch)  # type: ignore[method-assign]
    return lambda: delattr(search.halves, "weight_batch")


def spoil_alpha_batch(search: Search) -> Undo:
    search.halves.alpha_batch = spoiled(search.halves.alpha_batch)  # type: ignore[method-assign]
    return lambda: delattr(search.halves, "alpha_batch")


def spoil_weight_gradient(search: Search) -> Undo:
    return search._weights[3].register_hook(lambda gradient: gradient + INFINITE).remove


def spoil_alpha_gradient(search: Search) -> Undo:
    return first_alpha(search).register_hook(lambda gradient: gradient * NAN).remove


def spoil_alpha(search: Search) -> Undo:
    first_alpha(search).data[0, 0] = INFINITE
    return first_alpha(search).data.zero_


def first_alpha(search: Search) -> Tensor:
    return next(iter(search.supernet.alphas.parameters()))


SPOILS = (
    spoil_weight_batch,
    spoil_alpha_batch,
    spoil_weight_gradient,
    spoil_alpha_gradient,
    spoil_alpha,
)


def numbers_of(task: Search | Train) -> list[Tensor]:
    moments = [v for state in task._optimizer.state.values() for v in state.values()]
    tensors = [*task._weights, *(v for v in moments if isinstance(v, Tensor))]
    return [tensor.detach().clone() for tensor in tensors]


def refuses(task: Search | Train) -> None:
    """The next step raises; weights and momentum stay as they are."""
    before = numbers_of(task)
    with pytest.raises(NotFiniteError, match=r"epoch 1, step 2"):
        task.step(1, 2)
    assert all(map(torch.equal, before, numbers_of(task)))


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_stops_before_a_weight_moves(kind: str, tmp_path: Path) -> None:
    config = make_run(tmp_path, "run", images=48, **SEARCHES[kind]).read_config()
    dataset = datasets.read(config.data, Unwatched())
    search = Search(config, dataset, torch.device("cpu"))  # type: ignore[arg-type]
    search.begin_epoch(1)
    search.step(1, 1)
    for spoil in SPOILS:
        # A guard that has seen what is not finite never lets a step pass again.
        search._finite = FiniteGuard(torch.device("cpu"))
        undo = spoil(search)
        refuses(search)
        undo()
        assert all(bool(alpha.isfinite().all()) for alpha in search.supernet.alphas.parameters())


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_training_stops_before_a_weight_moves(kind: str, tmp_path: Path) -> None:
    config = make_run(tmp_path, "run", "train", images=48, **TRAININGS[kind]).read_config()
    dataset = datasets.read(config.data, Unwatched())
    # A gradient that is wrong in the first pass, and in the second pass of those that have two.
    for wrong in (0, 1, 2) if kind != "SGD" else (0, 1):
        train = Train(config, dataset, torch.device("cpu"))  # type: ignore[arg-type]
        train.begin_epoch(1)
        train.step(1, 1)
        if wrong:
            passes = itertools.count(1)
            train._weights[0].register_hook(
                lambda gradient, wrong=wrong, passes=passes: (
                    gradient * NAN if next(passes) == wrong else gradient
                )
            )
        else:
            train._batches.batch = spoiled(train._batches.batch)  # type: ignore[method-assign]
        refuses(train)
