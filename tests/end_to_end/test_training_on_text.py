"""From a file of text to its continuation, by the command line alone and with real engines."""

import json

import pytest
from engine_kit import state_of
from house_kit import events_of
from text_kit import WORDS, text

from darts_engine.run import events

SMALL = ("--threads", 1, "--device", "cpu", "--progress", "plain")
TINY = (*SMALL, "--width", 8, "--batch-size", 4, "--eval-batch", 2)
SHORT = ("--search-epochs", 1, "--train-epochs", 1, "--width", 8)


@pytest.fixture
def file(house):
    """A file of text, which is split by lines."""
    path = house.home / "rhyme.txt"
    path.write_text(text(120, 1))
    return path


@pytest.mark.slow
def test_a_cell_is_trained_evaluated_and_goes_on_with_a_text(house, file):
    said = house.cli(
        *("train", "--name", "one", "--genotype", "RNN_DARTS_V2", "--dataset", f"text:{file}"),
        *("--epochs", 2, *TINY),
    )
    assert said.returncode == 0, said.stderr
    run = house.run("one")
    (started,) = events_of(run, events.RunStarted)
    assert (started.unit, started.vocabulary, started.kind) == ("tokens", len(WORDS), "train")
    assert started.images.keys() == {"train", "valid", "test"}
    state = state_of(run)
    assert (state.phase, len(state.epochs)) == ("finished", 2)
    last = state.epochs[-1]
    assert last.valid_perplexity is not None
    assert last.valid_top1 is last.images_per_s is None
    (finished,) = events_of(run, events.RunFinished)
    assert finished.valid_perplexity == last.valid_perplexity
    assert finished.text.startswith("Genotype(recurrent=")

    found = json.loads(house.cli("evaluate", "one", "--json").stdout)
    assert found["part"] == "test"
    assert 1 < found["perplexity"] < 20
    go_on = house.cli("predict", "one", "--prompt", "the cat", "--length", 4)
    assert go_on.returncode == 0, go_on.stderr
    assert go_on.stdout.startswith(b"the cat ")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_protocol_on_text_ends_with_a_test_perplexity(house, file):
    said = house.cli(
        *("protocol", "--name", "p", "--space", "recurrent", "--dataset", f"text:{file}"),
        *("--seeds", 1, "--final-seeds", 1, "--short-epochs", 1, "--batch-size", 8, "--nodes", 2),
        *(*SHORT, "--train", "text.width=8", "--threads", 1, "--device", "cpu", "--json"),
    )
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert report["is_text"]
    (cell,), (training,) = report["cells"], report["trainings"]
    assert cell["genotype"].startswith("Genotype(recurrent=")
    assert 1 < cell["valid_perplexity"] < 20
    assert report["test_perplexity_mean"] == training["test_perplexity"]
    own = json.loads(house.cli("evaluate", "p-final-0", "--json").stdout)
    assert training["test_perplexity"] == own["perplexity"]
    written = (house.runs / "p" / "report.md").read_text()
    assert "Test perplexity of the chosen cell" in written
    assert "top-1" not in written


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_benchmark_on_text_compares_perplexities(house, file):
    said = house.cli(
        *("benchmark", "--name", "b", "--methods", "darts", "--space", "recurrent"),
        *("--dataset", f"text:{file}", "--seeds", 1, "--batch-size", 8, "--nodes", 2),
        *(*SHORT, "--threads", 1, "--device", "cpu", "--json"),
    )
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    (method,) = report["methods"]
    (run,) = method["runs"]
    own = json.loads(house.cli("evaluate", run["training"], "--json").stdout)
    assert run["test_perplexity"] == own["perplexity"] == method["test_perplexity"]["mean"]
