"""A position stamps the events of its step."""

from darts_engine.run import events
from darts_engine.runner.position import Position

HERE = Position(epoch=2, step=3, global_step=13)


def test_an_event_has_those_parts_of_the_position_that_its_type_knows():
    assert HERE.stamp(events.RunPaused, reason="command") == events.RunPaused(
        epoch=2, step=3, global_step=13, reason="command"
    )
    assert HERE.stamp(events.AlertRaised, code="entropy", message="low") == events.AlertRaised(
        epoch=2, global_step=13, code="entropy", message="low"
    )
