"""The results of a protocol: an object for programs, Markdown for people."""

import statistics
from typing import Any

from darts_engine.run.state import RunState
from darts_tui.console.event_text import human_seconds
from darts_tui.console.safe_text import clean
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

    Where the data set has both a validation and a test part, those of full trainings are of the
    test, looked at once; where it has a validation part only, of that, and `part` says so.

    The deviation is that of a sample (n - 1), and None for a single training.
    """
    assert plan.ranking is not None
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
                "valid_top1": _last(states[short.name], "valid_top1"),
                "rank": plan.ranking.index(place) + 1,
            }
        )
    trained: list[dict[str, Any]] = [
        {
            "run": job.name,
            "seed": job.config.engine.seed,
            "test_loss": _final(states[job.name], "loss"),
            "test_top1": _final(states[job.name], "top1"),
        }
        for job in finals
    ]
    scores = [one["test_top1"] for one in trained if one["test_top1"] is not None]
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
        "test_top1_mean": statistics.fmean(scores) if scores else None,
        "test_top1_deviation": statistics.stdev(scores) if len(scores) > 1 else None,
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


def outcome(report: dict[str, Any]) -> str:
    """The result in a line, as in "97.18 % ± 0.21 over 3 trainings"."""
    count = len(report["trainings"])
    if report["test_top1_deviation"] is None:
        return f"{_percent(report['test_top1_mean'])}, one training"
    deviation = report["test_top1_deviation"]
    return f"{_percent(report['test_top1_mean'])} ± {deviation:.2f} over {count} trainings"


def print_outcome(folder: StudyFolder, report: dict[str, Any], print_line: PrintLine) -> None:
    """Print the ranked cells, the chosen genotype, its accuracy and the report's path."""
    for cell in sorted(report["cells"], key=lambda cell: int(cell["rank"])):
        print_line(f"{cell['rank']}. {cell['search']}: {_percent(cell['valid_top1'])} held out")
    print_line(report["genotype"])
    print_line(f"test top-1: {outcome(report)}")
    print_line(str(folder.report("md")))


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    recipe = f", recipe {clean(report['recipe'])}" if report["recipe"] else ""
    size = f", {report['parameters'] / 1e6:.3f} M parameters" if report["parameters"] else ""
    cells = [
        f"| {cell['rank']} | {cell['search']} | {cell['seed']} | {_percent(cell['valid_top1'])} "
        f"| {_loss(cell['valid_loss'])} |\n"
        for cell in sorted(report["cells"], key=lambda cell: int(cell["rank"]))
    ]
    trainings = [
        f"| {one['run']} | {one['seed']} | {_percent(one['test_top1'])} "
        f"| {_loss(one['test_loss'])} |\n"
        for one in report["trainings"]
    ]
    return f"""# Protocol {clean(report["name"])}

Data set {clean(report["dataset"])}{recipe}. Test top-1 of the chosen cell: **{outcome(report)}**
(mean ± sample deviation).

## Cells

Each search ran {report["search_epochs"]} epochs. Its cell was trained for {report["short_epochs"]}
epochs and ranked by the last epoch's accuracy on {report["held_out"]:.0%} of the training images,
which that training did not see. The test part had no say.

| rank | search | seed | held-out top-1 | held-out loss |
|---|---|---|---|---|
{"".join(cells)}
Chosen: {report["chosen"]}{size}

```
{report["genotype"]}
```

## Trainings of the chosen cell

{report["train_epochs"]} epochs on all training images; {_FIGURES[report["part"]]}.

| run | seed | test top-1 | test loss |
|---|---|---|---|
{"".join(trainings)}
Computed in {human_seconds(report["seconds"])}, all runs together.
"""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
