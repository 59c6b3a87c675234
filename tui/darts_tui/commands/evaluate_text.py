"""`darts-tui evaluate` on text: a network's loss and perplexity."""

from typing import Any

import msgspec

from darts_engine.run.answers import TextEvaluation
from darts_tui.commands.evaluate import Subject, answer_of
from darts_tui.console.safe_text import clean


def evaluate(chosen: Subject, part: str, *, official_division: bool) -> TextEvaluation:
    """Evaluate a network on a part of a text, in a child process.

    Raises:
        ChildError: the evaluation failed; has the message and the exit code.
    """
    more = ["--part", part, *(["--official-division"] if official_division else [])]
    return msgspec.json.decode(answer_of(chosen, more), type=TextEvaluation)


def text(chosen: Subject, found: TextEvaluation) -> str:
    """For people."""
    after = f", after epoch {found.epoch}" if found.epoch is not None else ""
    divided = "divided as in the official code" if found.is_official_division else "per token"
    return "\n".join(
        [
            f"{clean(chosen.name)}: {clean(found.source)}{after}",
            f"{found.tokens:,} predicted tokens, {found.part} part of {clean(found.dataset)}",
            "",
            f"{f'{found.part} loss':10}  {_figure(found.loss, 4)} nats {divided}",
            f"{'perplexity':10}  {_figure(found.perplexity, 2)}",
        ]
    )


def _figure(value: float | None, digits: int) -> str:
    return f"{value:8.{digits}f}" if value is not None else f"{'–':>8}"


def as_plain(found: TextEvaluation) -> dict[str, Any]:
    """For programs."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain
