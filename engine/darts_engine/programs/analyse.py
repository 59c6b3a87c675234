"""How sharp the minimum in alpha is.

`python -m darts_engine.programs.analyse CONFIG.toml --run RUN` answers in JSON.

Zela et al., 2020, arXiv 1909.09656, section 3 and figure 4; Chen and Hsieh, 2020, arXiv 2002.05283,
figure 1. Works on a checkpoint, and asks for no lock, so that a run may be looked at while it goes
on. The Hessian is that of the live eigenvalue: of the last alpha batch of the checkpoint's epoch,
in training mode. Losses off alpha are validation losses, in evaluation mode.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.compute import streams
from darts_engine.data import dataset as datasets
from darts_engine.programs.answer import answer
from darts_engine.run import events
from darts_engine.run.errors import ConfigError, NotFoundError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.state import RunState, fold_all
from darts_engine.runner import checkpoint
from darts_engine.runner.checkpoint import Manifest, refuse_foreign
from darts_engine.runner.position import Position
from darts_engine.search import curvature
from darts_engine.search.task import Search
from darts_engine.training import trained

RANDOM_DIRECTIONS = 3
READ_BYTES = 1 << 24


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """The validation loss along a straight line through alpha.

    Attributes:
        direction: what the line follows.
        distances: from alpha (L2); negative against the direction.
        losses: nats; None where not finite.
        top1: percent.
    """

    direction: str
    distances: list[float]
    losses: list[float | None]
    top1: list[float | None]


class Landscape(msgspec.Struct, frozen=True, kw_only=True):
    """The validation loss in a plane through alpha: `losses[row][column]` at (y, x)."""

    directions: list[str]
    distances: list[float]
    losses: list[list[float | None]]
    top1: list[list[float | None]]


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know around a checkpoint's alpha.

    Attributes:
        source: the checkpoint.
        epoch: it was saved in; `step` of that epoch.
        entries: of alpha, n.
        alpha_norm: L2.
        eigenvalue: the largest of the Hessian, by Lanczos' method.
        exact_eigenvalue: the same, of the whole Hessian; None where it was not computed.
        spectrum: all n eigenvalues, ascending; None unless asked for.
        images: that losses off alpha are means over.
        valid_loss: at alpha, nats; `valid_top1` in percent.
        walks: None unless asked for.
        landscape: None unless asked for.
        gap: None unless asked for.
    """

    source: str
    epoch: int
    step: int
    entries: int
    alpha_norm: float
    eigenvalue: float
    exact_eigenvalue: float | None
    spectrum: list[float] | None
    images: int
    valid_loss: float | None
    valid_top1: float | None
    walks: list[Walk] | None
    landscape: Landscape | None
    gap: events.GapMeasured | None


class Around:
    """A search whose alpha can be moved away from where the checkpoint has it, and back."""

    def __init__(self, search: Search, images: int) -> None:
        self._search, self._images = search, images
        self.alphas = list(search.supernet.alphas.parameters())
        self.here = self._flat().double().cpu()

    def _flat(self) -> Tensor:
        return torch.cat([a.detach().reshape(-1) for a in self.alphas])

    @torch.no_grad()
    def at(self, offset: Tensor) -> tuple[float | None, float | None]:
        """Validation loss and accuracy at alpha + offset (n,)."""
        self._put(self.here + offset)
        loss, top1, _ = self._search.validate(self._images)
        self._put(self.here)
        return loss, top1

    def _put(self, flat: Tensor) -> None:
        start = 0
        for alpha in self.alphas:
            alpha.copy_(flat[start : start + alpha.numel()].view_as(alpha))
            start += alpha.numel()

    def walk(self, name: str, direction: Tensor, distances: Sequence[float]) -> Walk:
        """Along a unit vector (n,)."""
        found = [self.at(distance * direction) for distance in distances]
        return Walk(
            direction=name,
            distances=[round(distance, 6) for distance in distances],
            losses=[loss for loss, _ in found],
            top1=[top1 for _, top1 in found],
        )

    def landscape(self, names: list[str], plane: Tensor, distances: Sequence[float]) -> Landscape:
        """In the plane of two unit vectors (2, n)."""
        rows = [[self.at(x * plane[0] + y * plane[1]) for x in distances] for y in distances]
        return Landscape(
            directions=names,
            distances=[round(distance, 6) for distance in distances],
            losses=[[loss for loss, _ in row] for row in rows],
            top1=[[top1 for _, top1 in row] for row in rows],
        )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        epoch: of the checkpoint; None is the newest.
        exact: compute the whole Hessian.
        spectrum: tell all its eigenvalues.
        distance: walk along lines.
        landscape: look at a plane: "", "random" or "dominant".
        gap: measure the discretisation gap.
        points: along a line on one side of alpha; a plane has 2 * points + 1 a side.
        radius: how far lines go; 0 is alpha's own length, but at least 1.
        images: that losses are means over; 0 is the whole alpha half.
    """

    epoch: int | None = None
    exact: bool = True
    spectrum: bool = False
    distance: bool = False
    landscape: str = ""
    gap: bool = False
    points: int = 5
    radius: float = 0.0
    images: int = 512


def analyse(config: SearchConfig, folder: RunFolder, asked: Asked) -> Analysis:
    """Look around a checkpoint's alpha.

    Raises:
        RunError: no such checkpoint, or no data set.
    """
    manifest, state = _checkpoint(folder, asked.epoch)
    search = Search(config, datasets.read(config.data), devices.choose(config.engine))
    refuse_foreign(folder, manifest, search.identity())
    with checkpoint.fitting(folder.checkpoints / manifest.file):
        search.load_state(state)
    position = manifest.position
    search.begin_epoch(position.epoch)
    around = Around(search, asked.images)
    seed = config.engine.seed
    with search.alpha_loss(position) as loss:
        draws = streams.generator(seed, "eigenvalue", position.epoch)
        lanczos = curvature.Curvature(loss, around.alphas).dominant(draws)
        wants_matrix = asked.exact or asked.spectrum or asked.distance
        wants_matrix = wants_matrix or asked.landscape == "dominant"
        matrix = curvature.hessian(loss, around.alphas) if wants_matrix else None
    eigenvalues = None if matrix is None else curvature.spectrum(matrix).tolist()
    radius = asked.radius or max(1.0, float(around.here.norm()))
    steps = [radius * step / asked.points for step in range(-asked.points, asked.points + 1)]
    directions = curvature.orthonormal(
        RANDOM_DIRECTIONS, len(around.here), streams.generator(seed, "directions")
    )
    walks = landscape = None
    if asked.distance:
        assert matrix is not None
        walks = [around.walk("dominant", curvature.eigenvectors(matrix, 1)[0], steps)]
        walks += [around.walk(f"random {n}", d, steps) for n, d in enumerate(directions, 1)]
        walks += _towards_the_first(around, search, folder, position, asked.points)
    if asked.landscape == "random":
        landscape = around.landscape(["random 1", "random 2"], directions[:2], steps)
    elif asked.landscape:
        assert matrix is not None
        names = ["dominant", "second"]
        landscape = around.landscape(names, curvature.eigenvectors(matrix, 2), steps)
    valid_loss, valid_top1, _ = search.validate(asked.images)
    half = search.describe()["images"]["alpha"]
    return Analysis(
        source=trained.source_of(folder, manifest),
        epoch=position.epoch,
        step=position.step,
        entries=len(around.here),
        alpha_norm=round(float(around.here.norm()), 6),
        eigenvalue=lanczos,
        exact_eigenvalue=eigenvalues[-1] if eigenvalues else None,
        spectrum=eigenvalues if asked.spectrum else None,
        images=min(asked.images, half) if asked.images else half,
        valid_loss=valid_loss,
        valid_top1=valid_top1,
        walks=walks,
        landscape=landscape,
        gap=search.measure_gap(position) if asked.gap else None,
    )


def _checkpoint(folder: RunFolder, epoch: int | None) -> tuple[Manifest, dict[str, object]]:
    """The newest checkpoint, or that of an epoch's end.

    Raises:
        NotFoundError: it is not kept; those that are, are named.
    """
    if epoch is None:
        manifest, state = trained.read(folder, "last")
        if manifest.position.epoch:
            return manifest, state
    kept = [checkpoint.read_manifest(path) for path in checkpoint.newest_first(folder)]
    for manifest in kept:
        if manifest.position.epoch == epoch and manifest.position.is_epoch_done:
            return manifest, checkpoint.load(folder, manifest)
    epochs = sorted({m.position.epoch for m in kept if m.position.is_epoch_done})
    raise NotFoundError(
        f"the run keeps no checkpoint of the end of epoch {epoch}",
        where=str(folder.checkpoints),
        remedy=f"it keeps those of {', '.join(map(str, epochs)) or 'no epoch'}; "
        "--keep N keeps more of them",
    )


def _towards_the_first(
    around: Around, search: Search, folder: RunFolder, position: Position, points: int
) -> list[Walk]:
    """The line back to the alpha of the first epoch on record, weights as they are now."""
    state: RunState = fold_all(LogReader(folder.events).read(READ_BYTES))
    epoch = min(state.epoch_alphas, default=position.epoch)
    if epoch >= position.epoch or state.started is None:
        return []
    then = search.space.raw(state.epoch_alphas[epoch].alphas)
    offsets = [
        (then[name].to(alpha) - alpha).reshape(-1) if name in then else torch.zeros(alpha.numel())
        for name, alpha in search.supernet.alphas.named_parameters()
    ]
    offset = torch.cat([o.detach().double().cpu() for o in offsets])
    length = float(offset.norm())
    if not length:
        return []
    distances = [length * step / points for step in range(points + 1)]
    name = f"to epoch {epoch}" if epoch else "to the start"
    return [around.walk(name, offset / length, distances)]


def main(arguments: list[str]) -> int:
    """Analyse and answer; the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui analyse")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--asked", required=True, help="JSON")
    options = parser.parse_args(arguments)

    def work() -> Analysis:
        config = configs.read(options.config)
        if not isinstance(config, SearchConfig):
            raise ConfigError("this run is a training: it has no alpha", remedy="name a search run")
        asked = msgspec.json.decode(options.asked, type=Asked)
        return analyse(config, RunFolder(options.run), asked)

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
