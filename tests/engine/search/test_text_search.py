"""A search on text: the steps by hand, every method that has a meaning, and what it reports."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from text_kit import corpus, text_search
from torch.nn import functional

from darts_engine.data.text.columns import columns, window
from darts_engine.data.text.lengths import windows
from darts_engine.data.text.vocabulary import Vocabulary
from darts_engine.run import events
from darts_engine.run.settings.config import override
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search.text_task import TextSearch

PLAIN = {
    "text__output_dropout": 0.0,
    "text__hidden_dropout": 0.0,
    "text__input_dropout": 0.0,
    "text__embedding_dropout": 0.0,
}
METHODS: dict[str, dict[str, Any]] = {
    "darts": {},
    "darts-2nd": {},
    "gdas": {},
    "sdarts-rs": {},
    "sdarts-adv": {"method__perturbation_steps": 2},
    "ms-darts": {"search__alpha_warmup": 0.0},
    "r-darts-es": {},
    "r-darts-ada": {},
    "r-darts-l2": {},
    "darts-minus": {},
    "beta-darts": {},
    "drnas": {},
    "random": {},
}


def parameters(search: TextSearch) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in search.supernet.named_parameters()}


def equal(one: object, other: object) -> bool:
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)  # type: ignore[arg-type]
    return one == other


def step(search: TextSearch, number: int, epoch: int = 2) -> int:
    if number == 1:
        search.begin_epoch(epoch)
    return search.step(epoch, number)


def end_epoch(search: TextSearch, number: int, epoch: int = 2) -> dict[type, Any]:
    position = Position(epoch=epoch, step=number, global_step=number)
    return {type(event): event for event in search.finish_epoch(position, Timing())}


# The steps by hand --------------------------------------------------------------------------------


def test_the_weights_step_is_that_of_the_official_code() -> None:
    """Slowness and AR in the loss, clipped, plain SGD at the rate times length over bptt."""
    search = text_search(
        **PLAIN, method__architect="random", text__slowness=0.3, text__activation_reg=0.2,
        weights__grad_clip=0.1, weights__weight_decay=1e-3, text__bptt=7, search__epochs=400,
    )  # fmt: skip
    epoch = next(e for e in range(1, 400) if search.halves.window(e, 1).drawn == 3)
    before, net = parameters(search), copy.deepcopy(search.supernet)
    assert search.step(epoch, 1) == 3 * 4
    tokens, targets = window(columns(corpus().train, 4), 0, 3)
    net.train()
    reading = net.read(tokens, torch.zeros(4, 6))
    loss = functional.nll_loss(reading.log_probabilities.flatten(0, 1), targets.flatten())
    loss = loss + 0.3 * (reading.states[1:] - reading.states[:-1]).pow(2).mean()
    loss = loss + 0.2 * reading.dropped.pow(2).mean()
    weights = list(net.weights())
    loss.backward()
    norm = torch.cat([w.grad.flatten() for w in weights]).norm()
    assert norm > 0.1
    rate = search.config.weights.lr * 3 / 7
    with torch.no_grad():
        for w in weights:
            w.sub_(rate * (w.grad * 0.1 / (norm + 1e-6) + 1e-3 * w))
    for name, found in search.supernet.named_parameters():
        wanted = before[name] if name.startswith("alphas") else dict(net.named_parameters())[name]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
    assert torch.equal(search.halves.weight_hidden, reading.hidden.detach())
    # The epoch's rate is back.
    assert search._optimizer.param_groups[0]["lr"] == search.config.weights.lr


def test_alpha_learns_on_the_validation_part_and_leaves_the_weights_side_alone() -> None:
    search = text_search(**PLAIN)
    net = copy.deepcopy(search.supernet)
    for number in (1, 2):
        start = search.halves.window(2, number).start
        tokens, targets = window(columns(corpus().valid, 4), start % 14, 8)
        hidden = search.halves.alpha_hidden
        (given, state), wanted = search.halves.alpha_batch(2, number)
        assert torch.equal(given, tokens)
        assert torch.equal(wanted, targets)
        assert state is hidden
        step(search, number)
        if number == 1:
            net.train()
            with torch.no_grad():
                reading = net.read(tokens, torch.zeros(4, 6))
            # Loaded by hand: the alpha step came before the weights moved.
            torch.testing.assert_close(search.halves.alpha_hidden, reading.hidden)
    assert not torch.equal(search.halves.alpha_hidden, search.halves.weight_hidden)


def test_an_alpha_batch_wraps_without_forgetting() -> None:
    search = text_search(**PLAIN)
    starts = [search.halves.window(1, n).start for n in range(1, search.steps_of(1) + 1)]
    wrapped = next(n for n, start in enumerate(starts, 1) if start >= 14)
    step(search, 1, epoch=1)
    for number in range(2, wrapped + 1):
        before = search.halves.alpha_hidden
        (tokens, state), _ = search.halves.alpha_batch(1, number)
        assert state is before
        assert bool(state.any())
        assert 1 <= len(tokens) <= 8
        search.step(1, number)
    # An epoch begins with nothing read.
    search.begin_epoch(2)
    step(search, 1)
    fresh = text_search(**PLAIN)
    fresh.supernet.load_state_dict(search.supernet.state_dict())
    assert search.halves.window(2, 1).start == 0


def test_windows_of_an_epoch_are_those_of_its_stream() -> None:
    search = text_search(engine__seed=5)
    for epoch in (1, 2, 3):
        found = windows(40, 8, seed=5, purpose="search", epoch=epoch)
        assert [search.halves.window(epoch, n) for n in range(1, len(found) + 1)] == found
        assert search.steps_of(epoch) == len(found)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_the_validation_reads_the_whole_part_with_these_statistics(statistics: str) -> None:
    search = text_search(text__statistics=statistics)
    step(search, 1)
    before = {name: tensor.clone() for name, tensor in search.supernet.state_dict().items()}
    loss = search.validate()[0]
    assert all(torch.equal(before[n], t) for n, t in search.supernet.state_dict().items())
    assert not any(module.training for module in search.supernet.modules())
    search.supernet.eval()
    search.supernet.norm.train(statistics == "batch")
    whole = columns(corpus().valid, 2)
    with torch.no_grad():
        log_probabilities, _ = search.supernet(whole[:-1], torch.zeros(2, 6))
    wanted = functional.nll_loss(log_probabilities.flatten(0, 1), whole[1:].flatten())
    assert loss == pytest.approx(float(wanted), abs=1e-5)
    search.supernet.eval()
    with torch.no_grad():
        search.supernet.decoder_bias.fill_(0.0)[0] = 1e4
    finished = end_epoch(search, 1)[events.EpochFinished]
    assert finished.valid_loss > 800
    assert finished.valid_perplexity is None
    assert not finished.is_best or finished.valid_loss is not None


# Methods ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_method_moves_derives_and_goes_on_bit_for_bit(method: str) -> None:
    changes = {"search__method": method} | METHODS[method]
    search = text_search(**changes)
    before = parameters(search)
    step(search, 1)
    halfway = copy.deepcopy(search.state())
    step(search, 2)
    after = parameters(search)
    for name, was in before.items():
        moved = not torch.equal(after[name], was)
        assert moved == (method != "random" or not name.startswith("alphas")), name
        assert bool(after[name].isfinite().all())

    resumed = text_search(**changes)
    resumed.load_state(halfway)
    resumed.begin_epoch(2)
    resumed.step(2, 2)
    assert equal(resumed.state(), search.state())

    reported, again = end_epoch(search, 2), end_epoch(resumed, 2)
    same = {events.EpochFinished: ("seconds", "tokens_per_s")}
    for kind, event in reported.items():
        for field in event.__struct_fields__:
            if field not in same.get(kind, ()):
                assert getattr(event, field) == getattr(again[kind], field)
    health = reported[events.HealthMeasured]
    assert health.skip_count == {}
    assert health.kept_edges == {"recurrent": 3}
    assert health.hidden_norm > 0
    assert (health.eigenvalue is not None) == method.startswith(("r-darts-es", "r-darts-ada"))
    finished = reported[events.EpochFinished]
    assert finished.valid_perplexity == pytest.approx(math.exp(finished.valid_loss), rel=1e-4)
    assert finished.is_best
    genotype = search.space.derive(search.method.strengths())
    assert genotype.cells == ("recurrent",)
    assert len(genotype.edges("recurrent")) == 3


def test_a_drawn_operation_alone_learns_of_gdas() -> None:
    search = text_search(search__method="gdas", **PLAIN)
    search.begin_epoch(1)
    search.method.begin_step(1, 1)
    mixing = search.supernet.relax()
    assert set(mixing.weights["recurrent"].detach().unique().tolist()) == {0.0, 1.0}


def test_the_perturbed_step_is_evaluated_without_dropout_from_the_carried_state() -> None:
    """SDARTS-ADV: running statistics, no masks, the weight batch and its hidden state."""
    search = text_search(
        search__method="sdarts-adv", method__perturbation_steps=1, text__output_dropout=0.5
    )
    step(search, 1)
    seen: list[tuple[bool, bool]] = []
    read = search.supernet.read

    def watched(tokens: Any, hidden: Any, mixing: Any = None) -> Any:
        seen.append((search.supernet.training, hidden is search.halves.weight_hidden))
        return read(tokens, hidden, mixing)

    search.supernet.read = watched  # type: ignore[method-assign]
    step(search, 2)
    # Alpha, the loss before, one ascent, the loss after it, and the weights.
    assert [training for training, _ in seen] == [True, False, False, False, True]
    assert [carried for _, carried in seen] == [False, True, True, True, True]


@pytest.mark.parametrize("redraws", [False, True])
def test_all_passes_of_an_alpha_step_share_their_masks_unless_they_are_redrawn(redraws: bool):
    search = text_search(search__order=2, text__redraw_masks=redraws, text__output_dropout=0.5)
    search.begin_epoch(1)
    search.supernet.train()
    search.method.begin_step(1, 1)
    batch = search.halves.weight_batch(1, 1)
    with torch.no_grad():
        one, other = search.supernet.loss(batch).loss, search.supernet.loss(batch).loss
    assert torch.equal(one, other) != redraws


# What it says -------------------------------------------------------------------------------------


def test_what_it_reports_and_keeps() -> None:
    search = text_search()
    about = search.describe()
    assert about["images"] == {"weights": 160, "alpha": 60, "test": 50}
    (cell,) = about["cells"]
    assert (cell.name, len(cell.edges), len(cell.operations)) == ("recurrent", 6, 5)
    assert about["alpha_parameters"] == 30
    assert about["parameters"] == sum(w.numel() for w in search.supernet.weights())
    rates = next(s for s in about["schedules"] if s.name == "lr_weights")
    assert set(rates.values) == {search.config.weights.lr}
    counted = step(search, 1)
    assert counted == search.halves.window(2, 1).length * 4
    (told,) = search._report.steps(Position(epoch=2, step=1, global_step=1))[:1]
    assert isinstance(told, events.StepFinished)
    assert told.train_top1 is None
    assert told.train_loss > 0
    assert told.alpha_loss > 0
    assert "n=6 N=3" in search.identity()["space"]


def test_a_text_in_another_order_is_another_text() -> None:
    """Its counts are the same; the ids of its words, places in the embedding, are not."""
    search, text = text_search(), corpus()
    same = TextSearch(search.config, corpus(), torch.device("cpu"))
    assert same.identity() == search.identity()
    turned = replace(text, tokens=Vocabulary(text.tokens.words[::-1], text.tokens.kind))
    parts = {"train": text.train.flip(0)}, {"valid": text.valid.flip(0)}
    for other in (turned, *(replace(text, **part) for part in parts)):
        found = TextSearch(search.config, other, torch.device("cpu")).identity()
        assert {key for key, value in found.items() if value != search.identity()[key]} == {"data"}


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_the_discretisation_gap_is_measured_and_nothing_changes(statistics: str) -> None:
    search = text_search(search__gap_every=1, text__statistics=statistics)
    step(search, 1)
    state = copy.deepcopy(search.state())
    gap = search.measure_gap(Position(epoch=2, step=1, global_step=1))
    assert None not in (gap.supernet_loss, gap.derived_loss, gap.renewed_loss)
    assert gap.supernet_loss != gap.derived_loss
    # Statistics of the batch are as they are; running ones are renewed.
    assert (gap.derived_loss == gap.renewed_loss) == (statistics == "batch")
    assert gap.supernet_top1 is None
    assert equal(search.state(), state)


def test_it_works_without_none_and_at_the_smallest_sizes() -> None:
    small = text_search(
        space__nodes=1, text__width=1, text__bptt=2, space__without_none=True,
        search__order=2, search__hvp="exact",
    )  # fmt: skip
    for number in range(1, small.steps_of(2) + 1):
        step(small, number)
    assert small.supernet.alphas.matrices()["recurrent"].shape == (1, 4)
    assert end_epoch(small, 1)[events.EpochFinished].valid_loss > 0
    long = text_search(text__bptt=1000)
    step(long, 1)
    assert long.steps_of(2) == 1
    assert override(long.config, {"space.nodes": 12}).space.nodes == 12


def test_it_learns_in_half_precision() -> None:
    search = text_search(engine__amp=True)
    for number in (1, 2):
        step(search, number)
    assert search.halves.weight_hidden.dtype == torch.float32
    finished = end_epoch(search, 2)[events.EpochFinished]
    plain = text_search()
    for number in (1, 2):
        step(plain, number)
    wanted = end_epoch(plain, 2)[events.EpochFinished]
    assert finished.valid_loss == pytest.approx(wanted.valid_loss, rel=0.02)
    assert finished.valid_loss != wanted.valid_loss


@pytest.mark.parametrize("order", [1, 2])
def test_its_memory_is_estimated_and_it_stays_as_it_was(order: int) -> None:
    search = text_search(search__order=order)
    before = copy.deepcopy(search.state())
    found = search.footprint()
    assert equal(search.state(), before)
    assert found.unit == "columns"
    assert 0 < found.per_image < found.fixed
    wider = text_search(search__order=order, text__width=12).footprint()
    assert wider.per_image > found.per_image


def test_the_error_of_the_finite_difference_is_measured() -> None:
    search = text_search(search__order=2, search__hvp_check=True)
    step(search, 1)
    told = search._report._hvp_check(Position(epoch=2, step=1, global_step=1))
    assert 0 < told.relative_distance < 1
