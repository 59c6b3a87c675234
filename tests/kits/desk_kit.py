"""A session of a counting run, without a process around it."""

from pathlib import Path
from typing import Any

import torch
from engine_kit import events_in

from darts_engine.run import commands
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import EventLog
from darts_engine.runner import checkpoint
from darts_engine.runner.hold import Hold
from darts_engine.runner.inbox import Inbox, Signals
from darts_engine.runner.position import Position
from darts_engine.runner.session import Session


class Counter:
    """The smallest task: one number."""

    def __init__(self) -> None:
        self.number = torch.zeros(1)

    def state(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state(self, state: dict[str, Any]) -> None:
        self.number.copy_(state["number"])


class Desk:
    """A session of a counting run, without a process around it."""

    def __init__(self, path: Path, *, seconds: float = 0.0, is_strict: bool = False) -> None:
        self.run, self.task, self.signals = RunFolder(path), Counter(), Signals()
        self.run.checkpoints.mkdir(parents=True, exist_ok=True)
        self.hold = Hold(path)
        self.log = EventLog(self.run.events, self.run.torn_events, within=self.hold.opened)
        inbox = Inbox(self.hold.folder, self.log.append)
        self.session = Session(
            self.hold,
            self.log,
            self.signals,
            inbox,
            keep=2,
            checkpoint_seconds=seconds,
            is_strict=is_strict,
        )
        run = self.hold.enter(self.log.last_seq).id
        self.session.origin = checkpoint.Origin({"kind": "count"}, run=run)

    def leave(self) -> None:
        self.log.close()
        self.hold.close()

    def step(self, number: int, *, is_epoch_done: bool = False) -> None:
        self.task.number += 1
        position = Position(epoch=1, step=number, global_step=number, is_epoch_done=is_epoch_done)
        self.session.boundary(self.task, position)

    def save(self, number: int, reason: str = "epoch") -> None:
        self.task.number.fill_(number)
        position = Position(epoch=number, step=1, global_step=number)
        self.session.save(self.task, position, reason=reason)

    def command(self, *commands: commands.Command) -> None:
        for command in commands:
            self.run.send(command)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in events_in(self.run)]
