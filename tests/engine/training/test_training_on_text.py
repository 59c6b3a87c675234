"""What the step of a training on text does, when it averages, and that it goes on to the bit."""

import copy
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_kit import fingerprint
from text_kit import CELL, TINY, corpus, text_training
from torch.nn import functional

from darts_engine.run import events
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import CheckpointError, ConfigError, NotFiniteError
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import TrainConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.runner.text_scores import mean_loss
from darts_engine.training import going_back

GOLDEN = Path(__file__).parents[2] / "golden" / "recurrent.npz"
# Never the same twice: all five dropouts, lengths, both additions to the loss.
EVERYTHING = {
    "text__word_dropout": 0.1, "text__hidden_dropout": 0.3, "text__activation_reg": 0.01,
    "text__slowness": 0.1, "weights__momentum": 0.5, "weights__schedule": "cosine",
    "text__nonmono": 1, "train__epochs": 5,
}  # fmt: skip
PLAIN = {f"text__{name}_dropout": 0.0 for name in ("output", "hidden", "input", "embedding")}


def walk(task, first=(1, 1), last=None, reported=None):
    """Do the steps from one place to before another, places being epoch and step. Their events."""
    reported = [] if reported is None else reported
    epoch, step = first
    while epoch <= task.epochs:
        reported.append(task.begin_epoch(epoch))
        for number in range(step, task.steps_of(epoch) + 1):
            if (epoch, number) == last:
                return reported
            task.step(epoch, number)
        position = Position(epoch=epoch, step=task.steps_of(epoch), global_step=0)
        reported += task.finish_epoch(position, Timing())
        epoch, step = epoch + 1, 1
        if (epoch, step) == last:
            return reported
    return reported


def averaged_after(reported):
    """The epoch after which weights are averaged, as the log has it."""
    (said,) = [e.message for e in reported if isinstance(e, events.LogWritten)]
    return int(said.rsplit(maxsplit=1)[1])


def rises_from(epoch):
    """A validation that tells falling losses, and from an epoch on rising ones."""
    losses = itertools.chain(range(9, 9 - epoch, -1), itertools.count(20))
    return lambda: float(next(losses))


# In the first epoch, at its end, in the first epoch with averages, at its end, and in the last.
@pytest.mark.parametrize("killed_at", [(1, 3), (2, 1), (4, 2), (5, 1), (5, 4)])
def test_with_everything_on_it_goes_on_from_its_state_to_the_bit(killed_at, monkeypatch):
    whole, first, second = (text_training(**EVERYTHING) for _ in range(3))
    for task in (whole, first):
        monkeypatch.setattr(task, "_validate", rises_from(2))
    reported = walk(whole)
    # The rule compares with the lowest of all losses but the last: 20 with 9, 8.
    assert averaged_after(reported) == 3
    walk(first, last=killed_at)
    second.load_state(first.state())
    monkeypatch.setattr(second, "_validate", first._validate)
    walk(second, first=killed_at)
    assert fingerprint(second.state()) == fingerprint(whole.state())
    assert whole.state()["averaged_steps"] == sum(whole.steps_of(epoch) for epoch in (4, 5))


def test_weights_are_averaged_after_the_ninth_epoch_of_the_specifications_losses(monkeypatch):
    task = text_training(train__epochs=11)
    losses = iter([5, 4, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 2.0, 2.5])
    monkeypatch.setattr(task, "_validate", lambda: next(losses))
    reported = walk(task)
    assert averaged_after(reported) == 9
    began = [values["averaging"] for values in reported if isinstance(values, dict)]
    assert began == [0.0] * 9 + [1.0] * 2
    span = next(span for span in task.schedules() if span.name == "averaging")
    assert span.values == began
    # Losses are recorded only before the switch; the best one may come after it.
    assert task.state()["losses"] == [5, 4, 3, 3.1, 3.2, 3.3, 3.4, 3.5]
    best = [e.epoch for e in reported if isinstance(e, events.EpochFinished) and e.is_best]
    assert best == [1, 2, 3, 10]


def test_validation_is_of_the_averages_and_the_checkpoint_has_both(monkeypatch):
    task = text_training(text__nonmono=1, train__epochs=5)
    monkeypatch.setattr(task, "_validate", rises_from(1))
    walk(task, last=(5, 1))
    monkeypatch.undo()
    state = copy.deepcopy(task.state())
    weights, means = state["network"]["embedding"].clone(), state["average"]["embedding"]
    assert not torch.equal(weights, means)
    told = task._validate()
    for network in (state["network"], state["average"]):
        task.network.load_state_dict(network)
        task.network.eval()
        loss = mean_loss(task._valid, 3, task.network, task.network.first_hidden(2))
        assert (loss == pytest.approx(told, abs=1e-6)) == (network is state["average"])


def test_the_loss_has_both_additions_and_the_rate_is_scaled_by_the_length():
    task = text_training(
        **PLAIN, text__activation_reg=0.5, text__slowness=0.25, weights__grad_clip=0.0
    )
    task.begin_epoch(1)
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    here = task._windows_of(1)[0]
    inputs = task._train[: here.length]
    targets = task._train[1 : here.length + 1]
    reading = task.network.read(inputs, torch.zeros(4, 6))
    likelihood = functional.cross_entropy(
        reading.log_probabilities.flatten(0, 1), targets.flatten()
    )
    steps = reading.states[1:] - reading.states[:-1]
    total = likelihood + 0.5 * reading.states.square().mean() + 0.25 * steps.square().mean()
    gradients = torch.autograd.grad(total, list(task.network.parameters()))
    assert task.step(1, 1) == targets.numel()
    rate = 5.0 * here.drawn / 8
    decay = task.config.weights.weight_decay
    for (name, now), gradient in zip(task.network.named_parameters(), gradients, strict=True):
        expected = before[name] - rate * (gradient + decay * before[name])
        torch.testing.assert_close(now, expected)
    # What is told is the loss without the additions, per token.
    (told,) = task.report(Position(epoch=1, step=1, global_step=1))
    assert told.train_loss == pytest.approx(likelihood.item(), abs=1e-6)


def test_the_gradient_of_the_loss_with_its_additions_is_clipped_before_the_decay():
    task = text_training(
        **PLAIN, text__slowness=0.25, weights__grad_clip=0.01, weights__weight_decay=0.01
    )
    weights = list(task.network.parameters())
    before = [weight.detach().clone() for weight in weights]
    here = task._windows_of(1)[0]
    reading = task.network.read(task._train[: here.length], torch.zeros(4, 6))
    targets = task._train[1 : here.length + 1]
    total = functional.nll_loss(reading.log_probabilities.flatten(0, 1), targets.flatten())
    total = total + 0.25 * (reading.states[1:] - reading.states[:-1]).square().mean()
    gradients = torch.autograd.grad(total, weights)
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert norm > 0.05
    task.step(1, 1)
    rate = 5.0 * here.drawn / 8
    for now, was, gradient in zip(weights, before, gradients, strict=True):
        wanted = was - rate * (gradient * 0.01 / (norm + 1e-6) + 0.01 * was)
        torch.testing.assert_close(now.detach(), wanted)


def test_under_averages_a_step_has_the_rate_of_its_own_length_too():
    task = text_training()
    task._mean.begin()
    drawn = [window.drawn for window in task._windows_of(1)]
    assert len(set(drawn)) > 1
    for step, length in enumerate(drawn, 1):
        task.step(1, step)
        (group,) = task._optimizer.param_groups
        assert group["lr"] == 5.0 * length / 8


def test_the_hidden_state_goes_on_from_step_to_step_and_is_zero_before_the_first():
    task = text_training(**PLAIN, weights__lr=1e-12, weights__lr_min=0.0)
    task.begin_epoch(1)
    task.step(1, 1)
    task.step(1, 2)
    rows = sum(window.length for window in task._windows_of(1)[:2])
    hidden = task.network.read(task._train[:rows], torch.zeros(4, 6)).hidden
    torch.testing.assert_close(task._hidden, hidden)
    task.step(2, 1)
    row = task._windows_of(2)[0].length
    hidden = task.network.read(task._train[:row], torch.zeros(4, 6)).hidden
    torch.testing.assert_close(task._hidden, hidden)


def test_the_loss_of_a_text_is_per_predicted_token_however_it_is_cut():
    network = text_training().network.eval()
    columns = corpus().columns("valid", 3)
    first = network.first_hidden(3)
    losses = [mean_loss(columns, length, network, first) for length in (1, 4, 100)]
    with torch.no_grad():
        found, _ = network(columns[:-1], first)
    expected = -found.gather(2, columns[1:, :, None]).mean().item()
    assert losses == [pytest.approx(expected, abs=1e-6)] * 3


def test_it_starts_from_weights_in_the_official_layout(tmp_path):
    numbers = np.load(GOLDEN, allow_pickle=False)
    mine = {
        name: torch.from_numpy(numbers[name]) for name in numbers if name.startswith("DARTS_V2")
    }
    weights = {
        name.partition("/w/")[2]: value.float() for name, value in mine.items() if "/w/" in name
    }
    torch.save({"state_dict": weights}, tmp_path / "official.pt")
    text = corpus([str(number) for number in range(13)])
    cell = published()["RNN_DARTS_V2"].genotype.text()
    changes = {"network__genotype": cell, "network__weights": str(tmp_path / "official.pt")}
    task = text_training(text, **PLAIN, **changes)
    found, told = task.opening(Position())
    assert "perplexity" in found.message
    assert "official.pt" in told.message
    # A run that goes on has its own.
    going_on = task.opening(Position(epoch=1, step=1, global_step=1))
    assert [event.message for event in going_on] == [found.message]
    hidden = torch.from_numpy(numbers["hidden"])[0].float()
    found, _ = task.network(torch.from_numpy(numbers["x"]), hidden)
    torch.testing.assert_close(found.double(), mine["DARTS_V2/log_prob"], rtol=1e-5, atol=1e-6)
    other = text_training(text, **PLAIN, **changes | {"network__genotype": CELL})
    with pytest.raises(CheckpointError, match="a key too many"):
        other.opening(Position())


# Going back ---------------------------------------------------------------------------------------


def best_after_one_epoch():
    """A training after its first epoch, which is the best so far, and its state then."""
    task = text_training(text__nonmono=0)
    walk(task, last=(2, 1))
    return task, copy.deepcopy(task.state())


def spoil(task, step=2):
    """The next epoch fails in a step. Returns: the error."""
    task.begin_epoch(2)
    for number in range(1, step):
        task.step(2, number)
    weight = next(task.network.parameters())
    hook = weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NotFiniteError) as caught:
        task.step(2, step)
    hook.remove()
    return caught.value


def test_it_goes_back_to_its_best_epoch_and_draws_other_numbers_there(monkeypatch):
    task, state = best_after_one_epoch()
    kept = fingerprint(state["network"])
    assert task.may_return_to(1) == [1]
    lengths = []
    for tries in (1, 2):
        lengths.append([window.length for window in task._windows_of(2)])
        task.failed(spoil(task))
        assert task.rollback.epoch == 1
        assert "the weights' gradient" in task.rollback.reason
        (told,) = task.roll_back(state, Position(epoch=1, step=5, global_step=5))
        assert f"try {tries}" in told.message
        assert task.rollback is None
        state = copy.deepcopy(task.state())
        assert fingerprint(state["network"]) == kept
        assert state["tries"] == tries
    lengths.append([window.length for window in task._windows_of(2)])
    assert lengths[0] != lengths[1] != lengths[2]
    # It goes on, and a better epoch forgets the tries.
    monkeypatch.setattr(task, "_validate", lambda: 0.5)
    walk(task, first=(2, 1))
    assert task.state()["tries"] == 0


def test_the_weights_go_on_from_there_and_not_their_averages():
    task = text_training()
    task._mean.begin()
    walk(task, last=(2, 1))
    state = copy.deepcopy(task.state())
    task.failed(spoil(task))
    task.roll_back(state, Position(epoch=1, step=5, global_step=5))
    now = task.state()
    for part in ("network", "average", "averaged_steps"):
        assert fingerprint(now[part]) == fingerprint(state[part])
    assert fingerprint(now["network"]) != fingerprint(now["average"])


def test_it_gives_up_after_three_returns_to_one_epoch():
    task, state = best_after_one_epoch()
    for _ in range(going_back.TRIES):
        task.failed(spoil(task))
        task.roll_back(state, Position(epoch=1, step=5, global_step=5))
        state = copy.deepcopy(task.state())
    with pytest.raises(NotFiniteError) as caught:
        task.failed(spoil(task))
    what, where, remedy = str(caught.value).split("\n")
    assert "also after 3 returns to the end of epoch 1" in what
    assert "epoch 2, step 2" in where
    assert "--lr" in remedy


def test_without_a_good_epoch_there_is_nothing_to_go_back_to():
    task = text_training()
    error = NotFiniteError("a loss or gradient is not a finite number")
    with pytest.raises(NotFiniteError, match="not a finite number"):
        task.failed(error)


def test_a_validation_loss_that_is_not_finite_counts_as_well(monkeypatch):
    task, _ = best_after_one_epoch()
    monkeypatch.setattr(task, "_validate", lambda: None)
    with pytest.raises(NotFiniteError, match="validation loss"):
        walk(task, first=(2, 1))


# Settings -----------------------------------------------------------------------------------------


def test_a_recurrent_genotype_brings_its_settings_below_those_that_are_given():
    brought = configs.override(TrainConfig(), {"network.genotype": CELL, "weights.lr": 3.0})
    assert brought.network.network == "recurrent"
    assert (brought.data.dataset, brought.weights.lr, brought.weights.momentum) == (
        "verses", 3.0, 0.0,
    )  # fmt: skip
    assert not brought.network.auxiliary
    of_file = configs.from_plain(
        {"kind": "train", "network": {"genotype": CELL}, "weights": {"lr": 3.0}}
    )
    assert of_file == brought
    assert configs.from_toml(configs.to_toml(brought)) == brought
    back = configs.override(brought, {"network.genotype": "", "network.network": "genotype"})
    assert back.data == TrainConfig().data


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights.sam_rho": 0.1}, "--sam-rho has no meaning on text"),
        ({"train.label_smoothing": 0.1}, "--label-smoothing has no meaning on text"),
        ({"network.auxiliary": True}, "--auxiliary has no meaning on text"),
        ({"network.drop_path": 0.2}, "--hidden-dropout"),
        ({"weights.ema": 0.9}, "--nonmono"),
        ({"network.stem": "imagenet"}, "--stem has no meaning on text"),
        ({"network.layers": 8}, "--width"),
        ({"data.flip": True}, "--flip has no meaning on text"),
        ({"train.valid_fraction": 0.2}, "a text has a part for the validation"),
        ({"data.dataset": "digits"}, "reads text, and 'digits' is none"),
        ({"network.network": "genotype"}, "a recurrent cell, which reads text"),
        ({"text.tokens": "letters"}, "unknown tokens 'letters'"),
    ],
)
def test_what_has_no_meaning_on_text_is_refused_with_the_reason(changes, said):
    config = configs.override(TrainConfig(), TINY)
    with pytest.raises(ConfigError, match=said):
        configs.override(config, changes)


def test_settings_of_text_are_refused_on_images():
    with pytest.raises(ConfigError, match="--width is of text, and this run is on images"):
        configs.override(TrainConfig(), {"text.width": 100})
    with pytest.raises(ConfigError, match="'verses' is none"):
        configs.override(TrainConfig(), {"data.dataset": "verses"})
