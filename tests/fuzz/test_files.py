"""Ten thousand damaged npz files and images: read, or refused in three lines.

The suite tries some; `make fuzz` all.
"""

import contextlib
import io
from pathlib import Path

import pytest
from effort import draws, times

np = pytest.importorskip("numpy")
pytest.importorskip("torch")

from faulty.odd_files import in_time  # noqa: E402
from PIL import Image  # noqa: E402
from tests.fuzz.damage import damaged  # noqa: E402
from tests.fuzz.harm import harmless, is_for_people  # noqa: E402

from darts_engine.data import dataset, decoding  # noqa: E402
from darts_engine.data.dataset import Request  # noqa: E402
from darts_engine.data.sources import npz  # noqa: E402
from darts_engine.data.watch import Unwatched  # noqa: E402
from darts_engine.run.errors import DataError  # noqa: E402
from darts_engine.run.settings.config import SearchConfig  # noqa: E402

TRIES = times(150, full=10_000)
pytestmark = pytest.mark.timeout(times(120, full=1800))


def _npz(*, compressed: bool) -> bytes:
    content = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    save = np.savez_compressed if compressed else np.savez
    save(content, images=images, labels=np.arange(40) % 4, classes=np.array(list("abcd")))
    return content.getvalue()


def _image(form: str, mode: str) -> bytes:
    content = io.BytesIO()
    levels = np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(levels).convert(mode).save(content, form)
    return content.getvalue()


def test_a_damaged_npz_is_read_or_refused(tmp_path: Path) -> None:
    random = draws("npz")
    path = tmp_path / "images.npz"
    good = [_npz(compressed=compressed) for compressed in (False, True)]
    request = Request(str(path), SearchConfig().data, Unwatched())
    for content in good:
        path.write_bytes(content)
        assert len(npz.load(request).classes) == 4
    with harmless(tmp_path):
        for _ in range(TRIES):
            path.write_bytes(damaged(random.choice(good), random))
            with in_time("an npz"):
                try:
                    assert isinstance(npz.load(request), dataset.Dataset)
                except DataError as error:
                    is_for_people(error)
    assert [found.name for found in tmp_path.iterdir()] == ["images.npz"]


def test_a_damaged_image_is_read_or_refused(tmp_path: Path) -> None:
    random = draws("images")
    path = tmp_path / "image"
    good = [
        _image(form, mode)
        for form in decoding.FORMATS
        for mode in ("L", "RGB")
        if (form, mode) != ("GIF", "RGB")
    ]
    for content in good:
        path.write_bytes(content)
        assert decoding.open_image(path).size == (9, 9)
    with harmless(tmp_path):
        for _ in range(TRIES):
            path.write_bytes(damaged(random.choice(good), random))
            with in_time("an image"), contextlib.suppress(DataError):
                decoding.open_image(path)
    assert [found.name for found in tmp_path.iterdir()] == ["image"]
