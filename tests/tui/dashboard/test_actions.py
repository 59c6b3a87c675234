"""The table of actions fits the app and itself."""

import pytest
from textual.actions import parse

from darts_tui.dashboard.actions import ACTIONS, TABS
from darts_tui.dashboard.app import DashboardApp
from darts_tui.dashboard.screens.palette import entries


def test_no_name_and_no_key_stands_for_two_actions():
    names = [action.name for action in ACTIONS]
    keys = [key for action in ACTIONS for key in action.keys.split(",")]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "call", [action.call for action in ACTIONS] + [entry.call for entry in entries(TABS, ["dark"])]
)
def test_the_app_has_a_method_for_every_action(call):
    _, name, _ = parse(call)
    assert callable(getattr(DashboardApp, f"action_{name}"))
