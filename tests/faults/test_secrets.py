"""A run records what it needs of the environment, and no secret that happens to be there."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch")

from engine_kit import Engine, events_in, make_run, of_type

from darts_engine.run import events
from darts_engine.run.errors import ExitCode
from darts_engine.search.task import Search

SECRETS = {
    name: f"s3cret-of-{name.lower()}-0123456789"
    for name in ("FOO_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "DARTS_TUI_DATA_TOKEN")
}
# What a checkpoint says of the machine that made it.
TOLD = {"torch", "device", "threads", "processes", "machine"}


def keep_secrets(*, fail: bool) -> None:
    """For `prepare`: secrets in the environment of an engine, which fails if wanted."""
    os.environ.update(SECRETS)
    if fail:
        Search.step = _fail  # type: ignore[method-assign]


def _fail(self: Search, epoch: int, number: int) -> int:
    token = os.environ["FOO_TOKEN"]
    raise ValueError(f"a fault with {len(token)} secret characters at hand")


def everything_in(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("fail", [False, True], ids=["to its end", "into a fault"])
def test_no_value_of_the_environment_is_in_the_run_folder(
    runs: Path, start: Callable[..., Engine], fail: bool
) -> None:
    run = make_run(runs, "quiet", images=40, data__batch_size=8, search__epochs=1)
    code = start(run, partial(keep_secrets, fail=fail)).wait()
    assert code == (ExitCode.FAILED if fail else ExitCode.OK)
    last = events_in(run)[-1]
    assert isinstance(last, events.RunFailed if fail else events.RunFinished)
    found = everything_in(run.path)
    assert {"config.toml", "events.jsonl", "engine.json"} <= {Path(name).name for name in found}
    for name, content in found.items():
        for variable, secret in SECRETS.items():
            assert secret.encode() not in content, f"{variable} is in {name}"
            assert variable.encode() not in content, f"the name {variable} is in {name}"
    for manifest in run.checkpoints.glob("*.json"):
        assert set(msgspec.json.decode(manifest.read_bytes())["environment"]) == TOLD
    (begun,) = of_type(events_in(run), events.RunStarted)
    assert set(begun.versions) <= {"python", "torch", "cuda"}
