"""A text as columns of consecutive tokens, and windows of it (`batchify` and `get_batch`).

Official code of DARTS, rnn/utils.py. Step t of every column follows its step t - 1, so a hidden
state is carried from window to window.
"""

from torch import Tensor


def columns(ids: Tensor, batch: int) -> Tensor:
    """(T, B) of ids (N,): column b is tokens b T to (b + 1) T - 1. A tail of N mod B is dropped."""
    rows = len(ids) // batch
    return ids[: rows * batch].view(batch, rows).t().contiguous()


def window(of: Tensor, start: int, length: int) -> tuple[Tensor, Tensor]:
    """Inputs (L, B) from row `start`, and targets (L, B), each the token after its input.

    L is `length`, or what is left: the last row is nothing's input, so L <= T - 1 - start.
    """
    end = min(start + length, len(of) - 1)
    return of[start:end], of[start + 1 : end + 1]
