"""Where a run stands."""

import msgspec


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands: after `step` of `epoch` (both from 1; 0 before the first).

    `is_epoch_done` tells whether the epoch's validation and its events are behind it too.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    is_epoch_done: bool = True
