"""darts-tui benchmark, with a stand-in for the engine: runs, figures, report, going on."""

import json
import shutil
from pathlib import Path

import pytest

from darts_engine.run.folder import RunFolder, list_runs
from darts_engine.run.settings import config
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.presets import PRESETS
from darts_engine.run.settings.search_on_text import reads_text
from darts_tui.export import pictures
from darts_tui.studies import benchmark_report
from darts_tui.studies.study import planned

ASKED = ("benchmark", "--name", "b", "--methods", "darts,gdas")


@pytest.mark.slow
def test_every_method_searches_and_trains_with_every_seed(darts, engine, runs):
    engine("finish")
    options = ("--seeds", 2, "--search-epochs", 10, "--train-epochs", 4, "--space", "s2")
    more = ("--channels", 4, "--flip", "--train-setting", "network.channels=20")
    result = darts(*ASKED, *options, *more, "--seed", 5)
    assert result.code == 0, result.err
    searches = [f"b-{method}-{seed}" for method in ("darts", "gdas") for seed in (0, 1)]
    trainings = [f"{name}-train" for name in searches]
    assert {run.name for run in list_runs(runs)} == {*searches, *trainings}
    gdas = RunFolder(runs / "b-gdas-1").read_config()
    assert (gdas.search.method, gdas.method.relaxation, gdas.engine.seed) == ("gdas", "gumbel", 6)
    assert (gdas.epochs, gdas.space.space, gdas.method.hessian_every) == (10, "s2", 2)
    assert gdas.search.gap_every == 2
    trained = RunFolder(runs / "b-gdas-1-train").read_config()
    assert (trained.epochs, trained.engine.seed, trained.data.flip) == (4, 6, True)
    assert trained.network.channels == 20

    report = json.loads((runs / "b" / "report.json").read_bytes())
    assert [one["method"] for one in report["methods"]] == ["darts", "gdas"]
    found = report["methods"][1]
    assert found["passes_per_step"] == {"forward": 2, "backward": 2}
    assert len(found["runs"]) == 2
    assert found["test_top1"]["mean"] == pytest.approx(found["runs"][0]["test_top1"], abs=50)
    text = (runs / "b" / "report.md").read_text()
    assert "| gdas |" in text
    assert "![supernet top-1 (%)](validation.png)" in text
    assert (runs / "b" / "validation.svg").is_file()
    assert "| darts |" in result.out


def test_what_is_finished_is_not_repeated_and_json_is_all_there_is(darts, engine, runs):
    engine("finish")
    first = darts(*ASKED, "--seeds", 1, "--no-train", "--json")
    assert first.code == 0, first.err
    assert json.loads(first.out)["train_epochs"] is None
    engine("crash")
    again = darts("benchmark", "--name", "b", "--json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(first.out))
    other = darts(*ASKED, "--seeds", 2, "--no-train")
    assert (other.code, "other settings" in other.err) == (2, True)


def test_a_benchmark_of_nothing_or_of_the_unknown_is_refused(darts):
    assert darts("benchmark", "--name", "b").code == 2
    result = darts("benchmark", "--name", "b", "--methods", "darts,gdsa")
    assert (result.code, result.error_lines[-1]) == (5, "did you mean 'gdas'?")


@pytest.mark.slow
def test_all_methods_are_those_that_have_a_meaning_in_the_space(darts, engine, runs):
    engine("finish")
    asked = ("--methods", "all", "--space", "nasbench201", "--seeds", 1, "--no-train", "--json")
    found = json.loads(darts("benchmark", "--name", "b", *asked).out)
    names = [one["method"] for one in found["methods"]]
    assert names == [name for name in PRESETS if name not in ("pc-darts", "p-darts", "sgas")]
    result = darts("benchmark", "--name", "c", *asked, "--channels", 3)
    assert (result.code, "channels must be even" in result.err) == (2, True)


@pytest.mark.slow
def test_a_seed_is_reported_as_soon_as_it_is_finished(darts, engine, runs):
    engine("finish")
    assert darts(*ASKED, "--seeds", 1, "--no-train").code == 0
    plan = json.loads((runs / "b" / "plan.json").read_bytes())
    plan["seeds"].append(plan["seeds"][0] + 1)
    (runs / "b" / "plan.json").write_text(json.dumps(plan))
    engine("crash")
    assert darts("benchmark", "--name", "b").code == 1
    report = json.loads((runs / "b" / "report.json").read_bytes())
    assert report["seeds"] == plan["seeds"][:1]
    engine("finish")
    for run in list_runs(runs):
        if run.name.endswith("-1"):
            shutil.rmtree(run.path)
    assert darts("benchmark", "--name", "b").code == 0
    assert json.loads((runs / "b" / "report.json").read_bytes())["seeds"] == plan["seeds"]


def test_means_and_deviations_leave_out_what_is_missing():
    assert benchmark_report._spread([1.0, None, 3.0]) == {
        "mean": 2.0,
        "deviation": pytest.approx(2**0.5),
    }
    assert benchmark_report._spread([None, 1.0])["deviation"] is None
    runs = [{"validation": [(1, 10.0), (2, 20.0)]}, {"validation": [(1, 30.0)]}]
    assert benchmark_report._mean_line(runs, "validation") == [(1.0, 20.0), (2.0, 20.0)]


@pytest.mark.parametrize(("count", "kind"), [(6, pictures.Curves), (7, pictures.Multiples)])
def test_many_methods_get_a_small_plot_each(count, kind):
    run = {"eigenvalues": [(2, 0.5), (4, 0.25)], "validation": []}
    methods = [{"method": f"m{n}", "runs": [run]} for n in range(count)]
    report = {"space": "s2", "dataset": "digits", "seeds": [2], "search_epochs": 4}
    picture = benchmark_report._picture(report | {"methods": methods}, "eigenvalues")
    assert isinstance(picture, kind)
    assert picture.title == "s2, digits: 1 seed"
    assert benchmark_report._picture(report | {"methods": methods}, "validation") is None


def test_a_plan_of_an_earlier_version_has_the_settings_of_its_runs():
    golden = Path(__file__).parents[2] / "golden" / "earlier_rules" / "gdas-ranking" / "config.toml"
    made = planned(config.read_as_written(golden), {"engine.seed": 7})
    assert made == config.read(golden)
    assert isinstance(made, SearchConfig)
    assert made.method.gumbel_gradient == "all"


def test_a_report_of_text_has_perplexities():
    spread = {name: {"mean": 97.5, "deviation": None} for name in benchmark_report.FIGURES}
    spread |= {name: {"mean": None, "deviation": None} for name in ("supernet_top1", "test_top1")}
    run = {
        "run": "b-darts-0", "seed": 0, "epochs": 2, "skips": 0, "test_top1": None,
        "test_perplexity": 88.25, "passes": {"forward": 4, "backward": 4},
        "validation": [(1, 200.0), (2, 97.5)],
    }  # fmt: skip
    passes = {"forward": 2, "backward": 2}
    found = {"method": "darts", "passes_per_step": passes, "runs": [run], **spread}
    report = {
        "name": "b", "space": "recurrent", "dataset": "verses", "is_text": True, "seeds": [0],
        "search_epochs": 2, "train_epochs": 2, "methods": [found],
    }  # fmt: skip
    text = benchmark_report.markdown(report, ["validation"])
    assert "| method | supernet perplexity | gap |" in text
    assert "| darts | 97.50 | 97.50 | 97.500 | 97.50 | 97.5 | 2 forward, 2 backward |" in text
    assert "| b-darts-0 | 0 | 2 | 88.25 | 4 | 4 |" in text
    assert "skips" not in text, "a recurrent cell has none"
    heads = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in heads[:3]} == {8}
    assert {line.count("|") for line in heads[3:]} == {7}
    found["gap"] = {"mean": -0.001, "deviation": None}
    assert "| darts | 97.50 | 0.00 |" in benchmark_report.table(report)
    assert "top-1" not in text
    assert "accuracy" not in text
    picture = benchmark_report._picture(report, "validation")
    assert isinstance(picture, pictures.Curves)
    (panel,) = picture.panels
    assert (panel.label, panel.logarithmic) == ("supernet perplexity", True)
    assert reads_text(SearchConfig()) is False
