"""Pages and pictures of learners that run, and the page in a real browser."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from identbox.experiments import pictures, trials, verification
from identbox.experiments import simulation as experiments_simulation
from identbox.experiments.learner import Learner
from identbox.identifiability.margins import Margins
from identbox.process.distributions import Categorical, Constant, Uniform
from identbox.process.model import Process, Variable
from identbox.process.world import World
from identbox.reports import pages
from made_pages import ELBOW, LOSSES, SIX, Reader, cells
from made_pages import verification as findings_of

BROWSER = next(
    filter(
        None,
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")),
    ),
    None,
)


browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")


# Blocks of one or two dimensions and few samples: the page is looked at, not the verdict.
SMALL = {
    "process": {"content": 2, "style": 1, "specific": 1},
    "mixing": {"pool": 200},
    "encoder": {"widths": [4]},
    "training": {"steps": 0, "batch": 64},
    "probes": {"samples": 100, "bootstrap": 20},
}


class Perfect(Learner):
    """Undoes the mixing and keeps a linear, invertible function of content."""

    def encode(self, x, view):
        content = self.world.mixings[view].inverse(x)[:, :2]
        return content @ torch.tensor([[1.0, 2.0], [0.5, -1.0]])


def test_a_perfect_encoding_lies_on_the_diagonal_and_style_is_flat():
    """Style is independent of content: of 400 samples it explains less than 0.03 by chance, and predicts nothing."""
    simulation = experiments_simulation.Simulation.from_preset("quick", SMALL)
    found = pictures.encoding_picture(
        experiments_simulation.learner_of(simulation, seed=0, learner_type=Perfect), view="2"
    )
    assert [c.name for c in found.components] == [
        "content, component 1", "content, component 2", "style, component 1", "specific_2, component 1",
    ]  # fmt: skip
    assert (found.view, found.seed) == ("2", 0)
    for component in found.components[:2]:
        assert component.truth.shape == component.predicted.shape == (pictures.SHOWN,)
        # float32 through the mixing and back
        np.testing.assert_allclose(component.predicted, component.truth, atol=1e-3)
        assert component.r2 == pytest.approx(1.0, abs=1e-5)
    for component in found.components[2:]:
        assert abs(component.r2) < 0.03
        assert component.predicted.std() < 0.2 * component.truth.std()


def test_circles_have_two_components_and_classes_none():
    process = Process(
        name="p",
        variables=(
            Variable(name="angle", role="content", distribution=Uniform(circular=True)),
            Variable(name="kind", role="content", distribution=Categorical(classes=3)),
            Variable(name="zero", role="specific", view="1", distribution=Constant()),
        ),
    )
    simulation = experiments_simulation.Simulation.from_preset("quick", {**SMALL, "setting": "multimodal"})
    world = World(process, seed=0, mixing=simulation.mixing)
    learner = experiments_simulation.learner_of(simulation, seed=0, world=world)
    names = [component.name for component in pictures.encoding_picture(learner).components]
    assert names == ["angle, component 1 (cosine)", "angle, component 1 (sine)"]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The page of one real run, that of an untrained encoder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny-seed0"
    experiments_simulation.run_simulation(
        experiments_simulation.Simulation.from_preset("quick", SMALL), folder, seed=0
    )
    (item,) = trials.groups([trials.read(folder)]).items()
    name, (trial,) = item
    return pages.verification_page(
        findings_of(verification.verify_group(*item, Margins()), *SIX[1:], factors=ELBOW),
        losses=LOSSES,
        processes={name: trial.process},
        pictures={name: pictures.encoding_picture(trial.learner())},
    )


def test_a_real_run_makes_a_page(real):
    tree = Reader(real).root
    assert "tiny" in [heading.words for heading in tree.all("h3")]
    assert all(len(set(cells(table))) == 1 for table in tree.all("table"))
    versions = [value.words for value in tree.all("dd")]
    assert torch.__version__ in versions
    titles = [figure.children[0].words for figure in tree.all("svg")]
    for title in (
        "Process numerical_simulation",
        "Recovery: content that can be read from it",
        "Eq. 8.9, at best 0",
    ):
        assert title in titles or title.replace("_", "-") in titles


def browse(page, *options, fragment=""):
    """What a browser without a window makes of a page: its document, and what it says of it on the side."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={page.parent / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr", "--v=0", *options, "--dump-dom", page.as_uri() + fragment,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def asked_for(log):
    """What a page of a file asked the network for; requests of the browser's own have another initiator."""
    found = json.loads(log.read_text())
    kinds = {number: name for name, number in found["constants"]["logSourceType"].items()}
    return {
        event["params"]["url"]
        for event in found["events"]
        if kinds[event["source"]["type"]] == "URL_REQUEST"
        and event.get("params", {}).get("initiator") in ("null", "file://")
    }


@browser
def test_a_browser_loads_nothing_else_reports_no_error_and_unfolds_the_group_of_a_link(real, tmp_path):
    """The page's policy blocks an image put into it; without the policy it is requested, so this test can fail."""
    page, log = tmp_path / "page.html", tmp_path / "net.json"
    page.write_text(real)
    dom, said = browse(page, f"--log-net-log={log}", fragment="#group-6")
    assert said == []
    assert asked_for(log) == set()
    assert re.findall(r"<details open[^>]*><summary><h3>(\w+)", dom) == ["fifth"]
    image = real.replace("<main>", '<main><img src="http://example.invalid/x.png" alt="">')
    page.write_text(image)
    _, said = browse(page, f"--log-net-log={log}")
    assert "Content Security Policy" in " ".join(said)
    assert asked_for(log) == set()
    page.write_text(re.sub("<meta http-equiv[^>]*>", "", image))
    browse(page, f"--log-net-log={log}")
    assert asked_for(log) == {"http://example.invalid/x.png"}


MEASURE = """
onload = () => {
  document.title = [...document.querySelectorAll("iframe")].map(frame => {
    const inside = frame.contentDocument
    const beyond = [...inside.querySelectorAll("body *")].filter(e =>
      !e.closest(".scroll") && !e.closest("svg") && e.getBoundingClientRect().right > frame.clientWidth + 1)
    const root = inside.documentElement
    const small = [...inside.querySelectorAll("svg text")].filter(e => {
      const scale = e.getScreenCTM().a * parseFloat(getComputedStyle(e).fontSize)
      return scale > 0 && scale < 8.5
    })
    return [root.scrollWidth <= root.clientWidth, beyond.length, small.length].join(" ")
  }).join(", ")
}
"""


@browser
def test_nothing_of_the_page_is_wider_than_a_phone(real, tmp_path):
    """All unfolded, in frames of a phone's width and of a screen's; text of figures is at least 8.5 pixels high."""
    page = tmp_path / "frames.html"
    inside = html.escape(real.replace("<details>", "<details open>"))
    frames = [
        f'<iframe style="width:{width}px;height:600px;border:0" srcdoc="{inside}"></iframe>'
        for width in (320, 360, 390, 1200)
    ]
    page.write_text(f"<!DOCTYPE html><title></title>{''.join(frames)}<script>{MEASURE}</script>")
    dom, _ = browse(page)
    assert re.search("<title>(.*?)</title>", dom)[1] == ", ".join(["true 0 0"] * 4)
