"""darts-tui protocol, with a stand-in for the engine: stages, decisions, going on, ends."""

import json
import os
import signal
import threading

import msgspec
import pytest
from fake_run import make_run

from darts_engine.run import events
from darts_engine.run.architecture.text import parse
from darts_engine.run.commands import Stop, stamped
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder, create, list_runs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.state import fold_all
from darts_tui.launch import engine_process
from darts_tui.runs.outcome import observed
from darts_tui.studies import protocol, protocol_report, run_all
from darts_tui.studies.study import StudyFolder

SMALL = ("--name", "p", "--seeds", 2, "--final-seeds", 1)


def live_states(runs):
    return {run.name: observed(run)[1] for run in list_runs(runs)}


def test_a_protocol_searches_chooses_trains_and_reports_as_ordinary_runs(darts, engine, runs):
    engine("finish")
    asked = (
        *("--search-epochs", 7, "--train-epochs", 30, "--seed", 5, "--channels", 4, "--flip"),
        *("--batch-size", 32, "--train", "network.channels=20", "--train", "weights.lr=0.1"),
    )
    result = darts("protocol", *SMALL, *asked)
    assert result.code == 0, result.err
    names = ["p-search-0", "p-search-1", "p-short-0", "p-short-1", "p-final-0"]
    assert live_states(runs) == dict.fromkeys(names, "finished")
    search, other, short, _, final = (RunFolder(runs / name).read_config() for name in names)
    assert (search.engine.seed, other.engine.seed) == (5, 6)
    assert (search.epochs, search.space.channels, search.data.batch_size) == (7, 4, 32)
    assert (short.epochs, short.train.valid_fraction, short.engine.seed) == (5, 0.2, 5)
    assert (final.epochs, final.train.valid_fraction, final.engine.seed) == (30, 0.0, 5)
    for trained in (short, final):
        assert (trained.network.channels, trained.weights.lr) == (20, 0.1)
        assert (trained.data.flip, trained.data.batch_size) == (True, 64)
        assert parse(trained.network.genotype)
    report = json.loads((runs / "p" / "report.json").read_bytes())
    assert [cell["rank"] for cell in report["cells"]] == [1, 2]
    assert report["test_top1_mean"] == report["trainings"][0]["test_top1"]
    assert report["test_top1_deviation"] is None
    assert report["genotype"] in (runs / "p" / "report.md").read_text()
    assert "test top-1: " in result.out


def test_what_is_finished_is_not_repeated_and_json_is_all_there_is(darts, engine, runs):
    engine("finish")
    first = darts("protocol", *SMALL, "--json")
    before = {run.name: run.events.read_bytes() for run in list_runs(runs)}
    engine("crash")
    again = darts("protocol", "--name", "p", "--json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(first.out))
    assert {run.name: run.events.read_bytes() for run in list_runs(runs)} == before


def test_a_killed_engine_ends_the_protocol_which_then_goes_on_from_there(darts, engine, runs):
    engine("die")
    result = darts("protocol", *SMALL)
    assert result.code == 1
    assert result.error_lines[-3:] == [
        "go on with 'darts-tui protocol --name p'; finished runs are not repeated",
        "the engine of p-search-0 is gone before its end",
        str(runs / "p-search-0" / "engine.log"),
    ]
    # What is left when the launcher is killed while it makes a run.
    (runs / "p-search-1" / "checkpoints").mkdir(parents=True)
    (runs / "p-search-1" / "config.toml.tmp.123").touch()
    engine("finish")
    assert darts("protocol", "--name", "p", "--parallel", 2).code == 0
    assert set(live_states(runs).values()) == {"finished"}


def test_a_failed_run_is_reported_with_its_own_exit_code(darts, engine, runs):
    engine("fail")
    result = darts("protocol", *SMALL)
    assert result.code == 6
    assert result.error_lines[-3].startswith("the training loss is not a finite number")


def test_other_settings_than_planned_are_refused_and_the_same_ones_are_not(darts, engine, runs):
    engine("finish")
    assert darts("protocol", *SMALL, "--channels", 4).code == 0
    assert darts("protocol", *SMALL, "--channels", 4).code == 0
    result = darts("protocol", *SMALL, "--channels", 6)
    assert result.code == 2
    assert "search space.channels is 4 there and 6 here" in result.error_lines[-3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_all_engines_and_prints_how_to_go_on(darts, engine, runs, until, number):
    engine("obey")
    names = ("p-search-0", "p-search-1")

    def interrupt():
        until(lambda: all("running" in live_states(runs).get(name, "") for name in names))
        os.kill(os.getpid(), number)

    helper = threading.Thread(target=interrupt)
    helper.start()
    result = darts("protocol", *SMALL, "--parallel", 2)
    helper.join()
    assert result.code == run_all.CODES[number]
    assert "go on with 'darts-tui protocol --name p'" in result.error_lines[-1]
    assert live_states(runs) == dict.fromkeys(names, "stopped")


def test_a_run_whose_engine_lives_is_waited_for_and_not_started_again(engine, runs):
    engine("obey")
    folder = create(runs, "one", SearchConfig())
    engine_process.start(folder, SearchConfig())
    pid, lines = folder.read_engine().pid, []

    def print_line(text):
        lines.append(text)
        if "waiting for it" in text:
            folder.send(stamped(Stop))

    with pytest.raises(RunError, match="one was stopped before its end"):
        run_all.finish(runs, [run_all.Job("one", SearchConfig())], 1, print_line)
    assert "waiting for it" in lines[0]
    assert folder.read_engine().pid == pid


def test_a_second_signal_leaves_an_engine_that_does_not_answer(engine, runs):
    engine("deaf")

    def print_line(text):
        if "under way" in text or "saving checkpoints" in text:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(run_all.Interrupted):
        run_all.finish(runs, [run_all.Job("one", SearchConfig())], 1, print_line)
    folder = RunFolder(runs / "one")
    assert folder.is_locked()
    os.kill(folder.read_engine().pid, signal.SIGKILL)


def test_only_one_process_works_on_a_protocol(darts, runs):
    folder = StudyFolder(runs / "p")
    folder.make()
    with folder.held():
        assert darts("protocol", *SMALL).code == 3


def test_the_ranking_is_by_the_last_epoch_then_loss_then_order(runs):
    folder = StudyFolder(runs / "p")
    jobs = []
    for place, seed in enumerate((3, 1, 2, 1)):
        run = make_run(runs, f"p-short-{place}", kind="train", epochs_done=3, epochs=3, seed=seed)
        jobs.append(run_all.Job(run.name, run.read_config()))
    last = [observed(RunFolder(runs / job.name))[0].epochs[-1] for job in jobs]
    order = sorted(range(4), key=lambda at: (-last[at].valid_top1, last[at].valid_loss, at))
    assert protocol.ranking(folder, jobs) == order
    assert order.index(1) + 1 == order.index(3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--name", "-p"), "cannot name a protocol"),
        (("--name", "p" * 60), "too long"),
        (("--train", "channels=3"), "is no setting"),
        (("--train", "network.channel=4"), "unknown setting 'network.channel'"),
        (("--train", "network.channels=x"), "--channels cannot be 'x': it is an integer"),
        (("--train", "network.network=wrn-10-1"), "trains the cells it finds"),
        (("--recipe", "darts-imagenet"), "is no recipe for a search"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_runs(darts, runs, arguments, reason):
    result = darts("protocol", *arguments)
    assert (result.code, len(result.error_lines) <= 3) == (2, True)
    assert reason in result.err
    assert list_runs(runs) == []


def test_a_foreign_run_of_the_same_name_is_left_alone(darts, engine, runs):
    engine("finish")
    make_run(runs, "p-search-0", epochs=2, phase="finished")
    result = darts("protocol", *SMALL)
    assert (result.code, "with other settings" in result.err) == (1, True)


def test_the_test_part_of_a_set_with_a_validation_part_is_what_the_report_takes():
    started = events.RunStarted(
        name="x", kind="train", config={}, versions={}, device="cpu", threads=1, pid=1, host="h",
        parameters=1, epochs=1, steps_per_epoch=1, dataset="x", classes=[], image_shape=[1, 2, 2],
        images={"train": 9, "valid": 3, "test": 3},
    )  # fmt: skip
    epoch = events.EpochFinished(
        epoch=1, global_step=1, train_loss=1.0, train_top1=1.0, valid_loss=0.5, valid_top1=50.0,
        seconds=1.0,
    )  # fmt: skip
    looked = events.TestMeasured(epoch=1, images=3, test_loss=0.7, test_top1=40.0)
    without = msgspec.structs.replace(started, images={"train": 9, "test": 3})
    for history, part, figures in (
        ([started, epoch, looked], "test", (0.7, 40.0)),
        ([started, epoch], "valid", (0.5, 50.0)),
        ([without, epoch], "every epoch", (0.5, 50.0)),
    ):
        state = fold_all(history)
        assert protocol_report._part(state) == part
        assert tuple(protocol_report._final(state, one) for one in ("loss", "top1")) == figures
