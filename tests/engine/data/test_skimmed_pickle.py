"""Skimming pickles: what comes out, and that nothing of the file is ever run."""

import bz2
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from darts_engine.data.files.pickle_machine import PickleError
from darts_engine.data.files.skimmed_pickle import skim

Pair = collections.namedtuple("Pair", "left right")


def skimmed(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    return skim(path)


@pytest.mark.parametrize("protocol", range(1, 6))
def test_plain_values_come_out_as_they_went_in(tmp_path: Path, protocol: int) -> None:
    value = {
        "a": [1, 2.5, None, True, ("x", 7), -3, 2**40],
        ("cifar10", 777): {"deep": {"er": [[], {}, ()]}},
        "bytes": b"\x00\xff",
    }
    assert skimmed(tmp_path / "f", pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(1, 6))
def test_what_is_foreign_does_not_hide_the_numbers_beside_it(tmp_path: Path, protocol: int) -> None:
    value = collections.OrderedDict(
        number=np.float64(91.25),
        single=np.float32(0.5),
        pair=Pair(1, 2),
        some={1, 2},
        weights=torch.ones(3).tolist(),
        nested=collections.OrderedDict(b=1),
    )
    found = skimmed(tmp_path / "f", pickle.dumps(value, protocol))
    assert (found["number"], found["single"], found["nested"]) == (91.25, 0.5, {"b": 1})


@pytest.mark.parametrize("is_zip", [True, False])
def test_files_of_torch_old_and_new_with_tensors_in_them(tmp_path: Path, is_zip: bool) -> None:
    path = tmp_path / "f.pth"
    value = {"meta": ["x"], "tensor": torch.ones(2), "figure": 12.5}
    torch.save(value, path, _use_new_zipfile_serialization=is_zip)
    found = skim(path)
    assert (found["meta"], found["figure"]) == (["x"], 12.5)


def test_curves_are_dropped_and_of_accuracies_the_last_epoch_stays(tmp_path: Path) -> None:
    curve = {epoch: float(epoch) for epoch in range(200)}
    accuracies = {f"x-valid@{epoch}": epoch / 4 for epoch in range(200)} | {"ori-test@9": 1.0}
    result = {"train_losses": curve, "eval_times": dict(curve), "eval_acc1es": accuracies}
    found = skimmed(tmp_path / "f", bz2.compress(pickle.dumps({"all": result, "epochs": 200}, 4)))
    assert found == {
        "all": {"eval_acc1es": {"x-valid": 199 / 4, "ori-test": 1.0}},
        "epochs": 200,
    }


class Evil:
    """A pickle that would write a file if it were loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "run")


@pytest.mark.parametrize("protocol", range(1, 6))
def test_nothing_in_the_file_is_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "victim"
    data = pickle.dumps({"evil": Evil(victim), "figure": 1.5}, protocol)
    assert skimmed(tmp_path / "f", data)["figure"] == 1.5
    assert not victim.exists()
    pickle.loads(data)
    assert victim.exists(), "the file would have done it"


@pytest.mark.parametrize("pack", [bytes, bz2.compress], ids=["plain", "bz2"])
def test_a_damaged_file_is_told_at_every_length(tmp_path: Path, pack: Any) -> None:
    whole = pack(pickle.dumps({"a": [1.0, {"b": "c" * 300}], ("x", 1): (2, 3)}, 2))
    for length in range(0, len(whole) - 1, 3):
        with pytest.raises(PickleError):
            skimmed(tmp_path / "f", whole[:length])


def test_any_changed_byte_gives_a_value_or_a_skim_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": [1.0, {"b": "cc"}], ("x", 1): (2, np.float64(3))}, 2)
    for at in range(len(whole)):
        for new in (0, ord("("), ord("u"), ord("R"), 255):
            broken = whole[:at] + bytes([new]) + whole[at + 1 :]
            try:
                skimmed(tmp_path / "f", broken)
            except PickleError:
                continue


def test_who_waits_hears_how_far_it_is_and_may_end_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(pickle.dumps([0.5] * 10))

    def end(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        skim(path, end)
