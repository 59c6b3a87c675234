"""A whole protocol with real engines, killed in the middle and taken up again."""

import contextlib
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from engine_kit import state_of, until
from house_kit import DARTS, TINY, events_of

from darts_engine.run import events
from darts_engine.run.errors import NotFoundError

ASKED = (
    *("protocol", "--name", "p", "--seeds", 2, "--final-seeds", 2, "--search-epochs", 3),
    *("--short-epochs", 1, "--train-epochs", 2, "--batch-size", 16, "--dataset", "npz:some.npz"),
    *("--train", "network.channels=2", "--train", "network.layers=3"),
    *("--train", "data.batch_size=32"),
)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_protocol_that_was_killed_goes_on_and_finishes(house):
    labels = np.arange(200) % 4
    draws = np.random.default_rng(0).integers(0, 100, (200, 8, 8)) + 30 * labels[:, None, None]
    np.savez(house.home / "some.npz", images=draws.astype(np.uint8), labels=labels)
    command = [*DARTS, *map(str, (*ASKED, *TINY))]
    killed = subprocess.Popen(
        command, env=house.environment, cwd=house.home, stdout=subprocess.DEVNULL
    )

    def second_search_goes():
        with contextlib.suppress(NotFoundError):
            return state_of(house.run("p-search-1")).global_step > 2
        return False

    until(second_search_goes, 100)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    os.kill(house.run("p-search-1").read_engine().pid, signal.SIGKILL)
    before = house.run("p-search-0").events.read_bytes()

    let_go = house.cli("protocol", "--name", "p", "--parallel", 2, "--detach")
    assert (let_go.returncode, let_go.stdout) == (0, b"p\n")
    until((house.runs / "p" / "report.json").exists, 150)
    said = house.cli("protocol", "--name", "p", "--json")
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert house.run("p-search-0").events.read_bytes() == before
    assert len(events_of(house.run("p-search-1"), events.RunStarted)) == 2
    short, final = (events_of(house.run(f"p-{kind}-0"), events.RunStarted)[0].images
                    for kind in ("short", "final"))  # fmt: skip
    assert short == {"train": 128, "valid": 32}
    assert final == {"train": 160, "test": 40}
    scores = [one["test_top1"] for one in report["trainings"]]
    assert report["test_top1_mean"] == pytest.approx(sum(scores) / 2)
    ranked = sorted(report["cells"], key=lambda cell: cell["rank"])
    assert ranked[0]["valid_top1"] >= ranked[1]["valid_top1"]
    assert report["genotype"] == ranked[0]["genotype"]
    assert "## Trainings" in (house.runs / "p" / "report.md").read_text()
    listed = json.loads(house.cli("runs", "--json").stdout)
    assert sorted(run["name"] for run in listed) == sorted(
        f"p-{kind}-{place}" for kind in ("search", "short", "final") for place in (0, 1)
    )
