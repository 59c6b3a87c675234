"""GDAS: steps with given noise in each space, against the official rules.

github.com/D-X-Y/AutoDL-Projects, commit 94a149b3, cell_searchs/search_cells.py: the cell of the
NASNet and DARTS space multiplies the drawn operation by the drawn weight; the cell of NAS-Bench-201
adds the weights of the others as numbers. github.com/automl/nasbench-1shot1, commit 8b8da225,
gdas/model_search.py: the drawn weight alone, and parents that mix softly.

Weights of operations that were not drawn rest here, or drift as before torch 2.0: until then
`zero_grad` filled gradients with zeros, so that SGD's momentum and decay went on moving a weight
without a part in the loss.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.conformance.given_draws import Gumbels, give_gumbels
from tests.conformance.official_cells import CELLS, pairs
from tests.conformance.official_one_cell import Official101, Official201
from tests.conformance.steps_kit import CLASSES, Reference, batch, search, walk
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.methods.relaxations.gumbel import Gumbel

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

CLOSE = 1e-12
GDAS = {"search__method": "gdas"}
# Running statistics are compared where no operation rests: the official code has those of a pooling
# on each edge, which rest with it, and here all edges of a state share one.
Draws = Callable[[torch.Size], Tensor]
COMPARED = ("alphas", "weights", "momentum", "losses")


class Number:
    """A weight that is added to an edge in the place of its operation's output times the weight."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __mul__(self, other: Any) -> Any:
        return self.weight.expand_as(other) if isinstance(other, Tensor) else self


class Drawn:
    """The mixing of a pass: h = onehot(argmax) in value, the gradient of softmax in alpha.

    Args:
        draws: noise, taken matrix by matrix in each pass.
        form: "drawn" takes the drawn weight alone, "all" adds the others as numbers.
    """

    def __init__(self, draws: Draws, form: str, taus: tuple[float, float] = (10.0, 0.1)) -> None:
        self.draws, self.form, self.taus = draws, form, taus
        self.tau = taus[0]
        self.columns: list[int] = []

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """tau falls linearly and reaches its end in the last epoch (from 1)."""
        first, last = self.taus
        self.tau = first - (first - last) * (epoch - 1) / (epochs - 1)

    def soft(self, alpha: Tensor) -> Tensor:
        return ((alpha.log_softmax(-1) + self.draws(alpha.shape)) / self.tau).softmax(-1)

    def rows(self, alpha: Tensor) -> list[list[Any]]:
        """For each edge the drawn weight, and None or numbers in the other columns."""
        soft, found = self.soft(alpha), []
        for row in soft:
            column = int(row.argmax())
            self.columns.append(column)
            hot = functional.one_hot(torch.tensor(column), len(row)) - row.detach() + row
            others = [Number(w) if self.form == "all" else None for w in hot]
            found.append([hot[column] if o == column else others[o] for o in range(len(row))])
        return found

    def of_cells(self, alphas: dict[str, Tensor]) -> tuple[Any, Any]:
        return pairs({cell: self.rows(alphas[cell]) for cell in CELLS}, {})

    def of_201(self, alphas: dict[str, Tensor]) -> tuple[Any]:
        return (self.rows(alphas["cell"]),)

    def of_101(self, alphas: dict[str, Tensor]) -> tuple[Any, Any]:
        operations = self.rows(alphas["operations"])
        parents = {
            int(name.removeprefix("parents")): self.soft(alpha)[0]
            for name, alpha in alphas.items()
            if name != "operations"
        }
        return operations, parents


def compared(ours, theirs: Reference, mix: Drawn, **places: Any) -> float:
    """Walk both; the largest difference of what is compared."""
    epochs = theirs.config.search.epochs

    def step(epoch: int, number: int) -> None:
        mix.begin_epoch(epoch, epochs)
        theirs.alpha_step(batch("alpha", epoch, number))
        theirs.weight_step(batch("weights", epoch, number))

    found = walk(ours, theirs, step=step, **places)
    assert ours.method.relaxation.tau == mix.tau

    return max(found[part] for part in COMPARED)


@pytest.mark.parametrize("form", ["drawn", "all"])
def test_steps_in_the_darts_space(form, monkeypatch):
    mix = Drawn(give_gumbels(monkeypatch), form)
    ours = search(**GDAS, **({} if form == "drawn" else {"method__gumbel_gradient": form}))
    theirs = Reference(ours, mix=mix.of_cells)
    assert compared(ours, theirs, mix) < CLOSE
    # One operation per edge: two cell types of five edges in each of three steps' two passes.
    assert len(mix.columns) == 6 * 10
    with_gradient = {n for n, p in theirs.network.named_parameters() if p.grad is not None}
    last = dict(zip(CELLS, (mix.columns[-10:-5], mix.columns[-5:]), strict=True))
    for name in with_gradient:
        if "._ops." in name:
            layer, edge, column = (int(name.split(".")[place]) for place in (1, 3, 5))
            assert last["reduce" if layer in (1, 2) else "normal"][edge] == column


def test_steps_in_nasbench201_add_the_weights_of_the_others(monkeypatch):
    mix = Drawn(give_gumbels(monkeypatch), "all")
    ours = search(**GDAS, space__space="nasbench201", space__nodes=3)
    network = Official201(channels=4, each=1, classes=CLASSES)
    assert compared(ours, Reference(ours, network, mix.of_201), mix) < CLOSE


@pytest.mark.parametrize("form", ["drawn", "all"])
def test_steps_in_1shot1(form, monkeypatch):
    mix = Drawn(give_gumbels(monkeypatch), form)
    chosen = {} if form == "drawn" else {"method__gumbel_gradient": form}
    ours = search(**GDAS, **chosen, space__space="1shot1-1", space__nodes=4)
    network = Official101(nodes=4, channels=4, layers=3, classes=CLASSES)
    assert compared(ours, Reference(ours, network, mix.of_101), mix) < CLOSE


def test_ours_draws_once_for_all_cells_of_1shot1_where_the_official_port_draws_for_each(
    monkeypatch,
):
    """DEVIATION: one draw decides all cells, as GDAS itself has it; the port draws inside the loop.

    With the same noise in every cell both compute the same. With noise of its own for each cell the
    port trains another set of operations.
    """
    draws = give_gumbels(monkeypatch)
    ours = search(**GDAS, space__space="1shot1-1", space__nodes=4)
    theirs = Reference(ours, Official101(nodes=4, channels=4, layers=3, classes=CLASSES))
    images, labels = batch("weights", 1, 1)
    ours.begin_epoch(1)
    ours.method.begin_step(1, 1)
    loss = functional.cross_entropy(ours.supernet(images), labels)
    noise = {name: draws(alpha.shape) for name, alpha in theirs.alphas.items()}

    def port(noise_of_cell) -> tuple[float, list[list[int]]]:
        network, x, columns = theirs.network, theirs.network.stem(images), []
        for layer, cell in enumerate(network.cells):
            noises = iter(noise_of_cell(layer).values())
            here = Drawn(lambda shape, noises=noises: next(noises), "drawn")
            operations, parents = here.of_101(theirs.alphas)
            columns.append(here.columns)
            x = functional.max_pool2d(x, 2, 2, 1) if layer in network.halvings else x
            x = cell(x, operations, parents)
        logits = network.classifier(network.postprocess(x).mean((2, 3)))
        return float(functional.cross_entropy(logits, labels).detach()), columns

    once, columns = port(lambda layer: noise)
    assert once == pytest.approx(float(loss.detach()), rel=1e-12)
    assert columns[0] == columns[1] == columns[2]
    each, columns = port(lambda layer: {n: g.roll(layer) for n, g in noise.items()})
    assert abs(each - once) > 1e-3
    assert columns[0] != columns[1]


def test_validation_computes_the_likeliest_operation_of_each_edge_and_not_the_mixture():
    """As the weights have learned single operations; softmax's mixture gives other logits."""
    ours = search(**GDAS)
    theirs = Reference(ours)
    images, _ = batch("alpha", 1, 1)
    rows = {}
    for cell in CELLS:
        alpha = theirs.alphas[cell].detach()
        best = functional.one_hot(alpha.argmax(-1), alpha.shape[1]).double()
        rows[cell] = [[w if w else None for w in row] for row in best]
    ours.supernet.eval()
    theirs.network.eval()
    with torch.no_grad():
        single = theirs.network(images, *pairs(rows, {}))
        mixture = theirs.network(images, *theirs.mix(theirs.alphas))
        found = ours.predict(images)
    assert (found - single).abs().max() < 1e-13
    assert (found - mixture).abs().max() > 1e-2


def test_a_node_keeps_its_two_strongest_operations_perhaps_of_one_edge():
    """All pairs of operation and input but those with `none` compete; of equals, the first wins."""
    ours, doubled = search(**GDAS, space__nodes=4, space__channels=2), 0
    names = ours.space.candidates()["normal"][0]
    for seed in range(200):
        draws = torch.Generator().manual_seed(seed)
        alphas = torch.randn(2, 14, 8, generator=draws, dtype=torch.float64)
        alphas = alphas.round() if seed % 3 == 0 else alphas
        with torch.no_grad():
            for cell, alpha in zip(CELLS, alphas, strict=True):
                getattr(ours.supernet.alphas, cell).copy_(alpha)
        genotype = ours.space.derive(ours.method.strengths())
        for cell, alpha in zip(CELLS, alphas, strict=True):
            nodes, expected = alpha.softmax(-1).split([2, 3, 4, 5]), []
            for node in nodes:
                pairs_of = [(-w, j, o) for j, row in enumerate(node.tolist())
                            for o, w in enumerate(row) if o > 0]  # fmt: skip
                kept = sorted(pairs_of)[:2]
                expected += [(names[o], j) for _, j, o in kept]
                doubled += kept[0][1] == kept[1][1]
            assert genotype.cell(cell)[0] == tuple(expected)
    assert doubled > 100


def test_the_two_gradients_of_alpha_point_apart(monkeypatch):
    """Why it matters which form a space has; the losses of both are the same."""
    draws, cosines, signs, lengths = Gumbels(), [], [], []
    theirs = Reference(search(**GDAS, alpha__init_scale=1e-3))
    for number in range(1, 21):
        noise = {cell: draws.draw(theirs.alphas[cell].shape) for cell in CELLS}
        gradients, losses = [], []
        for form in ("drawn", "all"):
            waiting = iter(noise.values())
            mix = Drawn(lambda shape, waiting=waiting: next(waiting), form)
            loss = theirs.loss(batch("alpha", 1, number), mix.of_cells(theirs.alphas))
            found = torch.autograd.grad(loss, list(theirs.alphas.values()))
            gradients.append(torch.cat([g.flatten() for g in found]))
            losses.append(float(loss.detach()))
        one, both = gradients
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
        cosines.append(float(functional.cosine_similarity(one, both, dim=0)))
        signs.append(float((one * both < 0).double().mean()))
        lengths.append(float(both.norm() / one.norm()))
    mean = [sum(values) / len(values) for values in (cosines, signs, lengths)]
    assert 0.3 < mean[0] < 0.9


class Handwritten(Reference):
    """SGD in its own lines: b <- mu b + g + lambda w, w <- w - lr b.

    A weight without a part in the loss has no gradient. It rests, or it drifts: g is zero then.
    Before its first gradient it does neither.
    """

    def __init__(self, *args: Any, drifts: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.drifts = drifts
        self.buffers: dict[str, Tensor] = {}

    def weight_step(self, of: Any, mixing: Any = None) -> None:
        self.zero()
        loss = self.loss(of, mixing)
        self.losses.append(loss.item())
        loss.backward()
        section, lr = self.config.weights, self.sgd.param_groups[0]["lr"]
        nn.utils.clip_grad_norm_(self.network.parameters(), section.grad_clip)
        for name, weight in self.network.named_parameters():
            if weight.grad is None and (not self.drifts or name not in self.buffers):
                continue
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            before = self.buffers.get(name, torch.zeros_like(weight))
            pull = gradient + section.weight_decay * weight.detach()
            self.buffers[name] = section.momentum * before + pull
            with torch.no_grad():
                weight.sub_(lr * self.buffers[name])


def moved_in_twenty_steps(resting: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """The L2 distance that the weights of candidates move, the same on both sides."""
    draws = give_gumbels(monkeypatch)
    ours = search(
        **GDAS,
        method__resting_weights=resting,
        space__channels=2,
        space__nodes=1,
        space__without_none=True,
    )
    mix = Drawn(draws, "drawn")
    theirs = Handwritten(ours, mix=mix.of_cells, drifts=resting == "drift")
    first = ours.state_by_name()["weights"]

    def step(epoch: int, number: int) -> None:
        mix.begin_epoch(epoch, 4)
        theirs.alpha_step(batch("alpha", epoch, number))
        theirs.weight_step(batch("weights", epoch, number))

    walk(ours, theirs, epochs=range(1, 5), steps=range(1, 6), step=step)
    last, moved = ours.state_by_name()["weights"], 0.0
    for name, weight in theirs.network.named_parameters():
        assert (last[name] - weight.detach()).abs().max() < 1e-11, name
        if "._ops." in name:
            moved += float((last[name] - first[name]).square().sum())
    return moved**0.5


def test_weights_that_were_not_drawn_rest_or_drift_like_those_of_a_handwritten_sgd(monkeypatch):
    rested = moved_in_twenty_steps("rest", monkeypatch)
    drifted = moved_in_twenty_steps("drift", monkeypatch)
    assert 1.5 < drifted / rested < 4


@pytest.mark.parametrize("resting", ["rest", "drift"])
def test_weights_that_feed_none_alone_have_zeros_in_the_official_code_and_rest_here(
    resting, monkeypatch
):
    """DEVIATION: the official `none` is its input times 0, so that zeros come back through it.

    Momentum and decay then move what lies before it, in any version of torch. Here nothing comes
    back from a `none`, and "rest" is for these weights too; "drift" has the official numbers.
    """
    # The column that every edge of a cell type draws: alpha's pass, then the weights', twice.
    columns = [4, 4, 4, 4, 0, 0, 0, 0]

    def forced(shape: torch.Size, waiting: list[int]) -> Tensor:
        noise = torch.zeros(shape, dtype=torch.float64)
        noise[:, waiting.pop(0)] = 1000
        return noise

    left, right = list(columns), list(columns)
    monkeypatch.setattr(Gumbel, "_noise", lambda self, alpha, _: forced(alpha.shape, left))
    ours = search(**GDAS, method__resting_weights=resting)
    mix = Drawn(lambda shape: forced(shape, right), "drawn")
    theirs = Handwritten(ours, mix=mix.of_cells, drifts=resting == "drift")
    found = walk(ours, theirs, epochs=(1,), steps=(1, 2))
    assert found["alphas"] < CLOSE
    assert (found["weights"] < CLOSE) == (resting == "drift"), found
