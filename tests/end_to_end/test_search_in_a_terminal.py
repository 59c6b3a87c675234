"""The main job in a real pseudo-terminal: watch, steer, leave, come back, finish, train."""

import pytest
from engine_kit import events_in, state_of, until
from house_kit import TINY, House, events_of, steps, until_state
from terminal_kit import LEAVING, Terminal

from darts_engine.run import events
from darts_engine.run.liveness import observe

BATCH = ("--batch-size", "256")
LEAVES = 20.0


def restored(terminal: Terminal) -> bool:
    return terminal.modes == terminal.modes_before and all(
        bytes(terminal.sent).rfind(sequence) > terminal.sent.rfind(b"\x1b[?1049h")
        for sequence in LEAVING
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    from house_kit import new_house

    house = new_house(tmp_path_factory.mktemp("main-job"))
    yield house
    house.close()


@pytest.mark.slow
def test_a_search_is_watched_steered_left_found_again_and_trained(home: House):
    screen = home.terminal("search", "--name", "e2e", "--epochs", "8", *TINY, *BATCH)
    screen.shows("e2e", "RUNNING", "Normal cell", "Reduction cell", "Events")
    run = home.run("e2e")
    screen.shows("[.1", "▸ 0→2", "epoch   epoch 1:")

    screen.press("p")
    screen.shows("PAUSED", "holding at epoch")
    held_at = steps(run)
    _looks_around(screen)
    saved_before = set(run.checkpoints.iterdir())
    screen.press("c")
    screen.shows("checkpoint done after")
    saved = events_of(run, events.CheckpointSaved)[-1]
    assert saved.reason == "command"
    assert run.path / saved.path in set(run.checkpoints.iterdir()) - saved_before
    screen.press("e")
    until(lambda: [*run.exports.rglob("*.svg")] and [*run.exports.rglob("*.png")], 60, screen.text)
    screen.shows(" files in ")
    assert steps(run) == held_at, "a paused engine does no step"
    assert observe(run, state_of(run)) == "paused"

    screen.press("p")
    screen.shows("RUNNING", "going on from epoch")
    screen.press("q")
    assert screen.wait(LEAVES) == 0
    assert restored(screen)
    assert "goes on; come back with 'darts-tui attach e2e'" in screen.text()

    left_at = steps(run)
    again = home.terminal("attach")
    again.shows("FINISHED", "epoch 8/8", "best", timeout=60)
    assert steps(run) > left_at
    again.press("q")
    assert again.wait(LEAVES) == 0
    assert "e2e is finished" in again.text()
    assert "'darts-tui attach e2e'" in again.text()

    size = ("--channels", "4", "--layers", "3", "--threads", "1", *BATCH)
    trained = home.cli(
        "train", "--genotype", "run:e2e", "--name", "trained", "--epochs", "2", *size
    )
    assert (trained.returncode, trained.stderr.count(b"\n")) == (0, 1), trained.stderr
    assert b"epoch 2: train" in trained.stdout
    assert state_of(home.run("trained")).started.genotype == state_of(run).final_genotype()


def _looks_around(screen: Terminal) -> None:
    screen.press("?")
    screen.shows("detach; engine goes on")
    screen.press("\x1b")
    screen.until(lambda text: "detach; engine goes on" not in text)
    before = screen.background(4, 3)
    screen.press("t")
    screen.until(lambda _: screen.background(4, 3) != before)
    screen.resize(100, 40)
    screen.until(lambda text: "Normal cell" in text and "Reduction cell" not in text)
    screen.press("n")
    screen.until(lambda text: "Reduction cell" in text and "Normal cell" not in text)
    screen.resize(160, 48)
    screen.shows("Normal cell", "Reduction cell")


@pytest.mark.slow
def test_x_stops_after_a_question_and_resume_finishes(home: House):
    screen = home.terminal("search", "--name", "other", "--epochs", "4", *TINY, *BATCH)
    screen.shows("RUNNING", "Normal cell")
    screen.press("x")
    screen.shows("Stop the engine?")
    screen.press("\x1b")
    screen.until(lambda text: "Stop the engine?" not in text)
    screen.press("x")
    screen.shows("Stop the engine?")
    screen.press("n")
    screen.shows("STOPPED", "darts-tui resume other")
    run = home.run("other")
    stopped_at = events_of(run, events.RunStopped)[0].global_step
    assert [*run.checkpoints.glob(f"*{stopped_at:09d}*")]
    screen.press("q")
    assert screen.wait(LEAVES) == 0
    assert restored(screen)
    assert "go on with 'darts-tui resume other'" in screen.text()

    resumed = home.cli("resume", "other")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed at step {stopped_at}".encode() in resumed.stdout
    until_state(run, lambda state: state.phase == "finished")
    assert [event.seq for event in events_in(run)] == list(range(1, len(events_in(run)) + 1))
