"""What methods cost: the passes that are told are those that are made."""

import pytest

from darts_engine.bench import methods as bench
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.passes import Passes, of_search, of_step

TINY = bench.Scale(channels=8, layers=3, batch=4, side=0)


def config(**changes: object) -> SearchConfig:
    asked = {key.replace("__", "."): value for key, value in changes.items()}
    made = configs.override(SearchConfig(), asked)
    assert isinstance(made, SearchConfig)
    return made


@pytest.mark.parametrize("method", ["darts", "darts-2nd", "sdarts-adv", "ms-darts", "random"])
def test_the_passes_told_of_a_method_are_those_it_makes(method: str):
    search = bench.a_search(method, TINY)
    assert bench.count(search) == of_step(search.config)


def test_passes_of_a_search_know_its_warm_up():
    made = config(search__epochs=10, search__alpha_warmup=0.5)
    assert of_search(made, steps=3, epochs=10) == Passes(3 * 15, 3 * 15)
    assert of_search(made, steps=3, epochs=4) == Passes(12, 12)
    still = config(search__method="random", search__epochs=10)
    assert of_search(still, steps=3, epochs=10) == Passes(30, 30)
    exact = config(search__method="darts-2nd", search__hvp="exact")
    assert of_step(exact) == Passes(4, 5)


def test_methods_take_turns_and_are_compared_pair_by_pair():
    searches = {name: bench.a_search(name, TINY) for name in ("darts", "random")}
    seconds = bench.times(searches, rounds=2)
    assert [len(times) for times in seconds.values()] == [2, 2]
    assert bench._ratio([1.0, 6.0, 2.0], [1.0, 2.0, 1.0]) == 2.0
