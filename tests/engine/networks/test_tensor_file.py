"""Our writer and reader of safetensors, against the package of that name where it is."""

import json

import pytest
import torch

from darts_engine.networks import tensor_file
from darts_engine.run.errors import CheckpointError

TENSORS = {
    "byte": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "matrix": torch.arange(6.0).view(2, 3),
    "half": torch.tensor([0.5, -2.0], dtype=torch.bfloat16),
    "number": torch.tensor(7),
    "empty": torch.empty(0, 4),
    "turned": torch.arange(6.0).view(2, 3).t(),
}


def test_what_is_written_is_read_back_with_its_metadata() -> None:
    read = tensor_file.decode(tensor_file.encode(TENSORS, {"a": "b"}))
    assert read.metadata == {"a": "b"}
    assert read.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(read.tensors[name], tensor), name
        assert read.tensors[name].dtype == tensor.dtype


def test_a_tied_matrix_is_stored_once() -> None:
    matrix = torch.rand(50, 20)
    content = tensor_file.encode({"encoder": matrix, "decoder": matrix.clone()}, {})
    assert len(content) < 1.5 * matrix.numel() * 4
    read = tensor_file.decode(content)
    assert torch.equal(read.tensors["decoder"], matrix)
    assert read.metadata == {"shared": '{"decoder": "encoder"}'}


def test_the_package_of_the_format_reads_the_same(tmp_path) -> None:
    safetensors = pytest.importorskip("safetensors")
    load = pytest.importorskip("safetensors.torch")
    file = tmp_path / "model.safetensors"
    file.write_bytes(tensor_file.encode(TENSORS, {"a": "b"}))
    for name, tensor in load.load_file(file).items():
        assert torch.equal(tensor, TENSORS[name]), name
    with safetensors.safe_open(file, "pt") as opened:
        assert set(opened.keys()) == TENSORS.keys()
        assert opened.metadata() == {"a": "b"}
    theirs = load.save({"matrix": TENSORS["matrix"], "byte": TENSORS["byte"]})
    assert torch.equal(tensor_file.decode(theirs).tensors["matrix"], TENSORS["matrix"])


def _file(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        _file([]),
        _file({"a": 1}),
        _file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        _file({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}),
        _file({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        _file({"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        _file({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, bytes(2)),
        _file({"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}, bytes(2)),
        _file({"__metadata__": {"shared": '{"a": "b"}'}}),
        _file({"__metadata__": "x"}),
        _file(b'{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": {}}'),
        _file(b"[" * 100_000),
        _file(b"\xff\xfe{}"),
    ],
    ids=range(15),
)
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="a file of safetensors, and damaged") as refused:
        tensor_file.decode(content, "here")
    assert refused.value.where == "here"


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    whole = tensor_file.encode(TENSORS, {})
    for end in range(0, len(whole), 7):
        with pytest.raises(CheckpointError):
            tensor_file.decode(whole[:end])
