"""The plan of a protocol: the settings of its runs, and the ranking of the cells it found."""

from dataclasses import dataclass, fields
from typing import Any

import msgspec

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.architecture.networks import OF_GENOTYPES
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import config
from darts_engine.run.settings.config import TrainConfig
from darts_engine.run.settings.search_on_text import reads_text
from darts_tui.commands.start import gathered
from darts_tui.studies.run_all import Job
from darts_tui.studies.study import TRAIN_EPOCHS, StudyRequest, planned, seeds_from

SEEDS, FINAL_SEEDS = 4, 3
# With these the bundled digits take a quarter of an hour on two cores; config files and recipes
# have their own.
SEARCH_EPOCHS = 12
# 100 of 600 epochs in the paper.
SHORT_SHARE, FEWEST_SHORT_EPOCHS = 6, 5
HELD_OUT = 0.2


@dataclass(frozen=True, kw_only=True)
class ProtocolRequest(StudyRequest):
    """The options of `darts-tui protocol`; None or empty where an option was not given.

    Attributes:
        final_seeds: how many full trainings of the chosen cell.
        short_epochs: epochs of the short trainings.
        held_out: share of the training images that the short trainings validate on.
    """

    final_seeds: int | None = None
    short_epochs: int | None = None
    held_out: float | None = None

    def has_settings(self) -> bool:
        """Whether any option was given that a plan is made of."""
        return any(getattr(self, field.name) for field in fields(self))


class ProtocolPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides a protocol.

    Attributes:
        search: settings of the searches; the seed is replaced.
        train: settings of the trainings; seed, genotype and, for the short ones, epochs and the
            validation images are replaced.
        seeds: one search each.
        short_epochs: epochs of the short trainings.
        held_out: share of the training images that the short trainings validate on; 0 on text,
            which has a part for that.
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
        """One search for each seed."""
        return [
            Job(f"{name}-search-{place}", planned(self.search, {"engine.seed": seed}))
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
            Job(
                f"{name}-short-{place}",
                planned(self.train, {"network.genotype": genotype.text(), **changes}),
            )
            for place, genotype in enumerate(genotypes)
        ]

    def final(self, name: str, genotype: Genotype) -> list[Job]:
        """A full training of the chosen cell for each seed."""
        text = genotype.text()
        return [
            Job(
                f"{name}-final-{place}",
                planned(self.train, {"network.genotype": text, "engine.seed": seed}),
            )
            for place, seed in enumerate(self.final_seeds)
        ]

    def training(self) -> TrainConfig:
        """The settings that the trainings share."""
        trained = planned(self.train, {})
        assert isinstance(trained, TrainConfig)
        return trained

    def dataset(self) -> str:
        """The data set of the searches and trainings."""
        return self.training().data.dataset

    @property
    def is_text(self) -> bool:
        """Whether the networks read text, and have perplexities in place of accuracies."""
        return reads_text(self.training())


def make_plan(request: ProtocolRequest) -> ProtocolPlan:
    """The plan of a new protocol.

    Raises:
        ConfigError: a setting is unknown or not allowed.
    """
    search = gathered("search", request.config, request.given)
    train, on_text = request.training(search), reads_text(search)
    if train.network.network not in OF_GENOTYPES:
        raise ConfigError(
            f"a protocol trains the cells it finds, not {train.network.network}",
            remedy="leave out network.network",
        )
    if on_text and request.held_out:
        raise ConfigError(
            "short trainings on text hold nothing out: a text has a part for the validation",
            where="--held-out",
            remedy="leave it out",
        )
    has_own = bool(request.given.get("basis.recipe")) or on_text
    search_epochs = request.search_epochs or (
        search.epochs if request.config or has_own else SEARCH_EPOCHS
    )
    train_epochs = request.train_epochs or (
        train.epochs if request.train_config or has_own else TRAIN_EPOCHS
    )
    first = search.engine.seed
    return ProtocolPlan(
        search=config.to_plain(config.override(search, {"search.epochs": search_epochs})),
        train=config.to_plain(config.override(train, {"train.epochs": train_epochs})),
        seeds=seeds_from(first, request.seeds or SEEDS),
        short_epochs=request.short_epochs
        or min(train_epochs, max(FEWEST_SHORT_EPOCHS, train_epochs // SHORT_SHARE)),
        held_out=0.0 if on_text else request.held_out or HELD_OUT,
        final_seeds=seeds_from(first, request.final_seeds or FINAL_SEEDS),
    )


def objection(old: ProtocolPlan, new: ProtocolPlan) -> str:
    """Why the settings of a new plan are refused; empty where they agree with the old one."""
    found = difference(old, new)
    return f"was planned with other settings: {found}" if found else ""


def difference(old: ProtocolPlan, new: ProtocolPlan) -> str:
    """The first setting in which two plans differ, as a phrase; empty where none does."""
    there, here = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for key in there:
        if key == "ranking" or there[key] == here[key]:
            continue
        if key not in config.KINDS:
            return f"{key} is {there[key]} there and {here[key]} here"
        for section, table in there[key].items():
            for field, value in table.items() if isinstance(table, dict) else ():
                other = here[key].get(section, {}).get(field)
                if other != value:
                    return f"{key} {section}.{field} is {value!r} there and {other!r} here"
    return ""
