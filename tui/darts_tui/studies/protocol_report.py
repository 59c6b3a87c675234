"""The results of a protocol: an object for programs, Markdown for people."""

import statistics
from typing import Any

from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.run.state import RunState
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
from darts_tui.studies import text_test
from darts_tui.studies.protocol_plan import ProtocolPlan
from darts_tui.studies.run_all import Job, PrintLine
from darts_tui.studies.study import StudyFolder


def gather(
    folder: StudyFolder,
    plan: ProtocolPlan,
    searches: list[Job],
    shorts: list[Job],
    finals: list[Job],
) -> dict[str, Any]:
    """All figures of a finished protocol. Accuracies are in percent, of each run's last epoch.

    Where a data set has both a validation and a test part, test figures are of the test, looked at
    once; where it has a validation part only, of that, and `part` says so.

    On text, perplexities take their place. A training's test perplexity is that of its best epoch
    by validation, as it has not seen the test part. The deviation is that of a sample (n - 1), and
    None for a single training.
    """
    assert plan.ranking is not None
    score = _score(is_text=plan.is_text)
    states = {job.name: folder.state(job) for job in searches + shorts + finals}
    cells: list[dict[str, Any]] = []
    for place, (search, short) in enumerate(zip(searches, shorts, strict=True)):
        genotype = states[search.name].final_genotype()
        cells.append(
            {
                "search": search.name,
                "seed": search.config.engine.seed,
                "genotype": genotype.text() if genotype else "",
                "short": short.name,
                "valid_loss": _last(states[short.name], "valid_loss"),
                f"valid_{score}": _last(states[short.name], f"valid_{score}"),
                "rank": plan.ranking.index(place) + 1,
            }
        )
    trained = [_training(folder, job, states[job.name]) for job in finals]
    scores = [one[f"test_{score}"] for one in trained if one[f"test_{score}"] is not None]
    started = states[finals[0].name].started
    return {
        "name": folder.name,
        "dataset": plan.dataset(),
        "recipe": searches[0].config.basis.recipe,
        "search_epochs": searches[0].config.epochs,
        "short_epochs": plan.short_epochs,
        "held_out": plan.held_out,
        "train_epochs": finals[0].config.epochs,
        "cells": cells,
        "chosen": searches[plan.ranking[0]].name,
        "genotype": cells[plan.ranking[0]]["genotype"],
        "parameters": started.parameters if started else None,
        "trainings": trained,
        "part": _part(states[finals[0].name]),
        "is_text": plan.is_text,
        f"test_{score}_mean": statistics.fmean(scores) if scores else None,
        f"test_{score}_deviation": statistics.stdev(scores) if len(scores) > 1 else None,
        "seconds": sum(state.elapsed_s for state in states.values()),
    }


def _part(state: RunState) -> str:
    """What a training's final figures are of, a key of `_FIGURES`."""
    if state.test:
        return "test"
    images = state.started.images if state.started else {}
    return "valid" if "valid" in images else "every epoch"


# What the figures of the full trainings are, by the parts that the data set has.
_FIGURES = {
    "every epoch": "the last epoch's figures on the test part",
    "test": "the test part, looked at once, with the weights of the epoch that the validation part "
    "chose",
    "valid": "the last epoch's figures on the validation part, as there is no test part",
}


def _final(state: RunState, figure: str) -> float | None:
    """A figure of the test part: looked at once, or else of the last epoch."""
    if state.test:
        value: float | None = getattr(state.test, f"test_{figure}")
        return value
    return _last(state, f"valid_{figure}")


def _last(state: RunState, figure: str) -> float | None:
    value: float | None = getattr(state.epochs[-1], figure) if state.epochs else None
    return value


def _training(folder: StudyFolder, job: Job, state: RunState) -> dict[str, Any]:
    """The figures of a full training."""
    one: dict[str, Any] = {"run": job.name, "seed": job.config.engine.seed}
    if not reads_text(job.config):
        loss, top1 = _final(state, "loss"), _final(state, "top1")
        return one | {"test_loss": loss, "test_top1": top1}
    found = text_test.tested(folder.runs / job.name)
    return one | {
        "valid_perplexity": _last(state, "valid_perplexity"),
        "test_loss": found.loss if found else None,
        "test_perplexity": found.perplexity if found else None,
    }


def _score(*, is_text: bool) -> str:
    return "perplexity" if is_text else "top1"


def outcome(report: dict[str, Any]) -> str:
    """The result in a line, as in "97.18 % ± 0.21 over 3 trainings"."""
    count, score = len(report["trainings"]), _score(is_text=report["is_text"])
    mean, deviation = report[f"test_{score}_mean"], report[f"test_{score}_deviation"]
    if deviation is None:
        return f"{_figure(report, mean)}, one training"
    return f"{_figure(report, mean)} ± {deviation:.2f} over {count} trainings"


def print_outcome(folder: StudyFolder, report: dict[str, Any], print_line: PrintLine) -> None:
    """Print the ranked cells, the chosen genotype, its accuracy and the report's path."""
    score, label = _score(is_text=report["is_text"]), _label(report)
    for cell in sorted(report["cells"], key=lambda cell: int(cell["rank"])):
        seen = "validation perplexity" if report["is_text"] else "held out"
        print_line(
            f"{cell['rank']}. {cell['search']}: {_figure(report, cell[f'valid_{score}'])} {seen}"
        )
    print_line(report["genotype"])
    print_line(f"test {label}: {outcome(report)}")
    print_line(str(folder.report("md")))


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    recipe = f", recipe {clean(report['recipe'])}" if report["recipe"] else ""
    size = f", {report['parameters'] / 1e6:.3f} M parameters" if report["parameters"] else ""
    score, label = _score(is_text=report["is_text"]), _label(report)
    cells = [
        f"| {cell['rank']} | {cell['search']} | {cell['seed']} "
        f"| {_figure(report, cell[f'valid_{score}'])} | {_loss(cell['valid_loss'])} |\n"
        for cell in sorted(report["cells"], key=lambda cell: int(cell["rank"]))
    ]
    trainings = [
        f"| {one['run']} | {one['seed']} | {_figure(report, one[f'test_{score}'])} "
        f"| {_loss(one['test_loss'])} |\n"
        for one in report["trainings"]
    ]
    if report["is_text"]:
        ranked = "by the last epoch's perplexity on the validation part"
        seen, tested = (
            "validation",
            "on the training part; the best epoch by validation, on the test part",
        )
        figure = "best epoch by validation"
    else:
        ranked = (
            f"by the last epoch's accuracy on {report['held_out']:.0%} of the training images,\n"
            "which that training did not see"
        )
        seen, tested = "held-out", f"on all training images; {_FIGURES[report['part']]}"
        figure = "best epoch by validation" if report["part"] == "test" else "last epoch"
    return f"""# Protocol {clean(report["name"])}

Data set {clean(report["dataset"])}{recipe}. Test {label} of the chosen cell: **{outcome(report)}**
(mean ± sample deviation, {figure}).

## Cells

Each search ran {report["search_epochs"]} epochs. Its cell was trained for {report["short_epochs"]}
epochs and ranked {ranked}. The test part had no say.

| rank | search | seed | {seen} {label} | {seen} loss |
|---|---|---|---|---|
{"".join(cells)}
Chosen: {report["chosen"]}{size}

```
{report["genotype"]}
```

## Trainings of the chosen cell

{report["train_epochs"]} epochs {tested}.

| run | seed | test {label} | test loss |
|---|---|---|---|
{"".join(trainings)}
Computed in {human_seconds(report["seconds"])}, all runs together.
"""


def _label(report: dict[str, Any]) -> str:
    return "perplexity" if report["is_text"] else "top-1"


def _figure(report: dict[str, Any], value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if report["is_text"] else f"{value:.2f} %"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
