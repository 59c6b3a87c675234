"""Engines for tests: real processes, forked from one that has imported torch already.

Importing torch takes seconds; a fork server pays them once per test session. `python -m
darts_engine` itself is started by tests/engine/test_process.py.
"""

import contextlib
import functools
import hashlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darts_engine.run import events, folder
from darts_engine.run.architecture.text import published
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.settings import config
from darts_engine.run.settings.config import KINDS
from darts_engine.run.state import RunState, fold_all

CONTEXT = multiprocessing.get_context("forkserver")
IMPORTED = [
    "darts_engine.search.task",
    "darts_engine.training.task",
    "darts_engine.training.text_task",
    "numpy",
    "psutil",
    # What draws curves and heatmaps, see forked_programs.py.
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.figure",
]
CONTEXT.set_forkserver_preload(IMPORTED)

# Stands in for an engine, without torch.
FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")

TINY = {"engine.threads": 1, "engine.device": "cpu", "data.batch_size": 16, "engine.seed": 7}
TINY_SEARCH = {"space.channels": 2, "space.layers": 3, "space.nodes": 1, "search.epochs": 4}
TINY_TRAIN = {
    "network.channels": 2,
    "network.layers": 3,
    "network.genotype": published()["DARTS_V2"].genotype.text(),
    "train.epochs": 4,
    "data.cutout": 2,
}
# As the space S4 finds them: noise on edges of both strides.
NOISY = (
    "Genotype(normal=[('noise', 0), ('sep_conv_3x3', 1), ('noise', 2), ('sep_conv_3x3', 0)], "
    "normal_concat=[2, 3], reduce=[('noise', 0), ('sep_conv_3x3', 1), ('noise', 2), "
    "('sep_conv_3x3', 1)], reduce_concat=[2, 3])"
)


def make_run(
    runs: Path, name: str, kind: str = "search", *, images: int = 200, **changes: Any
) -> RunFolder:
    """A run of a few seconds on made-up images; `changes` are settings with `__` for the dot."""
    data = runs / f"images-{images}.npz"
    if not data.exists():
        _write_images(data, images)
    tiny = TINY | {"data.dataset": f"npz:{data}"} | (TINY_TRAIN if kind == "train" else TINY_SEARCH)
    tiny |= {key.replace("__", "."): value for key, value in changes.items()}
    return folder.create(runs, name, config.override(KINDS[kind](), tiny))


def _write_images(path: Path, count: int) -> None:
    import numpy as np

    draws = np.random.default_rng(0)
    labels = np.arange(count) % 4
    images = draws.integers(0, 100, (count, 8, 8)) + 30 * labels[:, None, None]
    np.savez(path, images=images.astype(np.uint8), labels=labels)


def _be_an_engine(path: str, prepare: Callable[[], None] | None, options: list[str]) -> None:
    output = os.open(Path(path) / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    from darts_engine.__main__ import main

    if prepare is not None:
        prepare()
    sys.exit(main([path, *options]))


def step_slowly() -> None:
    """For `prepare`: an engine to watch, which leaves the processor to those who watch it."""
    from darts_engine.search.task import Search

    step = Search.step

    def wait_and_step(self: Search, epoch: int, number: int) -> int:
        time.sleep(0.2)
        return step(self, epoch, number)

    Search.step = wait_and_step  # type: ignore[method-assign]


def hang_in_the_second_step() -> None:
    """For `prepare`: a step that never comes to its end, as in a long computation."""
    from darts_engine.search.task import Search

    step = Search.step

    def hang(self: Search, epoch: int, number: int) -> int:
        images = step(self, epoch, number)
        if number == 2:
            print("hanging", flush=True)
            while True:
                time.sleep(1)
        return images

    Search.step = hang  # type: ignore[method-assign]


def refuse_the_compiler() -> None:
    """For `prepare`: the run fails if anything imports torch's compiler."""
    for name in ("torch._dynamo", "torch._inductor", "sympy"):
        sys.modules[name] = None  # type: ignore[assignment]


def compile_for_the_eager_backend() -> None:
    """For `prepare`: what torch.compile makes of the network, without Inductor's minutes."""
    from darts_engine.compute import compiling

    compiling.compile_forward = functools.partial(  # type: ignore[assignment]
        compiling.compile_forward, backend="eager"
    )


def rise_until_decayed() -> None:
    """For `prepare`: eigenvalues that rise until the weight decay is 0.03, and a hasty rule.

    The rule goes back two epochs. At 3e-4 the eigenvalue rises in epoch 5, at 3e-3 in epoch 4: the
    search goes 1 2 3 4 5, back behind 3, 4, back behind 2, and then 3 4 5 ... to its end.
    """
    from darts_engine.methods import axes
    from darts_engine.methods.stopping.rules import EigenvalueRule
    from darts_engine.search.task import Search

    rises = {3e-4: 5, 3e-3: 4, 0.03: 3}

    def eigenvalue(self: Search, position: Any) -> float:
        (group,) = self._optimizer.param_groups
        return 2.0 if position.epoch >= rises[round(group["weight_decay"], 9)] else 1.0

    Search._eigenvalue = eigenvalue  # type: ignore[method-assign]
    axes.EigenvalueRule = functools.partial(  # type: ignore[misc,assignment]
        EigenvalueRule, window=3, delta=1, not_before=0
    )


def rise_and_die(rollback: int, moment: int) -> None:
    """For `prepare`: `rise_until_decayed`, killed around the n-th time that the search goes back.

    Moments are, from the event that tells of it on: before and after each event is written, and
    before each file is renamed into its place.
    """
    from darts_engine.run.log import EventLog

    rise_until_decayed()
    append, rename = EventLog.append, os.replace
    rollbacks = passed = 0

    def pass_a_moment() -> None:
        nonlocal passed
        if rollbacks == rollback:
            if passed == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1

    def append_or_die(self: EventLog, event: Any) -> bool:
        nonlocal rollbacks
        rollbacks += isinstance(event, events.Rewound) and bool(event.reason)
        pass_a_moment()
        written = append(self, event)
        pass_a_moment()
        return written

    def rename_or_die(source: Any, target: Any, **folders: int) -> None:
        pass_a_moment()
        rename(source, target, **folders)

    EventLog.append = append_or_die  # type: ignore[method-assign]
    os.replace = rename_or_die


class Engine:
    """An engine process; `prepare` is called in it first and must be importable by name."""

    def __init__(
        self,
        run: RunFolder,
        prepare: Callable[[], None] | None = None,
        nproc: int = 1,
        *,
        is_strict: bool = False,
    ) -> None:
        self.run = run
        options = ["--nproc", str(nproc)] if nproc > 1 else []
        options += ["--strict"] if is_strict else []
        self._process = CONTEXT.Process(
            target=_be_an_engine, args=(str(run.path), prepare, options), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.is_alive()

    def wait(self, timeout: float = 60.0) -> int:
        """The exit status, negative for a signal; fails the test when it does not come."""
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"the engine still runs; last events: {events_in(self.run)[-3:]}"
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it as the kernel does when memory is short."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
        self._process.join(30)

    def until(self, true_of: Callable[[list[AnyEvent]], object], timeout: float = 60.0) -> Any:
        """Wait until something is true of the events told so far, and return it."""
        return until(
            lambda: true_of(events_in(self.run)), timeout, lambda: events_in(self.run)[-3:]
        )


def until(
    found: Callable[[], object], timeout: float = 60.0, explain: Callable[[], object] = str
) -> Any:
    """Poll until `found` returns something true, and return it."""
    deadline = time.monotonic() + timeout
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {timeout} s in vain; {explain()}"
        time.sleep(0.01)
    return value


def events_in(run: RunFolder) -> list[AnyEvent]:
    """All whole events of a run's log."""
    return LogReader(run.events).read(1 << 30)


def state_of(run: RunFolder) -> RunState:
    """What a watcher knows of a run."""
    return fold_all(events_in(run))


def of_type(history: list[AnyEvent], kind: type[events.Event]) -> list[Any]:
    """The events of one type."""
    return [event for event in history if isinstance(event, kind)]


def epoch_figures(run: RunFolder) -> list[tuple[Any, ...]]:
    """All figures of every finished epoch that the machine's speed has no part in."""
    names = ("epoch", "global_step", "train_loss", "train_top1", "train_top5", "valid_loss")
    names += ("valid_top1", "valid_top5", "auxiliary_loss", "is_best")
    return [tuple(getattr(e, name) for name in names) for e in state_of(run).epochs]


def fingerprint(state: Any) -> str:
    """The SHA-256 of every tensor, number and string of a checkpoint's state."""
    import torch

    digest = hashlib.sha256()

    def take(value: Any, where: str) -> None:
        digest.update(where.encode())
        if isinstance(value, dict):
            for key, inner in value.items():
                take(inner, f"{where}.{key}")
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                take(inner, f"{where}.{index}")
        elif isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().tobytes())
        else:
            digest.update(repr(value).encode())

    take(state, "")
    return digest.hexdigest()


def newest_state(run: RunFolder) -> dict[str, Any]:
    """What the newest checkpoint holds."""
    from darts_engine.runner import checkpoint

    path = checkpoint.newest_first(run)[0]
    return checkpoint.load(run, checkpoint.read_manifest(path))


def outcome(run: RunFolder) -> tuple[str, str, list[tuple[Any, ...]]]:
    """All that must not depend on interruptions: final tensors, genotype, and every epoch."""
    genotype = state_of(run).final_genotype()
    # What was said last of an architecture depends on the moments at which it was looked at.
    memory = {key: part for key, part in newest_state(run).items() if key != "architecture"}
    return fingerprint(memory), genotype.text() if genotype else "", epoch_figures(run)
