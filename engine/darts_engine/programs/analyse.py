"""Measures how sharp the minimum in alpha is.

`python -m darts_engine.programs.analyse CONFIG.toml --run RUN --request JSON` writes an `Analysis`
as JSON.

Zela et al., 2020, arXiv 1909.09656, section 3 and figure 4; Chen and Hsieh, 2020, arXiv 2002.05283,
figure 1. It reads a checkpoint without taking the run's lock, so a run may be analysed while it
goes on. The Hessian is that of the eigenvalue in `health_measured`: of the loss on the last alpha
batch of the checkpoint's epoch, in training mode. Losses around alpha are validation losses, in
evaluation mode.
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
from darts_engine.run.answers import Analysis, AnalysisRequest, Landscape, Walk
from darts_engine.run.errors import ConfigError, NotFoundError
from darts_engine.run.folder import RunFolder
from darts_engine.run.log import LogReader
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.run.state import RunState, fold_all
from darts_engine.runner import checkpoint
from darts_engine.runner.checkpoint import Manifest, refuse_foreign
from darts_engine.runner.position import Position
from darts_engine.search import curvature
from darts_engine.search.task import Search
from darts_engine.training import trained

RANDOM_DIRECTIONS = 3
READ_BYTES = 1 << 24


class Neighbourhood:
    """Validation losses of a search around the alpha of its checkpoint.

    Args:
        search: its alpha is moved for every loss, and moved back.
        images: images per loss; 0 is the whole alpha half.

    Attributes:
        alphas: the alpha matrices, n entries together.
        centre: (n,) float64, alpha of the checkpoint.
    """

    def __init__(self, search: Search, images: int) -> None:
        self._search, self._images = search, images
        self.alphas = list(search.supernet.alphas.parameters())
        self.centre = self._flat().double().cpu()

    def _flat(self) -> Tensor:
        return torch.cat([a.detach().reshape(-1) for a in self.alphas])

    @torch.no_grad()
    def at(self, offset: Tensor) -> tuple[float | None, float | None]:
        """Validation loss and accuracy at alpha + offset (n,)."""
        self._put(self.centre + offset)
        loss, top1, _ = self._search.validate(self._images)
        self._put(self.centre)
        return loss, top1

    def _put(self, flat: Tensor) -> None:
        start = 0
        for alpha in self.alphas:
            alpha.copy_(flat[start : start + alpha.numel()].view_as(alpha))
            start += alpha.numel()

    def walk(self, name: str, direction: Tensor, distances: Sequence[float]) -> Walk:
        """Losses along a unit vector (n,)."""
        found = [self.at(distance * direction) for distance in distances]
        return Walk(
            direction=name,
            distances=[round(distance, 6) for distance in distances],
            losses=[loss for loss, _ in found],
            top1=[top1 for _, top1 in found],
        )

    def landscape(self, names: list[str], plane: Tensor, distances: Sequence[float]) -> Landscape:
        """Losses in the plane of two unit vectors (2, n)."""
        rows = [[self.at(x * plane[0] + y * plane[1]) for x in distances] for y in distances]
        return Landscape(
            directions=names,
            distances=[round(distance, 6) for distance in distances],
            losses=[[loss for loss, _ in row] for row in rows],
            top1=[[top1 for _, top1 in row] for row in rows],
        )


def analyse(config: SearchConfig, folder: RunFolder, request: AnalysisRequest) -> Analysis:
    """Measure curvature and losses around a checkpoint's alpha.

    Raises:
        RunError: there is no such checkpoint, or no data set.
    """
    manifest, state = _checkpoint(folder, request.epoch)
    search = Search(config, datasets.read(config.data), devices.choose(config.engine))
    refuse_foreign(folder, manifest, search.identity())
    with checkpoint.fitting(folder.checkpoints / manifest.file):
        search.load_state(state)
    position = manifest.position
    search.begin_epoch(position.epoch)
    around = Neighbourhood(search, request.images)
    seed = config.engine.seed
    with search.alpha_loss(position) as loss:
        draws = streams.generator(seed, "eigenvalue", position.epoch)
        lanczos = curvature.Curvature(loss, around.alphas).dominant(draws)
        wants_matrix = request.exact or request.spectrum or request.distance
        wants_matrix = wants_matrix or request.landscape == "dominant"
        matrix = curvature.hessian(loss, around.alphas) if wants_matrix else None
    eigenvalues = None if matrix is None else curvature.spectrum(matrix).tolist()
    radius = request.radius or max(1.0, float(around.centre.norm()))
    steps = [radius * step / request.points for step in range(-request.points, request.points + 1)]
    directions = curvature.orthonormal(
        RANDOM_DIRECTIONS, len(around.centre), streams.generator(seed, "directions")
    )
    walks = landscape = None
    if request.distance:
        assert matrix is not None
        walks = [around.walk("dominant", curvature.eigenvectors(matrix, 1)[0], steps)]
        walks += [around.walk(f"random {n}", d, steps) for n, d in enumerate(directions, 1)]
        walks += _walk_to_first(around, search, folder, position, request.points)
    if request.landscape == "random":
        landscape = around.landscape(["random 1", "random 2"], directions[:2], steps)
    elif request.landscape:
        assert matrix is not None
        names = ["dominant", "second"]
        landscape = around.landscape(names, curvature.eigenvectors(matrix, 2), steps)
    valid_loss, valid_top1, _ = search.validate(request.images)
    half = search.describe()["images"]["alpha"]
    return Analysis(
        source=trained.source_of(folder, manifest),
        epoch=position.epoch,
        step=position.step,
        entries=len(around.centre),
        alpha_norm=round(float(around.centre.norm()), 6),
        eigenvalue=lanczos,
        exact_eigenvalue=eigenvalues[-1] if eigenvalues else None,
        spectrum=eigenvalues if request.spectrum else None,
        images=min(request.images, half) if request.images else half,
        valid_loss=valid_loss,
        valid_top1=valid_top1,
        walks=walks,
        landscape=landscape,
        gap=search.measure_gap(position) if request.gap else None,
    )


def _checkpoint(folder: RunFolder, epoch: int | None) -> tuple[Manifest, dict[str, object]]:
    """The newest checkpoint, or that of an epoch's end.

    Raises:
        NotFoundError: it is not kept. Choose one of the epochs that the message lists.
    """
    if epoch is None:
        manifest, state = trained.read(folder, "last")
        if manifest.position.epoch:
            return manifest, state
    kept = [checkpoint.read_manifest(path) for path in checkpoint.of_this_run(folder)]
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


def _walk_to_first(
    around: Neighbourhood, search: Search, folder: RunFolder, position: Position, points: int
) -> list[Walk]:
    """The line to alpha of the first epoch in the log; the network weights stay."""
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
    """Analyse and write the answer. Returns: the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui analyse")
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--request", required=True, help="JSON")
    options = parser.parse_args(arguments)

    def work() -> Analysis:
        config = configs.read(options.config)
        if not isinstance(config, SearchConfig):
            raise ConfigError("this run is a training: it has no alpha", remedy="name a search run")
        if reads_text(config):
            raise ConfigError(
                "the losses around an alpha are measured on images only",
                where=f"space {config.space.space}",
                remedy="--hessian-every 1 in the search reports its eigenvalues",
            )
        request = msgspec.json.decode(options.request, type=AnalysisRequest)
        return analyse(config, RunFolder(options.run), request)

    return answer(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
