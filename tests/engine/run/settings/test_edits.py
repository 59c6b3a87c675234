"""What may be edited in a config between two engines of a run."""

import pytest

from darts_engine.run.settings import edits as rules
from darts_engine.run.settings.config import KINDS, override, settings, to_plain
from darts_engine.run.settings.edits import COMPARED_BY_THE_TASK, PLACE, PLAN, REPORTED, edits

ALLOWED = PLACE | PLAN


def test_every_setting_that_the_rules_name_exists_and_has_one_rule() -> None:
    known = {setting.key for kind in KINDS for setting in settings(kind)}
    assert known >= ALLOWED | COMPARED_BY_THE_TASK | REPORTED
    assert not PLACE & PLAN
    assert REPORTED <= PLACE


# Sections that hold nothing but what decides the figures.
@pytest.mark.parametrize("section", ["space", "method", "alpha"])
def test_what_decides_a_search_is_never_free(section: str) -> None:
    assert not [key for key in ALLOWED if key.startswith(f"{section}.")]


@pytest.mark.parametrize(
    ("kind", "key", "value", "is_allowed", "changes_results"),
    [
        ("search", "weights.lr", 0.9, False, False),
        ("search", "engine.seed", 9, False, False),
        ("search", "search.epochs", 99, True, True),
        ("train", "weights.ema", 0.9, True, True),
        ("train", "train.label_smoothing", 0.1, False, False),
        ("train", "checkpoint.keep", 9, True, False),
        ("train", "data.batch_size", 8, False, False),
    ],
)
def test_an_edit_is_found_and_judged(
    kind: str, key: str, value: object, is_allowed: bool, changes_results: bool
) -> None:
    before = KINDS[kind]()
    (edit,) = edits(to_plain(before), to_plain(override(before, {key: value})))
    assert (edit.key, edit.now) == (key, value)
    assert (edit.is_allowed, edit.changes_results) == (is_allowed, changes_results)
    assert str(edit).startswith(f"{key} was ")
    assert not edits(to_plain(before), to_plain(before))


def test_settings_of_another_version_are_left_out() -> None:
    now = to_plain(KINDS["search"]())
    before = to_plain(KINDS["search"]())
    # An earlier version did not know it: what it did then is filled in.
    del before["method"]["hessian_decay"]
    before["search"]["dreams"] = True
    assert edits(before, now) == []
    assert edits({}, now) == []
    before["method"] = 3
    assert edits(before, now) == []


def test_the_genotype_is_compared_by_the_task_which_knows_its_spellings() -> None:
    before, now = to_plain(KINDS["train"]()), to_plain(KINDS["train"]())
    now["network"]["genotype"] = "DARTS_V2"
    assert rules.edits(before, now) == []
