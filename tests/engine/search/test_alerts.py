"""Alerts come once when something begins, and again after it was over."""

from tests.engine.methods.test_stop import evidence

from darts_engine.methods.stopping.rules import EigenvalueRule
from darts_engine.runner.position import Position
from darts_engine.search.alerts import Alerts


def codes(alerts: Alerts, epoch: int, eigenvalue: float | None = None, entropy: float = 2.0):
    position = Position(epoch=epoch, step=1, global_step=epoch)
    raised = alerts.check(position, evidence(epoch, eigenvalue), {"normal": entropy, "reduce": 2.0})
    return [alert.code for alert in raised]


def test_an_entropy_below_the_limit_is_reported_once_until_it_was_above_again():
    alerts = Alerts(None, entropy_alert=1.0)
    reported = [
        codes(alerts, epoch, entropy=h) for epoch, h in enumerate([2, 0.9, 0.8, 1.5, 0.7], 1)
    ]
    assert reported == [[], ["entropy"], [], [], ["entropy"]]


def test_no_limit_means_no_alert():
    assert codes(Alerts(None, entropy_alert=0.0), 1, entropy=0.0) == []


def test_a_rising_eigenvalue_is_reported_once_and_epochs_without_one_change_nothing():
    rule = EigenvalueRule(every=2, not_before=0)
    alerts, reported = Alerts(rule, 0.0), []
    for epoch in range(1, 31):
        value = 1.0 + max(0, epoch - 14) if epoch % 2 == 0 else None
        reported += [(epoch, code) for code in codes(alerts, epoch, value)]
    assert [code for _, code in reported] == ["eigenvalue"]


def test_what_was_reported_is_known_after_a_resume():
    alerts = Alerts(EigenvalueRule(), 1.0)
    codes(alerts, 1, eigenvalue=0.3, entropy=0.5)
    resumed = Alerts(EigenvalueRule(), 1.0)
    resumed.load_state(alerts.state())
    assert codes(resumed, 2, entropy=0.4) == []
    assert resumed.state() == alerts.state()
