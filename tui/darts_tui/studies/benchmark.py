"""`darts-tui benchmark`: methods side by side, on the same space, data and seeds.

Every method searches with every seed, and each derived network is trained from scratch with the
seed of its search. All are ordinary runs, so a benchmark that was ended anywhere goes on by being
started again; what it found so far is in runs/NAME/report.md, .json, and the pictures beside it.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import ConfigError, ExitCode, RunError
from darts_engine.run.folder import RunFolder, write_private
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import Config
from darts_engine.run.settings.methods import PRESETS, preset
from darts_tui.commands.start import gathered
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.summary import summary
from darts_tui.studies import benchmark_report, run_all
from darts_tui.studies.protocol import NOT_SHARED, SHARED, TRAIN_EPOCHS, pairs
from darts_tui.studies.protocol_plan import MAX_PLAN_BYTES, ProtocolFolder
from darts_tui.studies.run_all import Job

SEEDS = 3
# How often the discretisation gap is measured over a search, unless it is said.
GAPS = 5
# Epochs between eigenvalues, as in R-DARTS's scripts, unless it is said or the method's own.
EIGENVALUES = 2
# Has a meaning in every space: what it is refused for, every method is.
BASE = "darts"


class Request(NamedTuple):
    """What the command line asked for; None or empty where it did not say."""

    given: dict[str, Any]
    methods: list[str]
    config: Path | None = None
    train_config: Path | None = None
    train_settings: list[str] | None = None
    seeds: int | None = None
    search_epochs: int | None = None
    train_epochs: int | None = None
    train: bool = True


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides a benchmark.

    Attributes:
        searches: settings of each method's searches, in order; the seed is replaced.
        train: settings of the trainings; seed and genotype are replaced. None: no trainings.
        seeds: one search, and one training of what it derives, each.
    """

    version: int = 1
    searches: dict[str, dict[str, Any]]
    train: dict[str, Any] | None
    seeds: list[int]

    def search_jobs(self, name: str) -> dict[str, list[Job]]:
        """Each method's searches, a seed each."""
        return {
            method: [
                Job(
                    f"{name}-{method}-{place}",
                    configs.override(
                        configs.from_plain(asked, where="plan.json"), {"engine.seed": seed}
                    ),
                )
                for place, seed in enumerate(self.seeds)
            ]
            for method, asked in self.searches.items()
        }

    def training(self, search: Job, genotype: Genotype) -> Job:
        """The training of what a search derived."""
        assert self.train is not None
        changes = {
            "engine.seed": search.config.engine.seed,
            "network.genotype": genotype.text(),
        }
        asked: Config = configs.from_plain(self.train, where="plan.json")
        return Job(f"{search.name}-train", configs.override(asked, changes))


def run(runs: Path, name: str, request: Request, parallel: int, *, as_json: bool) -> int:
    """Carry a benchmark out, or on from where it is, and report.

    Raises:
        BusyError: another process works on it.
        ConfigError: a setting that cannot be, or others than it was planned with.
        RunError: one of its runs failed or was stopped.
    """
    folder = ProtocolFolder(runs / name)
    folder.make()
    out = print_err if as_json else _say_now
    try:
        with folder.held():
            plan = _settle(folder, request)
            report = _carry_out(folder, plan, parallel, out)
    except run_all.Interrupted as interrupted:
        print_err(
            f"'darts-tui benchmark --name {folder.name}' goes on; finished runs are not repeated"
        )
        return interrupted.code
    if as_json:
        print_json(report)
    else:
        print(benchmark_report.table(report))
        print_out(folder.report("md"))
    return ExitCode.OK


def _say_now(text: str) -> None:
    print_out(text)
    # Into a pipe or a file too, lines come as they happen.
    sys.stdout.flush()


def _settle(folder: ProtocolFolder, request: Request) -> Plan:
    """The plan that is there, or a new one; asking for other settings is refused."""
    if not folder.has_plan():
        if not request.methods:
            raise ConfigError(
                "a benchmark needs methods", remedy="as in --methods darts,pc-darts,ms-darts"
            )
        plan = _plan(request)
        write_private(folder.plan, msgspec.json.format(msgspec.json.encode(plan)))
        return plan
    plan = _read(folder)
    if request.methods and _plan(request) != plan:
        raise ConfigError(
            f"{folder.name} was planned with other settings",
            where=str(folder.plan),
            remedy="give the same settings or only its --name, or choose another --name",
        )
    return plan


def _read(folder: ProtocolFolder) -> Plan:
    try:
        with folder.plan.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_PLAN_BYTES), type=Plan)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise RunError(
            f"the plan cannot be read: {error}",
            where=str(folder.plan),
            remedy="plan it again under another --name",
        ) from None


def _plan(request: Request) -> Plan:
    searches = {}
    wants_all = request.methods == list(PRESETS)
    for method in dict.fromkeys(request.methods):
        preset(method)
        try:
            searches[method] = _search(request, method)
        except ConfigError:
            # Not every method has a meaning in every space.
            if not wants_all or method == BASE:
                raise
    first = next(iter(searches.values()))["engine"]["seed"]
    return Plan(
        searches=searches,
        train=_train(request) if request.train else None,
        seeds=[first + place for place in range(request.seeds or SEEDS)],
    )


def _search(request: Request, method: str) -> dict[str, Any]:
    given = request.given | {"search.method": method}
    if request.search_epochs:
        given["search.epochs"] = request.search_epochs
    epochs = gathered("search", request.config, given).epochs
    watched = {"method.hessian_every": EIGENVALUES, "search.gap_every": max(1, epochs // GAPS)}
    watched |= {key: value for key, value in preset(method).settings.items() if key in watched}
    return configs.to_plain(gathered("search", request.config, watched | given))


def _train(request: Request) -> dict[str, Any]:
    shared = {
        key: value
        for key, value in request.given.items()
        if key.partition(".")[0] in SHARED and key not in NOT_SHARED
    }
    asked = gathered("train", request.train_config, shared | pairs(request.train_settings or []))
    epochs = request.train_epochs or (asked.epochs if request.train_config else TRAIN_EPOCHS)
    return configs.to_plain(configs.override(asked, {"train.epochs": epochs}))


def _carry_out(
    folder: ProtocolFolder, plan: Plan, parallel: int, out: run_all.Say
) -> dict[str, Any]:
    """Seed after seed, so that all methods can be compared as soon as one seed is through."""
    searches = plan.search_jobs(folder.name)
    count = sum(map(len, searches.values()))
    out(f"benchmark {folder.name}: {count} searches of {', '.join(searches)}")
    trainings: dict[str, Job] = {}
    report: dict[str, Any] = {}
    for place, seed in enumerate(plan.seeds):
        now = [jobs[place] for jobs in searches.values()]
        out(f"seed {seed}: {len(now)} searches")
        run_all.finish(folder.runs, now, parallel, out)
        found = _trainings(folder, plan, now, out) if plan.train else {}
        if found:
            out(f"seed {seed}: {len(found)} trainings")
            run_all.finish(folder.runs, list(found.values()), parallel, out)
        trainings |= found
        through = {method: jobs[: place + 1] for method, jobs in searches.items()}
        report = benchmark_report.gather(folder, through, trainings)
        for message in benchmark_report.write(folder, report):
            out(message)
    return report


def _trainings(
    folder: ProtocolFolder, plan: Plan, searches: list[Job], out: run_all.Say
) -> dict[str, Job]:
    """The trainings of what searches derived, by the searches' names."""
    found = {}
    for job in searches:
        genotype = summary(RunFolder(folder.runs / job.name)).final_genotype()
        if genotype is None or not all(map(genotype.edges, genotype.cells)):
            out(f"{job.name} has derived a cell without edges: there is no network to train")
            continue
        found[job.name] = plan.training(job, genotype)
    return found


def words(text: str) -> list[str]:
    """Names of methods, separated by commas; `all` stands for every one."""
    names = [word.strip() for word in text.split(",") if word.strip()]
    return list(PRESETS) if names == ["all"] else names
