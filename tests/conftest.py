"""What all tests share."""

import os
from pathlib import Path

import pytest

# Before anything imports torch: tests run side by side, and one thread each is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty folder for run folders."""
    path = tmp_path / "runs"
    path.mkdir()
    return path
