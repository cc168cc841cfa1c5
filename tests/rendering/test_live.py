"""A Blender that stays alive: the newest request counts, and a worker that dies is replaced."""

import os
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from hare_records import records
from identbox.data import png
from identbox.errors import IdentboxError
from identbox.rendering.blender import Blender, Child
from identbox.rendering.live import LiveRenderer, Superseded
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import RenderSettings

pytestmark = pytest.mark.slow  # it renders
SIZE = {"size": 32, "samples": 1}


@pytest.fixture(scope="module")
def renderer(cache: Path):
    made = LiveRenderer(
        Blender(), load_pack("builtin", ("hare",), Blender()).files, RenderSettings(**SIZE, threads=1)
    )
    yield made
    made.close()


def outcome(future: Future[bytes]) -> str:
    try:
        future.result(60)
    except Superseded:
        return "superseded"
    return "rendered"


def test_sizes_and_samples_are_those_of_each_request(renderer: LiveRenderer):
    for size in (32, 48, 32):
        content = renderer.request("a", records(1)[0], size=size, samples=1).result(60)
        assert png.decode(content, "image").size == (size, size)


def test_of_ten_requests_in_a_row_no_more_are_rendered_than_needed(renderer: LiveRenderer):
    before = renderer.rendered
    wanted = [renderer.request("slider", record, **SIZE) for record in records(11)[1:]]
    other = renderer.request("elsewhere", records(12)[-1], **SIZE)
    found = [outcome(one) for one in wanted]
    assert found[-1] == "rendered"
    assert found.count("rendered") <= 2  # what was on its way when they came, and the last
    assert outcome(other) == "rendered"
    assert renderer.rendered - before == found.count("rendered") + 1
    # What was rendered once is kept.
    again = renderer.rendered
    assert renderer.request("slider", records(11)[-1], **SIZE).result(1) == wanted[-1].result()
    assert renderer.rendered == again


def test_a_killed_worker_is_replaced_and_said(renderer: LiveRenderer):
    first = renderer.request("a", records(20)[19], **SIZE).result(60)
    known, before = renderer.pid, renderer.replaced
    os.kill(known, signal.SIGKILL)
    wanted = renderer.request("a", records(21)[20], **SIZE)
    assert png.decode(wanted.result(60), "image").size == (32, 32)
    assert wanted.result() != first
    assert (renderer.replaced, renderer.pid != known) == (before + 1, True)
    assert renderer.note == "the renderer ended (killed by signal 9); another one takes its place"


def test_a_record_that_cannot_be_rendered_stops_no_other(renderer: LiveRenderer):
    with pytest.raises(IdentboxError, match="expected an image"):
        renderer.request("a", {**records(1)[0], "shape": "unicorn"}, **SIZE).result(60)
    assert outcome(renderer.request("a", records(23)[22], **SIZE)) == "rendered"


def test_without_a_blender_each_request_says_so():
    made = LiveRenderer(Blender(executable="/no/blender"), {}, RenderSettings(**SIZE))
    deadline = time.monotonic() + 10
    while made.state != "failed" and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(IdentboxError, match="expected an executable Blender"):
        made.request("a", records(1)[0], **SIZE).result(10)
    made.close()


def test_the_thread_that_reads_reports_has_ended_before_their_pipe_is_closed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    before, reading = set(threading.enumerate()), []
    close = Child.close

    def noted(child: Child) -> int:
        reading.append([t for t in threading.enumerate() if t not in before and "_listen" in t.name])
        return close(child)

    monkeypatch.setattr(Child, "close", noted)
    shapes = load_pack("builtin", ("hare",), Blender()).files
    made = LiveRenderer(Blender(), shapes, RenderSettings(**SIZE, threads=1))
    made.request("a", records(1)[0], **SIZE).result(60)
    made.close()
    assert reading == [[]]
