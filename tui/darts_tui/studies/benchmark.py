"""`darts-tui benchmark`: several methods on the same space, data and seeds.

Every method searches with every seed, and each derived network is trained from scratch with the
seed of its search. All of them are ordinary runs, so a benchmark that was interrupted continues
when it is started again. Its results so far are in runs/NAME/report.md and report.json, and in the
pictures beside them.
"""

from pathlib import Path
from typing import Any

from darts_engine.run.errors import ExitCode
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.studies import benchmark_report, run_all
from darts_tui.studies.benchmark_plan import (
    BenchmarkPlan,
    BenchmarkRequest,
    make_plan,
    objection,
)
from darts_tui.studies.run_all import Job, PrintLine
from darts_tui.studies.study import StudyFolder, progress_lines, settle


def run(runs: Path, name: str, request: BenchmarkRequest, parallel: int, *, as_json: bool) -> int:
    """Start a benchmark or continue it, and write its report.

    Args:
        runs: folder of the runs.
        name: of the benchmark.
        request: the command's options.
        parallel: how many runs at a time.
        as_json: print the report as JSON on stdout, and progress on stderr.

    Raises:
        BusyError: another process works on it.
        ConfigError: a setting is not allowed, or differs from the benchmark's plan.
        RunError: one of its runs failed or was stopped.
    """
    folder = StudyFolder(runs / name)
    folder.make()
    print_line = progress_lines(as_json=as_json)
    try:
        with folder.held():
            plan = settle(
                folder,
                BenchmarkPlan,
                lambda: make_plan(request),
                has_settings=bool(request.methods),
                objection=objection,
            )
            report = _run_seeds(folder, plan, parallel, print_line)
    except run_all.Interrupted as interrupted:
        print_err(
            f"'darts-tui benchmark --name {folder.name}' goes on; finished runs are not repeated"
        )
        return interrupted.code
    if as_json:
        print_json(report)
    else:
        print(benchmark_report.table(report))
        print_out(folder.report("md"))
    return ExitCode.OK


def _run_seeds(
    folder: StudyFolder, plan: BenchmarkPlan, parallel: int, print_line: PrintLine
) -> dict[str, Any]:
    """Run one seed after the other, so that the first one already compares all methods."""
    searches = plan.search_jobs(folder.name)
    count = sum(map(len, searches.values()))
    print_line(f"benchmark {folder.name}: {count} searches of {', '.join(searches)}")
    trainings: dict[str, Job] = {}
    report: dict[str, Any] = {}
    for place, seed in enumerate(plan.seeds):
        of_seed = [jobs[place] for jobs in searches.values()]
        print_line(f"seed {seed}: {len(of_seed)} searches")
        run_all.finish(folder.runs, of_seed, parallel, print_line)
        found = _trainings(folder, plan, of_seed, print_line) if plan.train else {}
        if found:
            print_line(f"seed {seed}: {len(found)} trainings")
            run_all.finish(folder.runs, list(found.values()), parallel, print_line)
        trainings |= found
        finished = {method: jobs[: place + 1] for method, jobs in searches.items()}
        report = benchmark_report.gather(folder, finished, trainings)
        for message in benchmark_report.write(folder, report):
            print_line(message)
    return report


def _trainings(
    folder: StudyFolder, plan: BenchmarkPlan, searches: list[Job], print_line: PrintLine
) -> dict[str, Job]:
    """The trainings of the derived networks, by the names of their searches."""
    found = {}
    for job in searches:
        genotype = folder.state(job).final_genotype()
        if genotype is None or not all(map(genotype.edges, genotype.cells)):
            print_line(f"{job.name} has derived a cell without edges: there is no network to train")
            continue
        found[job.name] = plan.training(job, genotype)
    return found
