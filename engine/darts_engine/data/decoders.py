"""Threads that decode images ahead of time, and what happens when one of them hangs or fails.

A file on a network disk may not answer for a while, or fail once. An image that cannot be read is
read once more. One that is waited for while no thread finishes any image is taken for stuck after
`STUCK_S`: it is said so, another thread takes the place of the stuck one, and the image is read
again by it. After `GIVE_UP_S` more the run ends; its checkpoints are whole. An image is a function
of its file and its box, so reading it again changes nothing.
"""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from darts_engine.data.watch import Watch
from darts_engine.run.errors import DataError
from darts_engine.run.threads import num_threads

T = TypeVar("T")

STUCK_S = 8.0
GIVE_UP_S = 60.0
# How often a thread that waits for an image looks whether others are finished.
LOOK_S = 1.0

Work = tuple[Callable[[], object], "Future[object]"]


class Decoders:
    """A pool of decoding threads. They end with it, or with the engine.

    Args:
        workers: threads; 0 means one more than torch's threads.
        watch: is told of what is read again.
    """

    def __init__(self, workers: int, watch: Watch) -> None:
        self._workers, self._watch = workers or num_threads(0) + 1, watch
        self._progress = _Progress()
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads = 0
        weakref.finalize(self, _dismiss, self._queue)

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Have a thread do the work soon."""
        while self._threads < self._workers:
            self._add_thread()
        future: Future[T] = Future()
        self._queue.put((work, future))  # type: ignore[arg-type]
        return future

    def wait(self, future: "Future[T]", work: Callable[[], T], file: str) -> T:
        """The result of work that was submitted, or of doing it once more.

        Raises:
            DataError: the image cannot be read, or reading it does not end; names its file.
        """
        try:
            return self._result(future, STUCK_S)
        except DataError as error:
            self._watch.note(f"{error.what}: {file} is read again", "warning")
        except TimeoutError:
            what = f"no image could be read for {STUCK_S:.0f} s, and {file} is waited for"
            self._watch.note(f"{what}: it is read again", "warning")
            self._add_thread()
        again: Future[T] = Future()
        # Not through the queue: what waits there may be stuck too.
        _start(lambda: _do(work, again, self._progress))  # type: ignore[arg-type]
        try:
            return self._result(again, GIVE_UP_S)
        except TimeoutError:
            raise DataError(
                f"an image cannot be read: its disk did not answer for {GIVE_UP_S + STUCK_S:.0f} s",
                where=file,
                remedy="'resume' goes on from the last checkpoint when the disk is there again",
            ) from None

    def _result(self, future: "Future[T]", patience_s: float) -> T:
        """The result; TimeoutError if there is none, and no thread has finished any work."""
        began = time.monotonic()
        while True:
            try:
                return future.result(min(LOOK_S, patience_s))
            except TimeoutError:
                if future.done():
                    return future.result()
                if time.monotonic() - max(began, self._progress.last_s) >= patience_s:
                    raise

    def _add_thread(self) -> None:
        queue, progress = self._queue, self._progress
        self._threads += 1
        # Without a reference to this pool, which ends its threads when it is collected.
        _start(lambda: _work_off(queue, progress))


class _Progress:
    """When any thread last finished any work; seconds of the monotonic clock."""

    last_s = 0.0


def _start(run: Callable[[], object]) -> None:
    threading.Thread(target=run, name="decode", daemon=True).start()


def _work_off(queue: "SimpleQueue[Work | None]", progress: _Progress) -> None:
    while (item := queue.get()) is not None:
        _do(*item, progress)
        # The thread must not keep the last image while it waits.
        del item
    queue.put(None)


def _do(work: Callable[[], object], future: "Future[object]", progress: _Progress) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  raised where the result is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
    progress.last_s = time.monotonic()


def _dismiss(queue: "SimpleQueue[Work | None]") -> None:
    # Each thread that ends passes it on to the next.
    queue.put(None)
