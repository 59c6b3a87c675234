"""Images whose disk hangs or fails: read once more, by another thread, and then the run ends."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from data_kit import jpeg_tree  # noqa: E402
from PIL import Image  # noqa: E402

from darts_engine.data import dataset as datasets  # noqa: E402
from darts_engine.data import decoders, streaming  # noqa: E402
from darts_engine.data.batches import Batches, augmentation  # noqa: E402
from darts_engine.data.decoding import open_image  # noqa: E402
from darts_engine.run.errors import DataError, ExitCode  # noqa: E402
from darts_engine.run.settings.config import DataSection  # noqa: E402

CPU = torch.device("cpu")


class Notes:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def note(self, message: str, level: str = "info") -> None:
        if level == "warning":
            self.warnings.append(message)

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        pass


class Disk:
    """Stands in for `open_image`: the first reads of one file fail, or hang until `wake`."""

    def __init__(self, hangs: int = 0, fails: int = 0) -> None:
        self.file, self._hangs, self._fails = "", hangs, fails
        self.wake = threading.Event()

    def open_image(self, path: str, white: float = 0) -> Image.Image:
        if path == self.file and self._hangs:
            self._hangs -= 1
            self.wake.wait()
        if path == self.file and self._fails:
            self._fails -= 1
            raise DataError("the image cannot be read: Input/output error", where=path)
        return open_image(path, white)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "STUCK_S", 0.2)
    monkeypatch.setattr(decoders, "GIVE_UP_S", 0.3)


def batches_on(tree: Path, notes: Notes, workers: int = 2) -> tuple[Batches, Any]:
    data = DataSection(dataset=f"imagenet:{tree}", image_size=24, workers=workers)
    found = datasets.read(data, notes)
    return Batches(found.train, augmentation(data, found, CPU), 5, 7, "train"), found


def images_of(batches: Batches) -> torch.Tensor:
    return torch.cat([batches.batch(1, step)[0] for step in range(1, batches.steps + 1)])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_an_image_that_cannot_be_read_once_is_read_again_and_changes_nothing(
    fault: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg_tree(tmp_path)
    expected = images_of(batches_on(tmp_path, Notes(), workers)[0])
    notes, disk = Notes(), Disk(**{fault: 1})
    monkeypatch.setattr(streaming, "open_image", disk.open_image)
    batches, found = batches_on(tmp_path, notes, workers)
    disk.file = found.train.paths[3]
    try:
        assert torch.equal(images_of(batches), expected)
        (said,) = notes.warnings
        assert disk.file in said
        assert "read again" in said
    finally:
        disk.wake.set()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("fault", "words"), [("hangs", "did not answer"), ("fails", "read")])
def test_an_image_that_cannot_be_read_again_ends_the_run_and_is_named(
    fault: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg_tree(tmp_path)
    disk = Disk(**{fault: 2})
    monkeypatch.setattr(streaming, "open_image", disk.open_image)
    batches, found = batches_on(tmp_path, Notes())
    disk.file = found.train.paths[3]
    try:
        with pytest.raises(DataError, match=words) as caught:
            images_of(batches)
        assert caught.value.where == disk.file
        assert caught.value.exit_code == ExitCode.REFUSED
    finally:
        disk.wake.set()


def test_the_threads_end_with_their_pool(tmp_path: Path) -> None:
    jpeg_tree(tmp_path)
    before = set(threading.enumerate())
    batches, found = batches_on(tmp_path, Notes(), 3)
    batches.batch(1, 1)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    del batches, found
    deadline = time.monotonic() + 10
    while any(thread.is_alive() for thread in threads):
        assert time.monotonic() < deadline
        time.sleep(0.01)
