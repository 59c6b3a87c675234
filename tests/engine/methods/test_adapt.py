"""DARTS-ADA: where it goes back to, how much the weights decay then, and what it keeps for it."""

import copy
import random
from pathlib import Path

import pytest
import torch
from engine_kit import (
    Engine,
    events_in,
    make_run,
    newest_state,
    of_type,
    rise_until_decayed,
    state_of,
)
from parallel_kit import go_back_together, images, on_ranks

from darts_engine.compute import device as devices
from darts_engine.methods.architects.second_order import VirtualStep
from darts_engine.methods.stopping.adapt import Adaptation
from darts_engine.methods.stopping.rules import EigenvalueRule, EpochEvidence, Verdict
from darts_engine.run import events
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import CheckpointError, ConfigError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.state import RunState, fold
from darts_engine.runner import checkpoint
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search.task import Search

PLAIN = published()["DARTS_V2"].genotype
ADA = {"search__method": "r-darts-ada", "search__epochs": 6, "images": 100, "data__batch_size": 32}


def adaptation(
    decay: float = 3e-4, factor: float = 10.0, most: float = 0.03, every: int = 1
) -> Adaptation:
    return Adaptation(EigenvalueRule(every=every), decay, factor, most)


def evidence(epoch: int, eigenvalue: float | None) -> EpochEvidence:
    return EpochEvidence(epoch, eigenvalue, PLAIN, {})


def roll_back(what: Adaptation, to: int, kept: dict[int, dict[str, object]]) -> None:
    returns = what.returns
    what.load_state(kept[to])
    what.adapt(to, returns)


def test_a_jump_leads_back_to_the_epoch_of_the_golden_values_and_decay_is_multiplied():
    ada, kept = adaptation(), {}
    for epoch in range(1, 23):
        verdict = ada.check(evidence(epoch, 0.2 if epoch < 21 else 0.5))
        assert (verdict is None) == (epoch < 22)
        kept[epoch] = ada.state()
    assert isinstance(verdict, Verdict)
    # The golden values count from 0: processing epoch 21, stop epoch 15.
    assert verdict.epoch == 16
    roll_back(ada, 16, kept)
    decays = [ada.weight_decay(epoch) for epoch in (1, 16, 17, 50)]
    assert decays == pytest.approx([3e-4, 3e-4, 3e-3, 3e-3])


def test_slow_growth_measured_every_second_epoch_leads_back_as_the_golden_values_do():
    ada = adaptation(every=2)
    values = {2 * k: 0.1 if k < 10 else 0.1 * 1.15 ** (k - 9) for k in range(25)}
    found = [
        (epoch, verdict.epoch - 1)
        for epoch in range(30)
        if (verdict := ada.check(evidence(epoch + 1, values.get(epoch))))
    ]
    assert found[0] == (26, 14)


def test_the_rule_goes_on_from_the_measurements_of_the_epoch_it_is_back_at():
    ada, kept = adaptation(), {}
    for epoch in range(1, 23):
        ada.check(evidence(epoch, 0.2 if epoch < 21 else 0.5))
        kept[epoch] = ada.state()
    roll_back(ada, 16, kept)
    assert ada.state()["rule"] == kept[16]["rule"]
    assert len(ada.state()["rule"]["values"]) == 16
    # Had it kept the 0.5 that it went back behind, its averages would rise here again.
    assert all(ada.check(evidence(epoch, 0.2)) is None for epoch in range(17, 40))


@pytest.mark.parametrize(
    ("decay", "factor", "most", "steps"),
    [
        (3e-4, 10.0, 0.03, [3e-4, 3e-3, 0.03]),
        (3e-4, 3.0, 243e-4, [3e-4, 9e-4, 27e-4, 81e-4, 243e-4]),
        (4e-3, 10.0, 0.03, [4e-3, 0.03]),
    ],
)
def test_decay_grows_to_its_maximum_and_then_the_rule_acts_no_more(
    decay: float, factor: float, most: float, steps: list[float]
):
    ada = adaptation(decay, factor, most)
    found = [ada.weight_decay(1)]
    for back in range(len(steps) - 1):
        before = ada.returns
        for epoch in range(1, 18):
            verdict = ada.check(evidence(epoch, 0.1 if epoch < 16 else 9.0))
        assert verdict is not None
        ada.load_state({"rule": {"values": [], "averages": []}, "returns": []})
        ada.adapt(back, before)
        found.append(ada.weight_decay(50))
    assert found == pytest.approx(steps)
    assert found[-1] == most
    assert all(ada.check(evidence(epoch, 2.0**epoch)) is None for epoch in range(1, 50))
    assert list(ada.may_return_to(49)) == []


def test_going_back_further_than_before_lets_both_adaptations_hold_from_there():
    ada = adaptation()
    ada.adapt(16, [])
    ada.adapt(12, ada.returns)
    assert ada.returns == (12, 12)
    assert [ada.weight_decay(epoch) for epoch in (12, 13, 16, 17)] == [3e-4, 0.03, 0.03, 0.03]
    ada.load_state({"rule": {"values": [], "averages": []}, "returns": []})
    ada.adapt(12, [])
    ada.adapt(16, ada.returns)
    decays = [ada.weight_decay(epoch) for epoch in (12, 13, 16, 17)]
    assert decays == pytest.approx([3e-4, 3e-3, 3e-3, 0.03])


@pytest.mark.parametrize("every", [1, 2, 3])
def test_what_it_goes_back_to_was_always_announced_in_time(every: int):
    draws, rollbacks = random.Random(every), 0
    for _ in range(200):
        ada = adaptation(3e-4, 2.0, 0.03, every)
        kept: dict[int, dict[str, object]] = {}
        epoch = 0
        while epoch < 60:
            epoch += 1
            value = draws.uniform(0.5, 1.5) * 1.1**epoch if epoch % every == 0 else None
            verdict = ada.check(evidence(epoch, value))
            if verdict:
                assert verdict.epoch in kept
                assert verdict.epoch > 10
                rollbacks += 1
                roll_back(ada, verdict.epoch, kept)
                epoch = verdict.epoch
            kept[epoch] = ada.state()
            needed = ada.may_return_to(epoch)
            kept = {end: state for end, state in kept.items() if end in needed}
            assert len(kept) <= 6 + 5 * 7
    assert rollbacks > 500


@pytest.mark.parametrize(
    "changes",
    [
        {"method.hessian_every": 0},
        {"method.schedule": "staged"},
        {"method.architect": "random"},
        {"weights.weight_decay": 0.0},
        {"weights.weight_decay": 0.03},
        {"method.adapt_most": 1e-4},
    ],
)
def test_what_cannot_be_adapted_is_refused(changes: dict[str, object]):
    with pytest.raises(ConfigError):
        configs.override(SearchConfig(), {"search.method": "r-darts-ada", **changes})


def a_search() -> Search:
    asked = {"search.method": "r-darts-ada", "search.order": 2, "data.batch_size": 8,
             "space.channels": 2, "space.layers": 3, "space.nodes": 1, "engine.threads": 1,
             "engine.device": "cpu", "search.epochs": 30}  # fmt: skip
    config = configs.override(SearchConfig(), asked)
    assert isinstance(config, SearchConfig)
    return Search(config, images(32), devices.choose(config.engine))


@pytest.mark.slow
def test_a_search_that_is_back_has_everything_of_then_but_its_weight_decay():
    search = a_search()
    ends = {}
    for epoch in range(1, 23):
        search._eigenvalue = lambda at: 0.2 if at.epoch < 21 else 0.5  # type: ignore[method-assign]
        values = search.begin_epoch(epoch)
        search.step(epoch, 1)
        position = Position(epoch=epoch, step=1, global_step=epoch)
        search.finish_epoch(position, Timing())
        assert values["weight_decay"] == 3e-4
        ends[epoch] = copy.deepcopy(search.state())
    assert search.rollback is not None
    assert search.rollback.epoch == 16

    (alert,) = search.roll_back(ends[16], Position(epoch=16, step=1, global_step=16))
    assert search.rollback is None
    now, then = copy.deepcopy(search.state()), ends[16]
    assert now.pop("adaptation") != then.pop("adaptation")
    assert repr(now) == repr(then)
    assert isinstance(alert, events.AlertRaised)
    assert alert.message.startswith(
        "back to the end of epoch 16 with weight decay 0.003: the dominant eigenvalue rose from 0.2"
    )
    (decay,) = [span.values for span in search.schedules() if span.name == "weight_decay"]
    assert decay == pytest.approx([3e-4] * 16 + [3e-3] * 14)

    rate = search.begin_epoch(17)["lr_weights"]
    (group,) = search._optimizer.param_groups
    assert (group["weight_decay"], group["lr"]) == (pytest.approx(3e-3), rate)
    assert rate == a_search().begin_epoch(17)["lr_weights"]
    assert VirtualStep.of(search._optimizer).weight_decay == group["weight_decay"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A whole run, with as few checkpoints as can be asked for."""
    few = {"checkpoint__keep": 1, "checkpoint__checkpoint_every": 5}
    run = make_run(tmp_path_factory.mktemp("runs"), "ada", **ADA, **few)
    assert Engine(run, rise_until_decayed).wait() == 0
    return run


@pytest.mark.slow
def test_a_run_goes_back_twice_and_on_to_its_last_epoch(whole: RunFolder):
    history = events_in(whole)
    started = [
        (e.epoch, e.schedules["weight_decay"]) for e in of_type(history, events.EpochStarted)
    ]
    epochs = [1, 2, 3, 4, 5, 4, 3, 4, 5, 6]
    assert [epoch for epoch, _ in started] == epochs
    decays = [3e-4] * 5 + [3e-3] + [0.03] * 4
    assert [decay for _, decay in started] == pytest.approx(decays)
    back = of_type(history, events.Rewound)
    assert [(r.to_epoch, r.to_step) for r in back] == [(3, 6), (2, 4)]
    assert all("rose from 1 to 1.33" in r.reason for r in back)
    first, second = [a for a in of_type(history, events.AlertRaised) if a.code == "weight_decay"]
    assert "end of epoch 3 with weight decay 0.003" in first.message
    assert "end of epoch 2 with weight decay 0.03" in second.message


@pytest.mark.slow
def test_the_dashboard_knows_the_epochs_that_count_the_plan_and_what_was_given_up(
    whole: RunFolder,
):
    state = state_of(whole)
    assert state.phase == "finished"
    assert [epoch.epoch for epoch in state.epochs] == [1, 2, 3, 4, 5, 6]
    assert sorted(epoch.epoch for epoch in state.given_up) == [3, 4, 4, 5]
    assert state.started is not None
    (decay,) = [s.values for s in state.started.schedules if s.name == "weight_decay"]
    assert decay == pytest.approx([3e-4] * 2 + [0.03] * 4)
    assert [a.epoch for a in state.alerts if a.code == "weight_decay"] == [2]
    (group,) = newest_state(whole)["weight_optimizer"]["param_groups"]
    assert group["weight_decay"] == 0.03


@pytest.mark.slow
def test_once_nothing_can_be_gone_back_to_only_the_kept_checkpoints_stay(whole: RunFolder):
    kept = [checkpoint.read_manifest(path) for path in checkpoint.newest_first(whole)]
    assert [m.position.epoch for m in kept] == [6]


@pytest.mark.slow
def test_the_run_is_phase_running_between_going_back_and_going_on(whole: RunFolder):
    state, phases = RunState(), set()
    for event in events_in(whole):
        fold(state, event)
        if isinstance(event, events.Rewound):
            phases.add((state.phase, state.epoch))
    assert phases == {("running", 3), ("running", 2)}


@pytest.mark.slow
def test_without_the_checkpoint_to_go_back_to_the_run_fails_in_three_lines(runs: Path):
    run = make_run(runs, "lost", **ADA, checkpoint__keep=10)
    assert Engine(run, forget_the_ends).wait() == CheckpointError.exit_code
    (failed,) = of_type(events_in(run), events.RunFailed)
    assert "back to the end of epoch 3, and its checkpoint is missing" in failed.message
    assert len(failed.message.splitlines()) == 3


def forget_the_ends() -> None:
    rise_until_decayed()
    Search.may_return_to = lambda self, epoch: ()  # type: ignore[method-assign]
    prune = checkpoint.prune
    checkpoint.prune = lambda folder, keep, ends=(): prune(folder, 1, ends)  # type: ignore[assignment]


@pytest.mark.slow
def test_ranks_go_back_together_and_stay_one_anothers_copies(tmp_path: Path):
    one, other = on_ranks(go_back_together, str(tmp_path))
    assert one["began"] == other["began"] == [1, 2, 3, 4, 5, 4, 3, 4, 5, 6]
    assert one["adaptation"] == other["adaptation"]
    assert one["groups"] == other["groups"]
    assert all(torch.equal(one["network"][name], other["network"][name]) for name in one["network"])


@pytest.mark.slow
def test_with_the_papers_constants_a_run_goes_back_to_the_golden_epoch(runs: Path):
    one_step = {"images": 100, "data__batch_size": 32}
    run = make_run(runs, "golden", search__method="r-darts-ada", search__epochs=24, **one_step)
    assert Engine(run, jump_at_epoch_21).wait(120) == 0
    (back,) = of_type(events_in(run), events.Rewound)
    assert back.to_epoch == 16
    started = [e.epoch for e in of_type(events_in(run), events.EpochStarted)]
    assert started == [*range(1, 23), *range(17, 25)]
    assert [e.epoch for e in state_of(run).epochs] == list(range(1, 25))


def jump_at_epoch_21() -> None:
    def eigenvalue(self: Search, position: Position) -> float:
        (group,) = self._optimizer.param_groups
        return 0.5 if position.epoch >= 21 and group["weight_decay"] == 3e-4 else 0.2

    Search._eigenvalue = eigenvalue  # type: ignore[method-assign]
