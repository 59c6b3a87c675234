"""Several ranks for tests: forked processes that meet through a file, and what they compute.

Searches and trainings are in double precision here, so that what is mathematically equal is equal
to many digits.
"""

import copy
import functools
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from engine_kit import CONTEXT, TINY, TINY_SEARCH, TINY_TRAIN, rise_until_decayed

from darts_engine.compute import parallel
from darts_engine.compute.ranks import LOOPBACK, Place
from darts_engine.data.dataset import Dataset, Part
from darts_engine.run import commands, events
from darts_engine.run.errors import NotFiniteError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import EventLog
from darts_engine.run.settings import config as configs
from darts_engine.runner import session
from darts_engine.runner.follower import Follower
from darts_engine.runner.heartbeat import Heartbeat
from darts_engine.runner.hold import Hold
from darts_engine.runner.inbox import Inbox, Signals
from darts_engine.runner.loop import Loop, Timing
from darts_engine.runner.meter import FiniteGuard
from darts_engine.runner.position import Position
from darts_engine.search.halves import Halves
from darts_engine.search.task import Search
from darts_engine.training.task import Train

CPU = torch.device("cpu")
SIZE = 2


def on_ranks(
    work: Callable[..., Any], *args: Any, size: int = SIZE, patience_s: float = 60
) -> list:
    """What `work(*args)` returns on each of `size` ranks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        processes = [
            CONTEXT.Process(
                target=_be_a_rank,
                args=(Place(rank, size, rank, size, str(path / "meeting")), patience_s, work, args),
                daemon=True,
            )
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(100)
            process.kill()
        failed = [file.read_text() for file in path.glob("*.failed")]
        assert not failed, "\n".join(failed)
        return [torch.load(path / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _be_a_rank(place: Place, patience_s: float, work: Callable[..., Any], args: Any) -> None:
    folder = Path(place.meeting).parent
    os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    try:
        world = parallel.join(place, CPU, 64, timedelta(seconds=patience_s))
        torch.save(work(*args), folder / f"{place.rank}.pt")
        world.leave()
    except BaseException:  # noqa: BLE001  the test shall see it
        (folder / f"{place.rank}.failed").write_text(traceback.format_exc())
        os._exit(1)


def images(count: int) -> Dataset:
    """Made-up images of four classes, of which every second belongs to alpha."""
    draws = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 4
    pixels = (
        torch.randint(0, 100, (count, 8, 8, 1), generator=draws) + 30 * labels[:, None, None, None]
    )
    part = Part(pixels.to(torch.uint8), labels)
    return Dataset("made-up", list("abcd"), part, part)


class _DoubleHalves(Halves):
    def weight_batch(self, epoch: int, step: int) -> Any:
        return _wide(super().weight_batch(epoch, step))

    def alpha_batch(self, epoch: int, step: int) -> Any:
        return _wide(super().alpha_batch(epoch, step))


class _DoubleSearch(Search):
    make_halves = _DoubleHalves

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return super().predict(images.double())


class _DoubleTrain(Train):
    def _forward(self, images: torch.Tensor, *rest: Any) -> Any:
        return super()._forward(images.double(), *rest)

    def _predict(self, images: torch.Tensor) -> torch.Tensor:
        return super()._predict(images.double())


def _wide(batch: Any) -> Any:
    return batch[0].double(), batch[1]


def search_epoch(
    changes: dict[str, Any], count: int = 41, *, halved: bool = False
) -> dict[str, Any]:
    """An epoch of a search; `halved`: one process whose batch norms see what two ranks' would.

    Of 41 images the weights learn from 8, 8 and 5; of 35 from 8, 8 and 3.
    """
    tiny = TINY | TINY_SEARCH | {"data.batch_size": 8, "weights.lr": 0.01}
    config = configs.override(configs.SearchConfig(), tiny | changes)
    search = _DoubleSearch(config, images(count), CPU)
    search.supernet.double()
    if halved:
        _see_in_shards(search.supernet)
    return _epoch(search) | {"alphas": _copy(search.supernet.alphas.state_dict())}


def train_epoch(changes: dict[str, Any]) -> dict[str, Any]:
    """An epoch of a training."""
    tiny = TINY | TINY_TRAIN | {"data.batch_size": 8, "weights.lr": 0.01}
    config = configs.override(configs.TrainConfig(), tiny | changes)
    train = _DoubleTrain(config, images(21), CPU)
    train.network.double()
    if train._average:
        train._average.network.double()
    return _epoch(train)


def save_in_mid_epoch(kind: str) -> list[dict[str, torch.Tensor]]:
    """The network after an epoch: undisturbed, saved in its middle, and taken up from there."""
    tiny = TINY | {"data.batch_size": 8}
    task: Callable[[], Any]
    if kind == "search":
        search = configs.override(configs.SearchConfig(), tiny | TINY_SEARCH)
        task = functools.partial(Search, search, images(41), CPU)
    else:
        changes = TINY_TRAIN | {"weights.ema": 0.9}
        train = configs.override(configs.TrainConfig(), tiny | changes)
        task = functools.partial(Train, train, images(21), CPU)
    undisturbed, saved, resumed = task(), task(), task()
    for one in (undisturbed, saved, resumed):
        one.begin_epoch(1)
    undisturbed.step(1, 1)
    saved.step(1, 1)
    if kind == "search":
        saved.measure_gap(Position(epoch=1, step=1, global_step=1, is_epoch_done=False))
    resumed.load_state(copy.deepcopy(saved.state()))
    after = []
    for one in (undisturbed, saved, resumed):
        one.step(1, 2)
        state = one.state()
        average = {f"average {name}": value for name, value in state.get("average", {}).items()}
        after.append(_copy((state.get("supernet") or state["network"]) | average))
    return after


def _epoch(task: Any) -> dict[str, Any]:
    task.begin_epoch(1)
    steps = task.steps_per_epoch
    seen = [task.step(1, step) for step in range(1, steps + 1)]
    position = Position(epoch=1, step=steps, global_step=steps, is_epoch_done=False)
    (figures,) = [
        event
        for event in task.finish_epoch(position, Timing())
        if isinstance(event, events.EpochFinished)
    ]
    names = ("train_loss", "train_top1", "valid_loss", "valid_top1", "auxiliary_loss")
    state = task.state()
    network = state.get("supernet") or state["network"]
    return {
        "images": seen,
        "network": _copy(network),
        "average": _copy(state.get("average", {})),
        "figures": [getattr(figures, name) for name in names],
    }


def _copy(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _see_in_shards(network: torch.nn.Module) -> None:
    forward = network.forward

    def shard_by_shard(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        shards = [parallel.World(rank, SIZE).shard(len(x)).mine for rank in range(SIZE)]
        if not network.training or shards[0] == slice(None):
            return forward(x, *rest)
        parts = [forward(x[mine], *rest) for mine in shards]
        order = torch.cat([torch.arange(len(x))[mine] for mine in shards]).argsort()
        return torch.cat(parts)[order]

    network.forward = shard_by_shard  # type: ignore[method-assign,assignment]


def go_back_together(folder: str) -> dict[str, Any]:
    """A whole search that goes back twice; the epochs that it began, and what it ends as."""
    rise_until_decayed()
    asked = TINY | TINY_SEARCH | {"search.method": "r-darts-ada", "search.epochs": 6}
    config = configs.override(configs.SearchConfig(), asked)
    search = Search(config, images(41), CPU)
    began: list[int] = []
    begin = search.begin_epoch
    search.begin_epoch = lambda epoch: (began.append(epoch), begin(epoch))[1]  # type: ignore[method-assign,func-returns-value]
    run, world = RunFolder(Path(folder)), parallel.world()
    speaker: session.Session | Follower = Follower(run)
    if not world.rank:
        run.checkpoints.mkdir()
        log = EventLog(run.events, run.torn_events)
        inbox = Inbox(run, log.append)
        speaker = session.Session(
            Hold(run.path), log, Signals(), inbox, keep=1, checkpoint_seconds=0
        )
    speaker.join(world)
    Loop(search, speaker, Heartbeat(run), every=5).run(Position())
    state = search.state()
    return {
        "began": began,
        "adaptation": state["adaptation"],
        "network": _copy(state["supernet"]),
        "groups": state["weight_optimizer"]["param_groups"],
    }


def settle_with_a_nan_on_rank_1() -> str:
    """What the guard says of a loss that is poisoned on one rank only."""
    guard = FiniteGuard(CPU)
    loss = torch.tensor(float("nan") if parallel.world().rank == 1 else 0.5)
    try:
        guard.check(loss, "the training loss", 2, 3)
    except NotFiniteError as error:
        return str(error)
    return ""


def wait_for_a_rank_that_hangs() -> str:
    """What rank 0 is told while rank 1 sleeps."""
    world = parallel.world()
    if world.rank:
        time.sleep(5)
        return ""
    try:
        world.sum_([torch.ones(1)])
    except parallel.RankLostError as error:
        return str(error)
    return "it answered"


class _Counter:
    """Something to save, which counts how often it is."""

    saved = 0

    def state(self) -> dict[str, Any]:
        self.saved += 1
        return {"saved": self.saved}

    def load_state(self, state: dict[str, Any]) -> None:
        self.saved = state["saved"]

    def report(self, position: Position) -> list[events.Event]:
        return []


def pause_longer_than_the_patience(folder: str) -> str:
    """A boundary at which rank 0 pauses for 5 seconds and then saves."""
    task, position = _Counter(), Position(epoch=1, step=1, global_step=1, is_epoch_done=False)
    run = RunFolder(Path(folder))
    world = parallel.world()
    if world.rank:
        follower = Follower(run)
        follower.join(world)
        follower.boundary(task, position)
        return f"went on, saved {task.saved} times"
    session.KEEP_ALIVE_S = 0.5
    run.checkpoints.mkdir()
    log = EventLog(run.events, run.torn_events)
    leader = session.Session(
        Hold(run.path), log, Signals(), Inbox(run, log.append), keep=1, checkpoint_seconds=0
    )
    leader.join(world)
    run.send(commands.Pause(id="p"))
    began = time.monotonic()
    later = threading.Timer(5, lambda: [run.send(command) for command in _SAVE_AND_GO_ON])
    later.start()
    leader.boundary(task, position)
    return f"paused for {time.monotonic() - began:.0f} s"


_SAVE_AND_GO_ON = (commands.Checkpoint(id="c"), commands.Resume(id="r"))
