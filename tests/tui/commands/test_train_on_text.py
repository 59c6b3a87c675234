"""`darts-tui train` with a recurrent genotype, which decides; files and options come on top."""

import pytest

from darts_engine.run.architecture.text import published
from darts_engine.run.folder import RunFolder

V2 = "RNN_DARTS_V2"


@pytest.fixture
def trained(darts, engine, runs):
    """The config of a training that was started with these options."""
    engine("finish")

    def start(*options):
        result = darts("train", "--name", "one", "--progress", "quiet", *options)
        assert result.code == 0, result.err
        return RunFolder(runs / "one").read_config()

    return start


def test_a_published_recurrent_cell_is_trained_on_the_bundled_text(trained):
    made = trained("--genotype", V2)
    assert made.network.genotype == published()[V2].genotype.text()
    assert (made.network.network, made.data.dataset) == ("recurrent", "verses")
    assert (made.weights.momentum, made.weights.grad_clip) == (0.0, 0.25)


def test_a_file_of_a_few_settings_lies_above_what_the_network_brings(trained, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'kind = "train"\n[weights]\nlr = 3.0\ngrad_clip = 1.0\n[text]\nwidth = 50\n'
    )
    made = trained("--config", "mine.toml", "--genotype", V2, "--grad-clip", 0.5)
    assert (made.weights.lr, made.weights.grad_clip, made.text.width) == (3.0, 0.5, 50)
    assert (made.weights.schedule, made.data.dataset) == ("constant", "verses")


def test_the_genotype_of_a_file_decides_as_well_and_a_runs_config_repeats_it(
    trained, tmp_path, runs
):
    (tmp_path / "mine.toml").write_text(f'kind = "train"\n[network]\ngenotype = "{V2}"\n')
    made = trained("--config", "mine.toml", "--width", 40)
    assert (made.network.network, made.text.width) == ("recurrent", 40)
    (runs / "one").rename(runs / "first")
    assert trained("--config", runs / "first" / "config.toml") == made


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--genotype", V2, "--network", "wrn-16-8"), "wrn-16-8 has no genotype"),
        (("--genotype", V2, "--network", "genotype"), "a recurrent cell, which reads text"),
        (("--genotype", "DARTS_V2", "--network", "recurrent"), "takes a recurrent genotype"),
        (("--genotype", "DARTS_V2", "--width", 9), "--width is of text"),
        (("--genotype", V2, "--sam-rho", 0.1), "--sam-rho has no meaning on text"),
        (("--genotype", V2, "--dataset", "cifar10"), "reads text, and 'cifar10' is none"),
    ],
)
def test_what_does_not_go_together_is_refused_before_there_is_a_run(darts, runs, options, said):
    result = darts("train", *options)
    assert result.code == 2
    assert said in result.err
    assert len(result.error_lines) <= 3
    assert not runs.exists() or not list(runs.iterdir())
