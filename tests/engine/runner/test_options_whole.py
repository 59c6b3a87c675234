"""Options of the engine in whole runs, from the first event to the last."""

from pathlib import Path

import pytest
from engine_kit import Engine, compile_for_the_eager_backend, events_in, make_run, of_type

from darts_engine.run import events
from darts_engine.run.architecture import spaces
from darts_engine.run.architecture import text as genotype_text
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder

OPTIONS = [
    ("search", {"checkpoint_activations": True, "deterministic": True, "memory_check": False}),
    ("search", {"amp": True, "channels_last": False}),
    ("train", {"amp": True, "deterministic": True}),
]


def finished(runs, kind, changes, prepare=None, nproc=1, **more):
    more.setdefault("data__batch_size", 32)
    epochs = {"search": "search__epochs", "train": "train__epochs"}[kind]
    settings = {f"engine__{name}": value for name, value in changes.items()}
    run = make_run(runs, "whole", kind, images=100, **{epochs: 1}, **settings, **more)
    engine = Engine(run, prepare, nproc)
    try:
        assert engine.wait(100) == ExitCode.OK, events_in(run)[-1:]
    finally:
        engine.kill()
    history = events_in(run)
    assert isinstance(history[-1], events.RunFinished)
    (epoch,) = of_type(history, events.EpochFinished)
    assert not [note for note in of_type(history, events.LogWritten) if note.level != "info"]
    return epoch


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "changes"), OPTIONS)
def test_a_run_with_these_options_comes_to_its_end(runs: Path, kind, changes) -> None:
    finished(runs, kind, changes)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["nasbench201", "1shot1-3", "nasnet-like"])
def test_what_a_space_derives_is_trained(runs: Path, tmp_path: Path, space: str) -> None:
    spec = spaces.SPECS[space]
    # Two nodes are enough: the Hessian of the published five has hundreds of rows.
    nodes = 2 if spec.has_free_nodes else spec.nodes
    finished(runs, "search", {}, space__space=space, space__nodes=nodes, method__hessian_every=1)
    run = RunFolder(runs / "whole")
    derived = events_in(run)[-1]
    assert isinstance(derived, events.RunFinished)
    assert genotype_text.parse(derived.text) == derived.genotype
    finished(tmp_path, "train", {}, network__genotype=derived.text, network__channels=4)


@pytest.mark.slow
def test_two_processes_with_synchronised_batch_norm_come_to_their_end(runs: Path) -> None:
    finished(runs, "search", {"sync_bn": True}, nproc=2, space__nodes=1)


@pytest.mark.slow
def test_a_compiled_search_learns_as_an_ordinary_one(runs: Path, tmp_path: Path) -> None:
    # Of two candidates an edge: every operation is one more graph to trace.
    small = {"space__space": "s2", "space__nodes": 1, "data__batch_size": 64}
    compiled = finished(runs, "search", {"compile": True}, compile_for_the_eager_backend, **small)
    plain = finished(tmp_path, "search", {}, **small)
    assert compiled.train_loss == pytest.approx(plain.train_loss, rel=1e-4)
