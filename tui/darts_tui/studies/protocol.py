"""The papers' protocol: several searches, a short training of each cell, full ones of the best.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.2: four searches with different seeds, the cell
chosen by its validation accuracy after a short training (100 of 600 epochs), and the chosen cell
trained from scratch several times. The choice never uses the test part: short trainings validate
on training images that are held out.

Each stage is a list of ordinary runs, made from the plan and the results of the stage before. So a
protocol that was interrupted anywhere continues when it is started again.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import ExitCode, RunError
from darts_engine.run.private_files import open_to_append
from darts_tui.console.console import print_err, print_json, print_out
from darts_tui.runs.naming import DEFAULT_RUNS, RUNS_VARIABLE
from darts_tui.studies import protocol_report, run_all
from darts_tui.studies.protocol_plan import ProtocolPlan, ProtocolRequest, make_plan, objection
from darts_tui.studies.run_all import Job, PrintLine
from darts_tui.studies.study import StudyFolder, progress_lines, settle


def run(
    runs: Path, name: str, request: ProtocolRequest, parallel: int, *, detach: bool, as_json: bool
) -> int:
    """Start a protocol or continue it, and write its report.

    Args:
        runs: folder of the runs.
        name: of the protocol.
        request: the command's options.
        parallel: how many runs at a time.
        detach: only plan the protocol here, and run it in a process without this terminal.
        as_json: print the report as JSON on stdout, and progress on stderr.

    Raises:
        BusyError: another process works on it.
        ConfigError: a setting is not allowed, or differs from the protocol's plan.
        RunError: one of its runs failed or was stopped.
    """
    folder = StudyFolder(runs / name)
    folder.make()
    print_line = progress_lines(as_json=as_json)
    try:
        with folder.held():
            plan = settle(
                folder,
                ProtocolPlan,
                lambda: make_plan(request),
                has_settings=request.has_settings(),
                objection=objection,
            )
            if not detach:
                report = _run_stages(folder, plan, parallel, print_line)
                if as_json:
                    print_json(report)
                else:
                    protocol_report.print_outcome(folder, report, print_line)
                return ExitCode.OK
    except run_all.Interrupted as interrupted:
        print_err(_way_on(folder))
        return interrupted.code
    except RunError:
        if folder.has_plan():
            print_err(_way_on(folder))
        raise
    except OSError as error:
        raise RunError(
            f"the protocol's folder cannot be written: {error.strerror}",
            where=str(error.filename or folder.path),
            remedy=_way_on(folder),
        ) from None
    _detach(folder, parallel)
    print_out(folder.name)
    return ExitCode.OK


def _run_stages(
    folder: StudyFolder, plan: ProtocolPlan, parallel: int, print_line: PrintLine
) -> dict[str, Any]:
    """Search, train shortly, rank and train fully; each stage begins when the last one is over."""
    total = 2 * len(plan.seeds) + len(plan.final_seeds)
    print_line(f"protocol {folder.name}: {total} runs in {os.path.relpath(folder.runs)}")
    searches = plan.searches(folder.name)
    print_line(f"{len(searches)} searches of {searches[0].config.epochs} epochs")
    run_all.finish(folder.runs, searches, parallel, print_line)
    cells = [_genotype(folder, job) for job in searches]

    shorts = plan.short(folder.name, cells)
    judge = (
        "the validation part is there to choose by"
        if plan.is_text
        else f"{plan.held_out:.0%} of the training images are held out to choose by"
    )
    print_line(f"{len(shorts)} short trainings of {plan.short_epochs} epochs; {judge}")
    run_all.finish(folder.runs, shorts, parallel, print_line)
    if plan.ranking is None:
        plan = msgspec.structs.replace(plan, ranking=ranking(folder, shorts))
        folder.write_plan(plan)
    assert plan.ranking is not None
    best = plan.ranking[0]

    finals = plan.final(folder.name, cells[best])
    print_line(
        f"chosen: {searches[best].name}; "
        f"{len(finals)} full trainings of {finals[0].config.epochs} epochs"
    )
    run_all.finish(folder.runs, finals, parallel, print_line)
    report = protocol_report.gather(folder, plan, searches, shorts, finals)
    folder.write_report(report, protocol_report.markdown(report))
    return report


def ranking(folder: StudyFolder, shorts: list[Job]) -> list[int]:
    """Places of the short trainings by the last epoch's validation accuracy, the best first.

    The last epoch counts, not the best one: a maximum over epochs would favour luck. Of equally
    accurate cells the one with the lower loss comes first, then the earlier one. On text there are
    no accuracies, and the loss decides.
    """
    keys = []
    for place, job in enumerate(shorts):
        last = folder.state(job).epochs[-1]
        top1 = -1.0 if last.valid_top1 is None else last.valid_top1
        keys.append((-top1, float("inf") if last.valid_loss is None else last.valid_loss, place))
    return [place for _, _, place in sorted(keys)]


def _genotype(folder: StudyFolder, job: Job) -> Genotype:
    found = folder.state(job).final_genotype()
    if found is None:
        raise RunError(f"{job.name} is finished and has no genotype", where=str(folder.path))
    return found


def _command(folder: StudyFolder) -> list[str]:
    return ["protocol", "--name", folder.name, "--runs", str(folder.runs.absolute())]


def _way_on(folder: StudyFolder) -> str:
    here = Path(os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS).resolve() == folder.runs.resolve()
    words = _command(folder)[: 3 if here else None]
    return f"go on with '{shlex.join(['darts-tui', *words])}'; finished runs are not repeated"


def _detach(folder: StudyFolder, parallel: int) -> None:
    """Continue in a process with a session of its own, which outlives the terminal."""
    command = [sys.executable, "-P", "-m", "darts_tui", *_command(folder)]
    log = open_to_append(folder.log)
    try:
        subprocess.Popen(
            [*command, "--parallel", str(parallel)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
