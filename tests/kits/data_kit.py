"""Small data sets in the true formats of the published ones, written byte by byte."""

import contextlib
import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from darts_engine.data.files import published
from darts_engine.data.files.published import File


def pictures(count: int, seed: int = 0, side: int = 32) -> np.ndarray:
    """(N, 3, side, side) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def binary_batch(images: np.ndarray, *labels: np.ndarray) -> bytes:
    """CIFAR's binary version: label bytes, then the planes, image after image."""
    columns = [np.asarray(column, np.uint8)[:, None] for column in labels]
    return np.concatenate([*columns, images.reshape(len(images), -1)], 1).tobytes()


def python2_batch(images: np.ndarray, **labels: np.ndarray) -> bytes:
    """CIFAR's python version, with the opcodes that Python 2's cPickle wrote."""
    raw = images.reshape(len(images), -1)

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    kind = (
        b"cnumpy\ndtype\n" + text("u1") + number(0) + number(1) + b"\x87R(" + number(3) + text("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + number(0) + b"tb"
    )  # fmt: skip
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\n" + number(0) + b"\x85"
        + text("b") + b"\x87R(" + number(1) + number(len(raw)) + number(raw.shape[1]) + b"\x86"
        + kind + b"\x89T" + struct.pack("<I", raw.nbytes) + raw.tobytes() + b"tb"
    )  # fmt: skip
    items = text("data") + b"q\x02" + array
    for name, values in labels.items():
        items += text(name) + b"](" + b"".join(number(int(v)) for v in values) + b"e"
    return b"\x80\x02}q\x00(" + items + b"u."


def archive(path: Path, members: dict[str, bytes]) -> bytes:
    """A .tar.gz of files by name; its bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = gzip.compress(buffer.getvalue(), mtime=0)
    path.write_bytes(data)
    return data


def published_as(file: File, data: bytes, **changes: object) -> File:
    """`file` as if its authors had published these bytes."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return replace(file, md5=md5, size=len(data), **changes)  # type: ignore[arg-type]


def mat_file(*, compressed: bool = True, **arrays: np.ndarray) -> bytes:
    """A MATLAB file of version 5."""
    classes = {"uint8": (9, 2), "float64": (6, 9)}

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    out = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    for name, array in arrays.items():
        array_class, kind = classes[str(array.dtype)]
        short = struct.pack("<HH", 1, len(name)) + name.encode().ljust(4, b"\0")
        body = element(6, struct.pack("<II", array_class, 0))
        body += element(5, np.array(array.shape, "<i4").tobytes())
        body += short + element(kind, array.tobytes(order="F"))
        matrix = element(14, body)
        if compressed:
            packed = zlib.compress(matrix)
            matrix = struct.pack("<II", 15, len(packed)) + packed
        out += matrix
    return out


def jpeg_tree(root: Path, train: int = 6, val: int = 2) -> None:
    """Two classes of JPEGs of different sizes, one of them grey, laid out like ImageNet."""
    for part, count in (("train", train), ("val", val)):
        for number, name in enumerate(("n01440764", "n01443537")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                size = (40 + 7 * i, 60 - 3 * i)
                image = Image.fromarray(pictures(1, 100 * number + i, 64)[0].transpose(1, 2, 0))
                mode = "L" if i == 1 else "RGB"
                image.resize(size).convert(mode).save(folder / f"{name}_{i}.JPEG", quality=95)


class Heard:
    """A watch that remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def note(self, message: str, level: str = "info") -> None:
        self.notes.append((level, message))

    def fetched(self, *_: object) -> None:
        raise AssertionError

    @property
    def text(self) -> str:
        """All messages."""
        return "\n".join(message for _, message in self.notes)


def picture(seed: int) -> Image.Image:
    """A colour image of 6x6 pixels."""
    return Image.fromarray(pictures(1, seed, 6)[0].transpose(1, 2, 0))


def fill(root: Path, count: int, classes: Sequence[str] = ("cat", "dog"), first: int = 0) -> None:
    """A folder per class, with `count` pictures of the seeds from `first`, + 100, + 200 ..."""
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            picture(first + 100 * place + k).save(root / name / f"{k}.png")


def serve_slowly() -> None:
    """For `prepare`: every published file comes from a server that never gets to its end."""
    from darts_engine.data.sources import cifar

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(10))
                    threading.Event().wait(0.02)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/x"
    slow = published_as(published.CIFAR10_BINARY, bytes(1 << 20), mirrors=(), official=url)
    for version in cifar.CIFAR10.versions:
        object.__setattr__(version, "file", slow)
