"""The results of a benchmark: an object for programs, Markdown and pictures for people."""

import statistics
from collections.abc import Sequence
from typing import Any

from darts_engine.run.architecture.derivation import SKIP
from darts_engine.run.events import EpochFinished
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.settings import passes
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.run.state import RunState, fold
from darts_tui.console.safe_text import clean
from darts_tui.export import pictures
from darts_tui.export.files import write_whole
from darts_tui.export.render import RenderError
from darts_tui.runs.summary import all_lines
from darts_tui.studies import text_test
from darts_tui.studies.run_all import Job
from darts_tui.studies.study import StudyFolder

# The report has a method's mean and deviation of these figures of its runs.
FIGURES = (
    *("supernet_top1", "supernet_perplexity", "gap", "eigenvalue", "skips"),
    *("test_top1", "test_perplexity", "seconds"),
)
PICTURES = {
    "eigenvalues": "dominant eigenvalue",
    "validation": "supernet top-1 (%)",
}
PERPLEXITY = "supernet perplexity"
# Methods with a line in one plot; more get a plot each.
MOST_LINES = 6


def gather(
    folder: StudyFolder, searches: dict[str, list[Job]], trainings: dict[str, Job]
) -> dict[str, Any]:
    """All figures of a finished benchmark.

    Accuracies are in percent, of each run's last epoch. `gap` is the supernet's accuracy less that
    of the same weights cut to the genotype. On text, perplexities take their place, and `gap` is of
    the losses, the cut supernet's less the whole one's. `skips` counts all cell types. `seconds` is
    the time of the search's epochs. Deviations are of a sample (n - 1), and None for one seed.
    """
    first = next(iter(searches.values()))[0].config
    assert isinstance(first, SearchConfig)
    methods = []
    for method, jobs in searches.items():
        runs = [_run(folder, job, trainings.get(job.name)) for job in jobs]
        config = jobs[0].config
        assert isinstance(config, SearchConfig)
        spread = {name: _spread([run[name] for run in runs]) for name in FIGURES}
        step = passes.of_step(config)._asdict()
        methods.append({"method": method, "passes_per_step": step, **spread, "runs": runs})
    trained = next(iter(trainings.values()), None)
    return {
        "name": folder.name,
        "space": first.space.space,
        "dataset": first.data.dataset,
        "is_text": reads_text(first),
        "seeds": [job.config.engine.seed for job in next(iter(searches.values()))],
        "search_epochs": first.epochs,
        "train_epochs": trained.config.epochs if trained else None,
        "methods": methods,
    }


def _run(folder: StudyFolder, job: Job, training: Job | None) -> dict[str, Any]:
    state = _whole(RunFolder(folder.runs / job.name))
    assert isinstance(job.config, SearchConfig)
    genotype = state.final_genotype()
    edges = [e for cell in genotype.cells for e in genotype.edges(cell)] if genotype else []
    measured = [(h.epoch, h.eigenvalue) for h in state.health if h.eigenvalue is not None]
    steps = state.started.steps_per_epoch if state.started else 0
    # Epochs that a rollback gave up cost as much as those that were kept.
    computed = [*state.epochs, *state.given_up]
    return {
        "run": job.name,
        "seed": job.config.engine.seed,
        "epochs": len(state.epochs),
        "genotype": genotype.text() if genotype else "",
        "supernet_top1": state.epochs[-1].valid_top1 if state.epochs else None,
        "supernet_perplexity": state.epochs[-1].valid_perplexity if state.epochs else None,
        "gap": _gap(state),
        "eigenvalue": measured[-1][1] if measured else None,
        "skips": sum(edge.operation == SKIP for edge in edges),
        "seconds": round(sum(epoch.seconds for epoch in computed), 3),
        "passes": passes.of_search(job.config, steps, len(computed))._asdict(),
        "training": training.name if training else None,
        "test_top1": _last(folder, training, "valid_top1") if training else None,
        "test_perplexity": _test_perplexity(folder, training) if training else None,
        "eigenvalues": measured,
        "validation": [(e.epoch, v) for e in state.epochs if (v := _score(e)) is not None],
    }


def _score(done: EpochFinished) -> float | None:
    return done.valid_top1 if done.valid_top1 is not None else done.valid_perplexity


def _whole(run: RunFolder) -> RunState:
    state, reader = RunState(), LogReader(run.events)
    for line in all_lines(run):
        event = reader.decode(line)
        if event is not None:
            fold(state, event)
    return state


def _gap(state: RunState) -> float | None:
    last = state.gaps[-1] if state.gaps else None
    if state.is_text:
        if last is None or last.supernet_loss is None or last.derived_loss is None:
            return None
        return last.derived_loss - last.supernet_loss
    if last is None or last.supernet_top1 is None or last.derived_top1 is None:
        return None
    return last.supernet_top1 - last.derived_top1


def _last(folder: StudyFolder, training: Job, figure: str) -> float | None:
    epochs = folder.state(training).epochs
    value: float | None = getattr(epochs[-1], figure) if epochs else None
    return value


def _test_perplexity(folder: StudyFolder, training: Job) -> float | None:
    """Of a training on text; None of images."""
    found = text_test.tested(folder.runs / training.name) if reads_text(training.config) else None
    return found.perplexity if found else None


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "deviation": statistics.stdev(known) if len(known) > 1 else None,
    }


def write(folder: StudyFolder, report: dict[str, Any]) -> list[str]:
    """Write report.json, report.md and the pictures. Returns messages about missing pictures."""
    drawn = {name: picture for name in PICTURES if (picture := _picture(report, name))}
    jobs = [
        pictures.Job(picture=picture, files={f"{name}.{kind}": kind for kind in ("png", "svg")})
        for name, picture in drawn.items()
    ]
    messages = []
    try:
        for file, content in pictures.draw(jobs).items():
            write_whole(folder.path / file, [content])
    except RenderError as error:
        messages.append(str(error))
        drawn = {}
    folder.write_report(report, markdown(report, list(drawn)))
    return messages


def _picture(report: dict[str, Any], name: str) -> pictures.Picture | None:
    """A figure's means over the seeds, by epoch, one line for each method; None without any.

    Many methods get a small plot each, since so many lines in one plot look alike.
    """
    lines = [
        pictures.Line(label=found["method"], points=_mean_line(found["runs"], name), colour=place)
        for place, found in enumerate(report["methods"])
    ]
    if not any(line.points for line in lines):
        return None
    label = _label(report, name)
    of_seeds = f"means of {_seeds(report)}" if len(report["seeds"]) > 1 else "1 seed"
    title = clean(f"{report['space']}, {report['dataset']}: {of_seeds}", 100)
    if len(lines) > MOST_LINES:
        return pictures.Multiples(
            title=title,
            label=label,
            lines=lines,
            epochs=float(report["search_epochs"]),
            by_size=name == "eigenvalues",
        )
    return pictures.Curves(
        title=title,
        panels=[pictures.Panel(label=label, lines=lines, logarithmic=label == PERPLEXITY)],
        epochs=float(report["search_epochs"]),
    )


def _label(report: dict[str, Any], name: str) -> str:
    # Reports of earlier versions are of images.
    is_perplexity = name == "validation" and report.get("is_text", False)
    return PERPLEXITY if is_perplexity else PICTURES[name]


def _seeds(report: dict[str, Any]) -> str:
    count = len(report["seeds"])
    return f"{count} seed" if count == 1 else f"{count} seeds"


def _mean_line(runs: Sequence[dict[str, Any]], name: str) -> pictures.Points:
    by_epoch: dict[int, list[float]] = {}
    for run in runs:
        for epoch, value in run[name]:
            by_epoch.setdefault(epoch, []).append(value)
    return [(float(epoch), statistics.fmean(by_epoch[epoch])) for epoch in sorted(by_epoch)]


def table(report: dict[str, Any]) -> str:
    """A row for each method, as Markdown."""
    # A recurrent cell has no skip connections.
    is_text = report.get("is_text", False)
    score = "perplexity" if is_text else "top-1"
    field = score.replace("-", "")
    names = ["method", f"supernet {score}", "gap", "eigenvalue", *([] if is_text else ["skips"])]
    names += [f"test {score}", "search seconds", "passes per step"]
    head = f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    rows = [
        f"| {found['method']} | {_cell(found[f'supernet_{field}'])} | {_cell(found['gap'])} "
        f"| {_cell(found['eigenvalue'], 3)} "
        f"{'' if is_text else '| ' + _cell(found['skips'], 1) + ' '}"
        f"| {_cell(found[f'test_{field}'])} | {_cell(found['seconds'], 1)} "
        f"| {found['passes_per_step']['forward']} forward, "
        f"{found['passes_per_step']['backward']} backward |"
        for found in report["methods"]
    ]
    return head + "\n".join(rows)


def _cell(spread: dict[str, float | None], digits: int = 2) -> str:
    mean, deviation = spread["mean"], spread["deviation"]
    if mean is None:
        return "–"
    rounded = round(mean, digits) + 0.0  # not -0.0
    return f"{rounded:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def markdown(report: dict[str, Any], drawn: Sequence[str]) -> str:
    """The report for people; `drawn` names the pictures that exist."""
    trained = (
        f"every derived network was trained from scratch for {report['train_epochs']} epochs"
        if report["train_epochs"]
        else "no network was trained"
    )
    is_text = report.get("is_text", False)
    score = "perplexity" if is_text else "top-1"
    field = f"test_{score.replace('-', '')}"
    gap = (
        "the loss of the supernet cut to the derived cell less that of\nthe whole one"
        if is_text
        else "the supernet's accuracy less\nthat of the same weights cut to the derived cells"
    )
    counted = "" if is_text else "skips are counted in all cells;\n"
    skips = "" if is_text else "| skips "
    shown = "\n".join(f"![{_label(report, name)}]({name}.png)\n" for name in drawn)
    runs = "".join(
        f"| {run['run']} | {run['seed']} | {run['epochs']} "
        f"{'' if is_text else '| ' + str(run['skips']) + ' '}"
        f"| {'–' if run[field] is None else format(run[field], '.2f')} "
        f"| {run['passes']['forward']:,} | {run['passes']['backward']:,} |\n"
        for found in report["methods"]
        for run in found["runs"]
    )
    return f"""# Benchmark {clean(report["name"])}

Space {clean(report["space"])}, data set {clean(report["dataset"])}, {_seeds(report)},
searches of {report["search_epochs"]} epochs; {trained}.
Mean ± sample deviation over the seeds, of the last epochs. The gap is {gap};
the eigenvalue is the dominant one of the Hessian of the validation loss in alpha; {counted}passes
are those through the supernet in a step in which alpha moves, and do not all cost the same.

{table(report)}

{shown}
## Runs

| run | seed | epochs {skips}| test {score} | forward passes | backward passes |
|---|---|---{"" if is_text else "|---"}|---|---|---|
{runs}"""
