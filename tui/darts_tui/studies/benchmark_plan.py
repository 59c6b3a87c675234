"""The plan of a benchmark: the settings of each method's searches and of the trainings."""

from dataclasses import dataclass
from typing import Any

import msgspec

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import config
from darts_engine.run.settings.presets import PRESETS, preset
from darts_engine.run.settings.search_on_text import reads_text
from darts_tui.commands.start import gathered
from darts_tui.studies.run_all import Job
from darts_tui.studies.study import TRAIN_EPOCHS, StudyRequest, planned, seeds_from

SEEDS = 3
# How often a search measures the discretisation gap, unless the settings say.
GAPS = 5
# Epochs between eigenvalues, as in R-DARTS's scripts, unless the settings or the method say.
EIGENVALUES = 2
# This method has a meaning in every space: a setting it is refused with is wrong for all.
BASE = "darts"


@dataclass(frozen=True, kw_only=True)
class BenchmarkRequest(StudyRequest):
    """The options of `darts-tui benchmark`; None or empty where an option was not given.

    Attributes:
        methods: names of the methods to compare.
        train: whether to train the derived networks.
    """

    methods: list[str]
    train: bool = True


class BenchmarkPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides a benchmark.

    Attributes:
        searches: settings of each method's searches, in order; the seed is replaced.
        train: settings of the trainings; seed and genotype are replaced. None: no trainings.
        seeds: one search, and one training of the derived network, each.
    """

    version: int = 1
    searches: dict[str, dict[str, Any]]
    train: dict[str, Any] | None
    seeds: list[int]

    def search_jobs(self, name: str) -> dict[str, list[Job]]:
        """The searches of each method, one for each seed."""
        return {
            method: [
                Job(f"{name}-{method}-{place}", planned(settings, {"engine.seed": seed}))
                for place, seed in enumerate(self.seeds)
            ]
            for method, settings in self.searches.items()
        }

    def training(self, search: Job, genotype: Genotype) -> Job:
        """The training of the network that a search derived."""
        assert self.train is not None
        changes = {
            "engine.seed": search.config.engine.seed,
            "network.genotype": genotype.text(),
        }
        return Job(f"{search.name}-train", planned(self.train, changes))


def method_names(names: list[str]) -> list[str]:
    """Names of methods; `all` stands for every one."""
    return list(PRESETS) if names == ["all"] else names


def make_plan(request: BenchmarkRequest) -> BenchmarkPlan:
    """The plan of a new benchmark.

    Raises:
        ConfigError: no method was named, or a setting is unknown or not allowed.
        NotFoundError: there is no such method.
    """
    if not request.methods:
        raise ConfigError(
            "a benchmark needs methods", remedy="as in --methods darts,pc-darts,ms-darts"
        )
    searches = {}
    has_all = request.methods == list(PRESETS)
    for method in dict.fromkeys(request.methods):
        preset(method)
        try:
            searches[method] = _search(request, method)
        except ConfigError:
            # Not every method has a meaning in every space.
            if not has_all or method == BASE:
                raise
    first = next(iter(searches.values()))["engine"]["seed"]
    return BenchmarkPlan(
        searches=searches,
        train=_train(request, searches) if request.train else None,
        seeds=seeds_from(first, request.seeds or SEEDS),
    )


def _search(request: BenchmarkRequest, method: str) -> dict[str, Any]:
    given = request.given | {"search.method": method}
    if request.search_epochs:
        given["search.epochs"] = request.search_epochs
    epochs = gathered("search", request.config, given).epochs
    measured = {"method.hessian_every": EIGENVALUES, "search.gap_every": max(1, epochs // GAPS)}
    measured |= {key: value for key, value in preset(method).settings.items() if key in measured}
    return config.to_plain(gathered("search", request.config, measured | given))


def _train(request: BenchmarkRequest, searches: dict[str, dict[str, Any]]) -> dict[str, Any]:
    search = planned(next(iter(searches.values())), {})
    train = request.training(search)
    has_own = request.train_config or reads_text(search)
    epochs = request.train_epochs or (train.epochs if has_own else TRAIN_EPOCHS)
    return config.to_plain(config.override(train, {"train.epochs": epochs}))


def objection(old: BenchmarkPlan, new: BenchmarkPlan) -> str:
    """Why the settings of a new plan are refused; empty where they agree with the old one."""
    return "" if old == new else "was planned with other settings"
