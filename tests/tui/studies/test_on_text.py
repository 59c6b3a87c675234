"""Studies of recurrent cells: plans of trainings on text, and reports of perplexities."""

import pytest

from darts_engine.run.errors import ConfigError
from darts_tui.studies import benchmark_plan, protocol_plan, protocol_report

ON_TEXT = {"space.space": "recurrent", "text.tokens": "characters", "engine.seed": 9}


def test_a_protocol_on_text_trains_recurrent_networks_and_holds_nothing_out():
    plan = protocol_plan.make_plan(protocol_plan.ProtocolRequest(given=ON_TEXT, seeds=1))
    assert plan.is_text
    assert plan.held_out == 0.0
    train = plan.training()
    assert (train.network.network, train.data.dataset) == ("recurrent", "verses")
    # What is read is the same; the size and the length of a training are its own.
    assert (train.text.tokens, train.engine.seed) == ("characters", 9)
    assert train.epochs > plan.short_epochs >= 5
    with pytest.raises(ConfigError, match="hold nothing out"):
        protocol_plan.make_plan(protocol_plan.ProtocolRequest(given=ON_TEXT, held_out=0.2))


def test_a_benchmark_on_text_trains_recurrent_networks():
    request = benchmark_plan.BenchmarkRequest(given=ON_TEXT, methods=["darts"], seeds=1)
    plan = benchmark_plan.make_plan(request)
    assert plan.train is not None
    assert plan.train["network"]["network"] == "recurrent"
    assert plan.train["text"]["tokens"] == "characters"
    own = benchmark_plan.make_plan(
        benchmark_plan.BenchmarkRequest(
            given=ON_TEXT, methods=["darts"], train_settings=["text.width=32"], train_epochs=3
        )
    )
    assert own.train is not None
    assert (own.train["text"]["width"], own.train["train"]["epochs"]) == (32, 3)


def test_the_report_of_a_protocol_on_text_has_perplexities():
    cell = {
        "search": "p-search-0", "seed": 1, "genotype": "Genotype(recurrent=[...])",
        "short": "p-short-0", "valid_loss": 4.1, "valid_perplexity": 60.34, "rank": 1,
    }  # fmt: skip
    training = {
        "run": "p-final-0", "seed": 1, "valid_perplexity": 41.0, "test_loss": 3.7,
        "test_perplexity": 40.45,
    }  # fmt: skip
    report = {
        "name": "p", "dataset": "verses", "recipe": "", "search_epochs": 2, "short_epochs": 1,
        "held_out": 0.0, "train_epochs": 3, "cells": [cell], "chosen": "p-search-0",
        "genotype": cell["genotype"], "parameters": 600_000, "trainings": [training],
        "is_text": True, "test_perplexity_mean": 40.45, "test_perplexity_deviation": None,
        "seconds": 10.0,
    }  # fmt: skip
    assert protocol_report.outcome(report) == "40.45, one training"
    text = protocol_report.markdown(report)
    assert "| 1 | p-search-0 | 1 | 60.34 | 4.1000 |" in text
    assert "| p-final-0 | 1 | 40.45 | 3.7000 |" in text
    assert "Test perplexity of the chosen cell: **40.45, one training**" in text
    for word in ("top-1", "%", "held"):
        assert word not in text
