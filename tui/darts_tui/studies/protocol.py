"""The papers' protocol: several searches, a short training of each cell, full ones of the best.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.2: four searches with different seeds, the cell
chosen by its validation accuracy after a short training (100 of 600 epochs), and the chosen cell
trained from scratch several times. The choice never looks at the test part: short trainings
validate on training images that are held out.

Each stage is a list of ordinary runs, made from the plan and from what the runs before have found,
so a protocol that was ended anywhere goes on by being started again.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.networks import GENOTYPE
from darts_engine.run.errors import ConfigError, ExitCode, RunError
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config
from darts_engine.run.settings.config import TrainConfig
from darts_engine.run.state import RunState
from darts_tui.commands.start import gathered
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS, RUNS_VARIABLE
from darts_tui.runs.summary import summary
from darts_tui.studies import protocol_report, run_all
from darts_tui.studies.protocol_plan import Plan, ProtocolFolder, difference
from darts_tui.studies.run_all import Job

SEEDS, FINAL_SEEDS = 4, 3
# For the bundled digits, within a quarter of an hour on two cores; files and recipes have theirs.
SEARCH_EPOCHS, TRAIN_EPOCHS = 12, 20
# 100 of 600 epochs in the paper.
SHORT_SHARE, FEWEST_SHORT_EPOCHS = 6, 5
HELD_OUT = 0.2

# Options about the process and the images are meant for searches and trainings alike.
SHARED = ("engine", "data", "checkpoint", "basis")
NOT_SHARED = ("data.batch_size", "data.cutout", "data.cutout_prob")


class Request(NamedTuple):
    """What the command line asked for; None or empty where it did not say."""

    given: dict[str, Any]
    config: Path | None = None
    train_config: Path | None = None
    train: list[str] | None = None
    seeds: int | None = None
    final_seeds: int | None = None
    search_epochs: int | None = None
    short_epochs: int | None = None
    train_epochs: int | None = None
    held_out: float | None = None


class How(NamedTuple):
    """How to go about it; nothing of this is planned."""

    parallel: int
    detach: bool
    as_json: bool


def run(runs: Path, name: str, request: Request, how: How) -> int:
    """Carry a protocol out, or on from where it is, and report.

    Raises:
        BusyError: another process works on it.
        ConfigError: a setting that cannot be, or others than it was planned with.
        RunError: one of its runs failed or was stopped.
    """
    folder = ProtocolFolder(runs / name)
    folder.make()
    # The report is all that --json leaves on stdout.
    out = print_err if how.as_json else _say_now
    try:
        with folder.held():
            plan = _settle(folder, request)
            if not how.detach:
                return _carry_out(folder, plan, how, out)
    except run_all.Interrupted as interrupted:
        print_err(_way_on(folder))
        return interrupted.code
    except RunError:
        if folder.has_plan():
            print_err(_way_on(folder))
        raise
    except OSError as error:
        raise RunError(
            f"the protocol's folder cannot be written: {error.strerror}",
            where=str(error.filename or folder.path),
            remedy=_way_on(folder),
        ) from None
    _detach(folder, how)
    print_out(folder.name)
    return ExitCode.OK


def _say_now(text: str) -> None:
    print_out(text)
    # Into a pipe or a file too, lines come as they happen.
    sys.stdout.flush()


def _settle(folder: ProtocolFolder, request: Request) -> Plan:
    """The plan that is there, or a new one; asking for other settings is refused."""
    asked = any(part for part in request)
    if not folder.has_plan():
        plan = _plan(request)
        folder.write_plan(plan)
        return plan
    plan = folder.read_plan()
    if asked and (said := difference(plan, _plan(request))):
        raise ConfigError(
            f"{folder.name} was planned with other settings: {said}",
            where=str(folder.plan),
            remedy="give the same settings or only its --name, or choose another --name",
        )
    return plan


def _plan(request: Request) -> Plan:
    shared = {
        key: value
        for key, value in request.given.items()
        if key.partition(".")[0] in SHARED and key not in NOT_SHARED
    }
    search = gathered("search", request.config, request.given)
    train = gathered("train", request.train_config, shared | pairs(request.train or []))
    assert isinstance(train, TrainConfig)
    if train.network.network != GENOTYPE:
        raise ConfigError(
            f"a protocol trains the cells it finds, not {train.network.network}",
            remedy="leave out network.network",
        )
    has_recipe = bool(request.given.get("basis.recipe"))
    search_epochs = request.search_epochs or (
        search.epochs if request.config or has_recipe else SEARCH_EPOCHS
    )
    train_epochs = request.train_epochs or (
        train.epochs if request.train_config or has_recipe else TRAIN_EPOCHS
    )
    first = search.engine.seed
    return Plan(
        search=config.to_plain(config.override(search, {"search.epochs": search_epochs})),
        train=config.to_plain(config.override(train, {"train.epochs": train_epochs})),
        seeds=[first + place for place in range(request.seeds or SEEDS)],
        short_epochs=request.short_epochs
        or min(train_epochs, max(FEWEST_SHORT_EPOCHS, train_epochs // SHORT_SHARE)),
        held_out=request.held_out or HELD_OUT,
        final_seeds=[first + place for place in range(request.final_seeds or FINAL_SEEDS)],
    )


def pairs(texts: list[str]) -> dict[str, Any]:
    """Settings of `--train KEY=VALUE`; a value that is no TOML is taken as text."""
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


def _carry_out(folder: ProtocolFolder, plan: Plan, how: How, out: run_all.Say) -> int:
    total = 2 * len(plan.seeds) + len(plan.final_seeds)
    out(f"protocol {folder.name}: {total} runs in {os.path.relpath(folder.runs)}")
    searches = plan.searches(folder.name)
    out(f"{len(searches)} searches of {searches[0].config.epochs} epochs")
    run_all.finish(folder.runs, searches, how.parallel, out)
    cells = [_genotype(folder, job) for job in searches]

    shorts = plan.short(folder.name, cells)
    out(
        f"{len(shorts)} short trainings of {plan.short_epochs} epochs; {plan.held_out:.0%} of the "
        "training images are held out to choose by"
    )
    run_all.finish(folder.runs, shorts, how.parallel, out)
    if plan.ranking is None:
        plan = msgspec.structs.replace(plan, ranking=ranking(folder, shorts))
        folder.write_plan(plan)
    assert plan.ranking is not None
    best = plan.ranking[0]

    finals = plan.final(folder.name, cells[best])
    out(
        f"chosen: {searches[best].name}; "
        f"{len(finals)} full trainings of {finals[0].config.epochs} epochs"
    )
    run_all.finish(folder.runs, finals, how.parallel, out)
    report = protocol_report.gather(folder, plan, searches, shorts, finals)
    protocol_report.write(folder, report)
    if how.as_json:
        print_json(report)
    else:
        protocol_report.tell_outcome(folder, report, out)
    return ExitCode.OK


def ranking(folder: ProtocolFolder, shorts: list[Job]) -> list[int]:
    """Places of the short trainings by the last epoch's validation accuracy, the best first.

    The last epoch and not the best one: taking a maximum over epochs would favour luck. Of equally
    accurate cells the one with the lower loss comes first, then the earlier one.
    """
    keys = []
    for place, job in enumerate(shorts):
        last = _state(folder, job).epochs[-1]
        top1 = -1.0 if last.valid_top1 is None else last.valid_top1
        keys.append((-top1, float("inf") if last.valid_loss is None else last.valid_loss, place))
    return [place for _, _, place in sorted(keys)]


def _state(folder: ProtocolFolder, job: Job) -> RunState:
    return summary(RunFolder(folder.runs / job.name))


def _genotype(folder: ProtocolFolder, job: Job) -> Genotype:
    found = _state(folder, job).final_genotype()
    if found is None:
        raise RunError(f"{job.name} is finished and has no genotype", where=str(folder.path))
    return found


def _command(folder: ProtocolFolder) -> list[str]:
    return ["protocol", "--name", folder.name, "--runs", str(folder.runs.absolute())]


def _way_on(folder: ProtocolFolder) -> str:
    here = Path(os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS).resolve() == folder.runs.resolve()
    words = _command(folder)[: 3 if here else None]
    return f"go on with '{shlex.join(['darts-tui', *words])}'; finished runs are not repeated"


def _detach(folder: ProtocolFolder, how: How) -> None:
    """Go on in a process of its own session, which no terminal's end reaches."""
    command = [sys.executable, "-P", "-m", "darts_tui", *_command(folder)]
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(folder.log, flags, 0o600)
    try:
        subprocess.Popen(
            [*command, "--parallel", str(how.parallel)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


__all__ = ["How", "Request", "ranking", "run"]
