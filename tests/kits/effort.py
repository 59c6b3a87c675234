"""How much the tests of faults try: the bounded form in the suite, all of it with `--full`.

Random choices come from one seed. It is drawn anew each time and printed in the header;
`--fault-seed N` replays it.
"""

import random
from typing import Any

import pytest

_chosen = {"full": False, "seed": 0}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="faults and fuzz: try all of it")
    group.addoption("--fault-seed", type=int, metavar="N", help="replay the choices of seed N")


def pytest_configure(config: pytest.Config) -> None:
    # Of a worker: what the process that started it has drawn.
    given = getattr(config, "workerinput", {}).get("fault_seed", config.option.fault_seed)
    seed = random.SystemRandom().randrange(10**6) if given is None else given
    config.option.fault_seed = seed
    _chosen.update(full=config.option.full, seed=seed)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of pytest-xdist the seed."""
    node.workerinput["fault_seed"] = node.config.option.fault_seed


def pytest_report_header(config: pytest.Config) -> str:
    form = "in full" if config.option.full else "bounded (--full tries all)"
    return f"faults: {form}, --fault-seed {config.option.fault_seed}"


def times(bounded: int, *, full: int) -> int:
    """How often to try: in the suite, and with `--full`."""
    return full if _chosen["full"] else bounded


def draws(purpose: object) -> random.Random:
    """Random choices of this session for one purpose; a failing test shows their seed."""
    print(f"replay with --fault-seed {_chosen['seed']}")
    return random.Random(f"{_chosen['seed']} {purpose}")
