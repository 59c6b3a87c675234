"""The estimate of a step's memory: near what is measured, linear, harmless, and a clear refusal."""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from engine_kit import CONTEXT

from darts_engine import __main__ as engine
from darts_engine.compute.parallel import World
from darts_engine.data import dataset as datasets
from darts_engine.memory import footprint
from darts_engine.memory.footprint import Footprint
from darts_engine.run.architecture.text import published
from darts_engine.run.errors import ExitCode, TooLargeError
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import KINDS
from darts_engine.search.task import Search
from darts_engine.training.task import Train

CPU = torch.device("cpu")
GIGABYTE = 10**9
BIGGER = {"space.channels": 16, "data.image_size": 32, "data.batch_size": 8}
DERIVED = {"network.genotype": published()["DARTS_V2"].genotype.text()}


def task_of(kind, **changes):
    config = configs.override(KINDS[kind](), changes)
    dataset = datasets.load(config.data.dataset, config.data.image_size)
    return (Search if kind == "search" else Train)(config, dataset, CPU)


def measure(kind, **changes):
    """The estimate, and by how much a step raises the highest memory of this process."""
    torch.set_num_threads(1)
    task = task_of(kind, **changes)
    before = _peak_bytes()
    task.begin_epoch(1)
    task.step(1, 1)
    measured = _peak_bytes() - before
    return task.footprint().of(task.config.data.batch_size), measured


def _peak_bytes():
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        pytest.param("search", {}, marks=pytest.mark.slow),
        pytest.param(
            "search",
            {"search.order": 2, "search.hvp": "exact", "data.batch_size": 16},
            marks=pytest.mark.slow,
        ),
        pytest.param("search", BIGGER | {"search.order": 2}, marks=pytest.mark.slow),
        pytest.param(
            "train",
            DERIVED | {"network.channels": 36, "data.image_size": 32, "data.batch_size": 32},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["default", "exact", "bigger, order 2", "derived network"],
)
def test_the_estimate_is_within_35_percent_of_the_measured_peak(kind, changes):
    with ProcessPoolExecutor(1, CONTEXT) as fresh:
        estimated, measured = fresh.submit(measure, kind, **changes).result(100)
    assert 0.65 < estimated / measured < 1.35, (estimated, measured)


@pytest.mark.parametrize(("kind", "changes"), [("search", {}), ("train", DERIVED)])
def test_estimating_changes_nothing(kind, changes):
    task = task_of(kind, **changes)
    network = task.supernet if kind == "search" else task.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    draws = torch.random.get_rng_state()
    task.footprint()
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(draws, torch.random.get_rng_state())
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.slow
def test_what_is_kept_grows_with_the_network_and_the_order():
    small = task_of("search").footprint()
    assert task_of("search", **{"space.layers": 6}).footprint().per_image > small.per_image
    second = task_of("search", **{"search.order": 2}).footprint()
    exact = task_of("search", **{"search.order": 2, "search.hvp": "exact"}).footprint()
    assert small.per_image <= second.per_image < exact.per_image
    assert small.fixed < second.fixed


def test_a_step_that_cannot_fit_is_refused_with_the_batch_that_would(monkeypatch):
    monkeypatch.setattr(footprint, "available", lambda _device: 2 * GIGABYTE)
    found = Footprint(fixed=GIGABYTE // 2, per_image=GIGABYTE // 10)
    footprint.check_step_fits(found, 15, CPU)
    with pytest.raises(TooLargeError, match="--batch-size 15 would fit") as caught:
        footprint.check_step_fits(found, 64, CPU)
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(TooLargeError, match="not even a batch of 2"):
        footprint.check_step_fits(Footprint(3 * GIGABYTE, 1), 64, CPU)


def test_the_limit_of_a_control_group_counts(tmp_path):
    group = tmp_path / "fs" / "job" / "step"
    group.mkdir(parents=True)
    (group.parent / "memory.max").write_text("1000\n")
    (group.parent / "memory.current").write_text("400\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("300\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/job/step\n")
    assert list(footprint._cgroup_rooms(tmp_path / "fs", membership)) == [600]
    assert list(footprint._cgroup_rooms(tmp_path / "fs", tmp_path / "absent")) == []


class Notes:
    """Takes the notes of a session."""

    world = World()

    def __init__(self):
        self.taken = []

    def note(self, message, level):
        self.taken.append((level, message))


def test_the_run_is_refused_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(footprint, "available", lambda _device: 1_000_000)
    task = task_of("search")
    with pytest.raises(TooLargeError) as caught:
        engine._step_memory(task, task.config, CPU, Notes())
    assert caught.value.exit_code == ExitCode.OUT_OF_MEMORY
    unchecked = configs.override(task.config, {"engine.memory_check": False})
    assert engine._step_memory(task, unchecked, CPU, Notes()) > 1_000_000


def test_a_run_whose_memory_cannot_be_told_goes_on_with_a_note(monkeypatch):
    task, notes = task_of("search"), Notes()
    monkeypatch.setattr(Search, "footprint", lambda _self: 1 / 0)
    assert engine._step_memory(task, task.config, CPU, notes) is None
    ((level, message),) = notes.taken
    assert level == "warning"
    assert "division by zero" in message


def test_a_batch_larger_than_the_data_counts_as_what_there_is():
    all_images, more = (task_of("search", **{"data.batch_size": n}) for n in (5_000, 10_000))
    estimates = [engine._step_memory(t, t.config, CPU, Notes()) for t in (all_images, more)]
    assert estimates[0] == estimates[1]
