"""What a protocol was asked to do and has decided, in a file of its own folder.

runs/NAME/            mode 0700; no run, so nothing that lists runs shows it
  plan.json           what was asked and decided, replaced whole
  protocol.lock       flock: one darts-tui per protocol
  protocol.log        what a detached one says
  report.md, report.json
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import BusyError, ConfigError, NotFoundError, RunError
from darts_engine.run.folder import LATEST, NAME_PATTERN, is_run, write_private
from darts_engine.run.settings import config
from darts_engine.run.settings.config import Config, TrainConfig
from darts_tui.studies.run_all import Job

MAX_PLAN_BYTES = 1_000_000
LONGEST_NAME = 50


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides a protocol.

    Attributes:
        search: settings of the searches; the seed is replaced.
        train: settings of the trainings; seed, genotype and, for the short ones, epochs and the
            validation images are replaced.
        seeds: one search each.
        short_epochs: epochs of the short trainings.
        held_out: share of the training images that the short trainings validate on.
        final_seeds: one full training of the chosen cell each.
        ranking: places of the searches, the best first; None until it is decided.
    """

    version: int = 1
    search: dict[str, Any]
    train: dict[str, Any]
    seeds: list[int]
    short_epochs: int
    held_out: float
    final_seeds: list[int]
    ranking: list[int] | None = None

    def searches(self, name: str) -> list[Job]:
        """A search for each seed."""
        asked = config.from_plain(self.search, where="plan.json")
        return [
            Job(f"{name}-search-{place}", config.override(asked, {"engine.seed": seed}))
            for place, seed in enumerate(self.seeds)
        ]

    def short(self, name: str, genotypes: list[Genotype]) -> list[Job]:
        """A short training of each cell, all with the same seed: the same images are held out."""
        changes = {
            "engine.seed": self.seeds[0],
            "train.epochs": self.short_epochs,
            "train.valid_fraction": self.held_out,
        }
        return [
            Job(f"{name}-short-{place}", self._training(genotype, changes))
            for place, genotype in enumerate(genotypes)
        ]

    def final(self, name: str, genotype: Genotype) -> list[Job]:
        """A full training of the chosen cell for each seed."""
        return [
            Job(f"{name}-final-{place}", self._training(genotype, {"engine.seed": seed}))
            for place, seed in enumerate(self.final_seeds)
        ]

    def _training(self, genotype: Genotype, changes: dict[str, Any]) -> Config:
        asked = config.from_plain(self.train, where="plan.json")
        return config.override(asked, {"network.genotype": genotype.text(), **changes})

    def dataset(self) -> str:
        """What is searched and trained on."""
        trained = config.from_plain(self.train, where="plan.json")
        assert isinstance(trained, TrainConfig)
        return trained.data.dataset


@dataclass(frozen=True)
class ProtocolFolder:
    """Paths of one protocol. Making the value touches nothing on the disk."""

    path: Path

    @property
    def name(self) -> str:
        """The protocol's name."""
        return self.path.name

    @property
    def runs(self) -> Path:
        """Where its runs are."""
        return self.path.parent

    @property
    def plan(self) -> Path:
        """What was asked and decided."""
        return self.path / "plan.json"

    @property
    def log(self) -> Path:
        """What a detached protocol says."""
        return self.path / "protocol.log"

    def report(self, suffix: str) -> Path:
        """The report as `md` or `json`."""
        return self.path / f"report.{suffix}"

    def make(self) -> None:
        """Make the folder unless it is there.

        Raises:
            RunError: the name is not allowed, a run has it, or the folder cannot be made.
        """
        if not NAME_PATTERN.match(self.name) or self.name == LATEST:
            remedy = "use a-z 0-9 . _ - with a letter or digit first; not latest"
            raise ConfigError(f"{self.name!r} cannot name a protocol", remedy=remedy)
        if len(self.name) > LONGEST_NAME:
            raise ConfigError(
                f"{self.name!r} is too long: its runs' names go out from it",
                remedy=f"use at most {LONGEST_NAME} characters",
            )
        if is_run(self.path):
            raise RunError(
                f"a run is named {self.name!r}", where=str(self.path), remedy="choose another name"
            )
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"the protocol's folder cannot be made: {error.strerror}",
                where=str(error.filename or self.path),
                remedy="choose a writable folder with --runs DIR",
            ) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one that works on the protocol.

        Raises:
            BusyError: another process does.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path / "protocol.lock", flags, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(
                    f"another 'darts-tui protocol' works on {self.name}",
                    where=str(self.path),
                    remedy="its runs are in the Runs tab of 'darts-tui attach'",
                ) from None
            yield
        finally:
            os.close(descriptor)

    def has_plan(self) -> bool:
        """Whether it was planned already."""
        return self.plan.is_file()

    def read_plan(self) -> Plan:
        """What was asked and decided.

        Raises:
            RunError: there is no plan, or it cannot be read.
        """
        try:
            with self.plan.open("rb") as file:
                text = file.read(MAX_PLAN_BYTES)
            return msgspec.json.decode(text, type=Plan)
        except FileNotFoundError:
            raise NotFoundError("there is no such protocol", where=str(self.path)) from None
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            raise RunError(
                f"the plan cannot be read: {error}",
                where=str(self.plan),
                remedy="plan it again under another --name",
            ) from None

    def write_plan(self, plan: Plan) -> None:
        """Replace the plan whole."""
        write_private(self.plan, msgspec.json.format(msgspec.json.encode(plan)))


def difference(old: Plan, new: Plan) -> str:
    """The first setting in which two plans differ, in words; empty where none does."""
    mine, other = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for key in mine:
        if key == "ranking" or mine[key] == other[key]:
            continue
        if key not in config.KINDS:
            return f"{key} is {mine[key]} there and {other[key]} here"
        for section, table in mine[key].items():
            for field, value in table.items() if isinstance(table, dict) else ():
                asked = other[key].get(section, {}).get(field)
                if asked != value:
                    return f"{key} {section}.{field} is {value!r} there and {asked!r} here"
    return ""
