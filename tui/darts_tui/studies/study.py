"""A study: several ordinary runs made from one plan, such as a protocol or a benchmark.

runs/NAME/            mode 0700; not a run, so commands that list runs leave it out
  plan.json           the settings and decisions of the study, always replaced as a whole
  protocol.lock       flock: one darts-tui per study
  protocol.log        output of a detached study
  report.md, report.json

The plan decides every run of a study, and finished runs are not repeated. So a study that was
interrupted continues when its command is run again with the same name.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from darts_engine.run import lock
from darts_engine.run.architecture.networks import RECURRENT
from darts_engine.run.errors import BusyError, ConfigError, RunError
from darts_engine.run.folder import LATEST, NAME_PATTERN, RunFolder, is_run
from darts_engine.run.new_folder import make_private
from darts_engine.run.private_files import PrivateFolder, open_lock, read_private
from darts_engine.run.settings import config
from darts_engine.run.settings.config import Config, TrainConfig
from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.run.state import RunState
from darts_tui.commands.start import gathered
from darts_tui.console.console import print_err, print_out
from darts_tui.runs.summary import summary
from darts_tui.studies.run_all import Job, PrintLine

MAX_PLAN_BYTES = 1_000_000
LONGEST_NAME = 50
# Epochs of a full training of the bundled digits; config files, recipes and text have their own.
TRAIN_EPOCHS = 20
# Settings about the process and the images hold for searches and trainings alike, and so do those
# of what is read of a text.
SHARED = ("engine", "data", "checkpoint", "basis")
SHARED_OF_TEXT = ("text.tokens", "text.vocabulary")
NOT_SHARED = ("data.batch_size", "data.cutout", "data.cutout_prob")

PlanType = TypeVar("PlanType", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """The options of a study's command; None or empty where an option was not given.

    Attributes:
        given: settings of the searches, by dotted key.
        config: file with the settings of the searches.
        train_config: file with the settings of the trainings.
        train_settings: settings of the trainings, as "KEY=VALUE".
        seeds: how many seeds to search with.
        search_epochs: epochs of each search.
        train_epochs: epochs of each full training.
    """

    given: dict[str, Any]
    config: Path | None = None
    train_config: Path | None = None
    train_settings: list[str] | None = None
    seeds: int | None = None
    search_epochs: int | None = None
    train_epochs: int | None = None

    def training(self, search: Config) -> TrainConfig:
        """The config of the trainings: its file, the shared options, then the training's own.

        Args:
            search: the config of the searches, which find the cells that are trained.

        Raises:
            ConfigError: a setting is unknown or not allowed.
        """
        shared = {
            key: value
            for key, value in self.given.items()
            if key in SHARED_OF_TEXT or (key.partition(".")[0] in SHARED and key not in NOT_SHARED)
        }
        if reads_text(search):
            shared["network.network"] = RECURRENT
        own = pairs(self.train_settings or [])
        made = gathered("train", self.train_config, shared | own)
        assert isinstance(made, TrainConfig)
        return made


def pairs(texts: list[str]) -> dict[str, Any]:
    """Settings written as KEY=VALUE; a value that is not TOML is taken as text.

    Raises:
        ConfigError: a text has no equals sign or no section.
    """
    out: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or "." not in key:
            raise ConfigError(
                f"{text[:60]!r} is no setting",
                where="--train",
                remedy="write SECTION.FIELD=VALUE, as in --train network.channels=20",
            )
        try:
            out[key.strip()] = msgspec.toml.decode(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            out[key.strip()] = value.strip()
    return out


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study. Constructing the value touches nothing on the disk."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def runs(self) -> Path:
        """The folder of its runs."""
        return self.path.parent

    @property
    def plan(self) -> Path:
        """The file of its settings and decisions."""
        return self.path / "plan.json"

    @property
    def log(self) -> Path:
        """The output of a detached study."""
        return self.path / "protocol.log"

    def report(self, suffix: str) -> Path:
        """The report's file, `md` or `json`."""
        return self.path / f"report.{suffix}"

    def state(self, job: Job) -> RunState:
        """The state of a job's run, without its curves, alphas and measurements."""
        return summary(RunFolder(self.runs / job.name))

    def make(self) -> None:
        """Make the folder unless it exists.

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
            make_private(self.path)
        except OSError as error:
            raise RunError(
                f"the protocol's folder cannot be made: {error.strerror}",
                where=str(error.filename or self.path),
                remedy="choose a writable folder with --runs DIR",
            ) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the study.

        Raises:
            BusyError: another process holds it.
            LockError: the file system has no locks, or they fail.
            RunError: the lock cannot be opened.
        """
        path = self.path / "protocol.lock"
        try:
            descriptor = open_lock(path)
        except OSError as error:
            raise RunError(
                f"the study's folder cannot be written: {error.strerror}",
                where=str(error.filename or path),
                remedy="choose a writable folder with --runs DIR",
            ) from None
        try:
            if not lock.take(descriptor, path, patience_s=0.0):
                raise BusyError(
                    f"another 'darts-tui protocol' works on {self.name}",
                    where=str(self.path),
                    remedy="its runs are in the Runs tab of 'darts-tui attach'",
                )
            yield
        finally:
            os.close(descriptor)

    def has_plan(self) -> bool:
        """Whether the study was planned already."""
        return os.path.lexists(self.plan)

    def read_plan(self, kind: type[PlanType]) -> PlanType:
        """The study's settings and decisions, as a plan of the type `kind`.

        Raises:
            RunError: the plan cannot be read.
            UnsafeFileError: it is no plain file of this user.
        """
        try:
            return msgspec.json.decode(read_private(self.plan, MAX_PLAN_BYTES), type=kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RunError(
                f"the plan cannot be read: {error}",
                where=str(self.plan),
                remedy="plan it again under another --name",
            ) from None

    def write_plan(self, plan: msgspec.Struct) -> None:
        """Replace the plan as a whole."""
        write_json(self.plan, plan)

    def write_report(self, report: dict[str, Any], markdown: str) -> None:
        """Write report.json and report.md."""
        write_json(self.report("json"), report)
        with PrivateFolder.open(self.path) as folder:
            folder.replace(self.report("md").name, markdown.encode())


def write_json(file: Path, value: Any) -> None:
    """Write a value as indented JSON, replacing the file as a whole."""
    with PrivateFolder.open(file.parent) as folder:
        folder.replace(file.name, msgspec.json.format(msgspec.json.encode(value)))


def settle(
    folder: StudyFolder,
    kind: type[PlanType],
    make: Callable[[], PlanType],
    *,
    has_settings: bool,
    objection: Callable[[PlanType, PlanType], str],
) -> PlanType:
    """The plan that the folder has, or else a new one, which is written to it.

    Args:
        folder: of the study.
        kind: type of the plan.
        make: makes a plan from the command's options.
        has_settings: whether the command has options that the folder's plan must agree with.
        objection: why a new plan does not agree with the old one, given (old, new); empty where it
            does.

    Raises:
        ConfigError: an option is not allowed, or the study was planned with other settings.
        RunError: the plan cannot be read.
    """
    if not folder.has_plan():
        plan = make()
        folder.write_plan(plan)
        return plan
    plan = folder.read_plan(kind)
    if has_settings and (reason := objection(plan, make())):
        raise ConfigError(
            f"{folder.name} {reason}",
            where=str(folder.plan),
            remedy="give the same settings or only its --name, or choose another --name",
        )
    return plan


def planned(settings: dict[str, Any], changes: dict[str, Any]) -> Config:
    """The config that a plan has as `settings`, with `changes` by dotted key."""
    whole = config.completed(settings)
    return config.override(config.from_plain(whole, where="plan.json"), changes)


def seeds_from(first: int, count: int) -> list[int]:
    """`count` seeds in a row."""
    return list(range(first, first + count))


def progress_lines(*, as_json: bool) -> PrintLine:
    """Prints lines about a study's progress: on stderr where stdout is for the JSON report."""
    return print_err if as_json else _print_at_once


def _print_at_once(text: str) -> None:
    print_out(text)
    # Lines also reach a pipe or a file as they come.
    sys.stdout.flush()
