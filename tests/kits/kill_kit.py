"""Engines that are killed: at random moments, and at each system call of a save."""

import functools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine_kit import Engine, events_in, make_run, of_type, outcome, until
from text_kit import make_text_run, make_text_search

from darts_engine.run import events
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.settings.presets import PRESETS

# A training whose step has two passes, random masks, and weights of which an average is kept.
SAM = {
    "network__network": "wrn-10-1",
    "network__dropout": 0.2,
    "weights__sam_rho": 0.1,
    "weights__ema": 0.9,
    "train__label_smoothing": 0.1,
}
# A training on text, of which the last epochs have averaged weights.
TEXT = {"lines": 400, "text__word_dropout": 0.1}
TRAININGS: dict[str, dict[str, Any]] = {"train": {}, "sam": SAM, "text": TEXT}
# Searches on text: of both orders, with masks.
ON_TEXT: dict[str, dict[str, Any]] = {
    "search-on-text": {"lines": 60},
    "search-on-text-2nd": {"lines": 60, "search__order": 2, "text__redraw_masks": True},
}
# What a method needs in a supernet of two channels and a run of few epochs.
OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "pc-darts": {"space__channels": 8},
    "p-darts": {"space__nodes": 2},
    "fair-darts": {"method__threshold": 0.4},
}
SUBJECTS = [*PRESETS, *TRAININGS, *ON_TEXT]
# The calls that change what is on the disk, and those around them.
SYSTEM_CALLS = ("open", "write", "fsync", "close", "replace", "unlink", "mkdir")
# A run killed so often is left to end, or it would hardly get on.
LIVES = 8


def new_run(runs: Path, subject: str, epochs: int) -> RunFolder:
    """A run of a method or a kind of training that saves five times a second."""
    saving = {"checkpoint__checkpoint_seconds": 0.2}
    if subject in TRAININGS:
        settings = TRAININGS[subject] | saving | {"train__epochs": epochs}
        if subject == "text":
            return make_text_run(runs, subject, **settings)
        return make_run(runs, subject, "train", **settings)
    if subject in ON_TEXT:
        settings = ON_TEXT[subject] | saving | {"search__epochs": epochs}
        return make_text_search(runs, subject, **settings)
    settings = OWN_SETTINGS.get(subject, {}) | saving | {"search__epochs": epochs}
    return make_run(runs, subject, "search", search__method=subject, **settings)


def kill_somewhere(engine: Engine, stochastic: random.Random) -> None:
    """Kill at a random event, just after a checkpoint, or a random moment after either."""
    story = LogReader(engine.run.events)
    story.read()
    wanted, kind = stochastic.choice(
        [
            (stochastic.randint(1, 3), events.CheckpointSaved),
            (stochastic.randint(1, 20), events.Event),
        ]
    )
    seen = 0

    def is_time() -> bool:
        nonlocal seen
        seen += len(of_type(story.read(), kind))
        return seen >= wanted or not engine.is_alive

    until(is_time)
    moment = time.monotonic() + stochastic.choice([0.0, stochastic.uniform(0, 0.15)])
    until(lambda: time.monotonic() >= moment)
    engine.kill()


def kill_after_a_checkpoint(
    make: Callable[[Path], RunFolder],
    kills: int,
    runs: Path,
    start: Callable[[RunFolder], Engine],
    stochastic: random.Random,
) -> list[RunFolder]:
    """Kill engines of a run that has a checkpoint; a run that ended is followed by a new one.

    Returns:
        The runs, all at their end.
    """
    ended: list[RunFolder] = []
    while kills > 0:
        folder = runs / str(len(ended))
        folder.mkdir()
        run = make(folder)
        engine = start(run)
        engine.until(lambda history: of_type(history, events.CheckpointSaved))
        for _ in range(LIVES):
            if not kills:
                break
            kill_somewhere(engine, stochastic)
            if engine.wait() != -signal.SIGKILL:
                break
            kills -= 1
            engine = start(run)
        assert engine.wait() == 0
        ended.append(run)
    return ended


def die_in_a_save(number: int) -> None:
    """For `prepare`: killed at the n-th system call from its first save on.

    Before the call; half-way through it where it writes.
    """
    from darts_engine.runner import checkpoint

    save, main, left = checkpoint.save, threading.get_ident(), number
    is_saving = False

    def save_and_count(*arguments: Any, **named: Any) -> checkpoint.Saved:
        nonlocal is_saving
        is_saving = True
        return save(*arguments, **named)

    def counted(name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        nonlocal left
        if is_saving and threading.get_ident() == main:
            left -= 1
            if not left:
                if name == "write":
                    descriptor, content = arguments
                    call(descriptor, content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)

    checkpoint.save = save_and_count
    for name in SYSTEM_CALLS:
        setattr(os, name, functools.partial(counted, name, getattr(os, name)))


def nothing_saved_was_lost(run: RunFolder) -> None:
    """Every engine went on from the last checkpoint that the log has, or from a newer one."""
    saved = 0
    for event in events_in(run):
        if isinstance(event, events.CheckpointSaved):
            saved = event.global_step
        elif isinstance(event, events.Rewound) and event.reason:
            # The search went back by its own decision.
            saved = event.to_step
        elif isinstance(event, events.Rewound):
            assert event.to_step >= saved, event


def undisturbed(runs: Path, subject: str, epochs: int) -> object:
    """What a run comes to when it is left alone."""
    run = new_run(runs, subject, epochs)
    assert Engine(run).wait() == 0
    return outcome(run)
