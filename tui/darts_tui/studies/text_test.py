"""The test perplexity of a finished training on text.

A training validates on the validation part and never reads the test part. Its checkpoint of the
epoch that validated best is tested, as in the official code.
"""

import functools
from pathlib import Path

from darts_engine.run.answers import TextEvaluation
from darts_engine.run.errors import ExitCode
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings.config import override
from darts_tui.commands.evaluate import Subject
from darts_tui.commands.evaluate_text import evaluate
from darts_tui.launch.child_error import ChildError


@functools.cache
def tested(run: Path) -> TextEvaluation | None:
    """Loss and perplexity on the test part; None where the run has no checkpoint any more.

    Args:
        run: path of a finished training.

    Raises:
        ChildError: its text or its checkpoint cannot be read.
    """
    folder = RunFolder(run)
    config = override(folder.read_config(), {"text.eval_batch": 1})
    try:
        return evaluate(Subject(folder, config, None), "test", official_division=False)
    except ChildError as error:
        if error.exit_code == ExitCode.NOT_FOUND:
            return None
        raise
