"""A run's summary: the same however often it is updated, and read from where it was."""

from fake_run import make_run

from darts_tui.runs.summary import RunSummary, summary


def test_a_summary_that_grows_with_the_log_is_that_of_the_whole_log(runs):
    folder = make_run(runs, "one", epochs=3, phase="finished")
    whole = folder.events.read_bytes()
    expected = summary(folder)
    lines = whole.splitlines(keepends=True)
    growing = RunSummary(folder)
    for place in (*range(0, len(lines), 7), len(lines)):
        # The engine is in the middle of its next line.
        torn = lines[place][:9] if place < len(lines) else b""
        folder.events.write_bytes(b"".join(lines[:place]) + torn)
        state = growing.update()
        assert growing.offset == sum(map(len, lines[:place]))
    for name in ("phase", "epoch", "step", "global_step", "epochs", "result", "genotype", "last_t"):
        assert getattr(state, name) == getattr(expected, name), name
    assert state.final_genotype() == expected.final_genotype()
