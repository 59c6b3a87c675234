"""A run folder with a made-up story in it, held by a made-up engine or by none."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fake_story import config_of, made_up_events

from darts_engine.run import events, folder
from darts_engine.run.events import AnyEvent
from darts_engine.run.folder import RunFolder


def make_run(
    runs: Path,
    name: str,
    *,
    kind: str = "search",
    epochs_done: int = 23,
    epochs: int = 50,
    steps: int = 11,
    phase: str = "running",
    seed: int = 0,
    space: str = "darts",
) -> RunFolder:
    """A run folder with a config and a log. No engine holds it: use `engine_alive` for that."""
    run = folder.create(runs, name, config_of(kind, epochs, seed, space))
    story = made_up_events(
        kind=kind,
        epochs_done=epochs_done,
        epochs=epochs,
        steps=steps,
        phase=phase,
        seed=seed,
        space=space,
    )
    write(run, story)
    return run


def write(run: RunFolder, story: Iterable[AnyEvent]) -> None:
    """Replace the run's event log by these events."""
    run.path.mkdir(parents=True, exist_ok=True)
    run.events.write_bytes(b"".join(events.encode(event) for event in story))


@contextlib.contextmanager
def engine_alive(run: RunFolder) -> Iterator[None]:
    """Hold the run as its engine would: lock, record and a fresh heartbeat."""
    descriptor = run.take_lock()
    try:
        run.write_engine()
        yield
    finally:
        os.close(descriptor)
