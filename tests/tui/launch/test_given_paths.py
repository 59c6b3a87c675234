"""Paths that are missing are refused before a run is made, also with --detach."""

import os

import pytest


@pytest.mark.parametrize(
    ("options", "first"),
    [
        (("--dataset", "npz:nosuch.npz"), "npz: there is nothing at this path"),
        (("--dataset", "npz:"), "npz: needs a path"),
        (("--dataset", "npz:photos"), "npz: the path is a folder"),
        (("--dataset", "folder:nosuch"), "folder: there is nothing at this path"),
        (("--dataset", "folder:here.npz"), "folder: the path is a file"),
        (("--dataset", "imagenet:nosuch"), "imagenet: there is nothing at this path"),
        (("--dataset", "npy:here.npz,nosuch.npy"), "npy: there is nothing at this path"),
        (("--dataset", "folder:photos", "--labels", "no.csv"), "there is no such table of labels"),
        (("--labels", "here.npz"), "digits takes no table of labels"),
        (("--dataset", f"npz:{'x' * 5000}"), "npz: there is nothing at this path"),
    ],
)
@pytest.mark.parametrize("command", ["search", "train"])
def test_what_is_missing_is_refused_before_there_is_a_run(
    darts, engine, runs, tmp_path, command, options, first
):
    engine("finish")
    (tmp_path / "photos").mkdir()
    (tmp_path / "here.npz").touch()
    genotype = ("--genotype", "DARTS_V2") if command == "train" else ()
    result = darts(command, *genotype, *options, "--detach")
    assert (result.code, result.out, result.error_lines[0]) == (4, "", first)
    assert len(result.error_lines) <= 3
    assert list(runs.iterdir()) == []


def test_a_name_beside_it_is_hinted_at(darts, tmp_path):
    (tmp_path / "photos.npz").touch()
    result = darts("search", "--dataset", "npz:photo.npz")
    assert result.error_lines[1:] == [str(tmp_path / "photo.npz"), "did you mean 'photos.npz'?"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(darts, tmp_path):
    (tmp_path / "mine.npz").touch(mode=0)
    result = darts("search", "--dataset", "npz:mine.npz")
    assert result.error_lines[0] == "npz: you may not read it"


def test_a_missing_genotype_is_refused_before_there_is_a_run(darts, runs):
    result = darts("train", "--genotype", "nosuch.txt", "--detach")
    assert (result.code, result.out) == (5, "")
    assert list(runs.iterdir()) == []


def test_tables_that_are_missing_are_refused(darts, runs):
    result = darts("search", "--space", "nasbench201", "--tables", "nosuch", "--detach")
    assert (result.code, result.error_lines[0]) == (5, "--tables: there is nothing at this path")
    assert list(runs.iterdir()) == []
