"""How many threads the processes get that a command starts."""

import pytest

from identbox.commands import display


@pytest.mark.parametrize(
    ("said", "side_by_side", "threads"),
    [(None, 1, 8), (None, 3, 2), (None, 20, 1), ("1", 1, 1), ("3", 4, 2), ("0", 1, 1), ("4,2", 2, 4)],
)
def test_each_process_gets_its_share_of_the_cores_and_no_more_than_was_asked_for(
    monkeypatch, said, side_by_side, threads
):
    monkeypatch.setattr(display, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert display.threads_each(side_by_side) == threads
