"""The pages in a real browser, used as a person would: nothing on the console, nothing asked of another host."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from conftest import ROOT
from identbox.data.dataset import Multimodal3DIdent
from identbox.explore import saved
from identbox.explore.dependence import strength
from identbox.explore.desk import Desk
from identbox.explore.encoders import RunEncoders
from identbox.explore.images import LiveImages
from identbox.explore.lab import Lab
from identbox.explore.samples import DatasetView
from identbox.explore.scene import LiveProcess
from identbox.explore.server import explorer
from identbox.metrics.associations import binned
from made_explorer import TOKEN

CHROMIUM = next(
    filter(None, (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; type: sudo apt-get install -y chromium"),
]
SECONDS = 60_000  # milliseconds, at most, that the page may take on a busy machine


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield opened
        opened.close()


def served(desk: Desk) -> Iterator[str]:
    """The address of a page, whose server ends with the test."""
    settings = uvicorn.Config(
        explorer(desk, TOKEN), host="127.0.0.1", port=0, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/{TOKEN}/"
    server.should_exit = True
    thread.join(10)
    desk.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    """A small multimodal VAE on the drawn squares, trained for a moment."""
    from identbox.experiments import generative, multiview, vae_runs

    table = {
        "model": "mopoe-vae", "encoder": {"encoding_size": 4}, "training": {"steps": 20, "batch": 16, "log_every": 5},
        "data": {"image_size": 18}, "probes": {"samples": 40, "bootstrap": 2}, "likelihood": {"data": 0},
        "generation": {"samples": 0},
    }  # fmt: skip
    experiment = generative.Generative.from_preset("quick", table, on="pairs")
    out = tmp_path_factory.mktemp("runs") / "vae"
    vae_runs.run_vae(experiment, multiview.open_multiview_data(squares, experiment.data), out, seed=0)
    return out


@pytest.fixture(scope="module")
def address(squares: Path, run: Path, cache: Path) -> Iterator[str]:
    view = DatasetView(squares)
    live = LiveProcess(view.recipe.process, view.recipe)
    images = LiveImages(live)
    places = [run.parent, ROOT / "simulations" / "results"]
    encoders = RunEncoders([run.parent], squares, live, images)
    yield from served(
        Desk(title="squares", dataset=view, scene=live, images=images, lab=Lab(places), encoders=encoders)
    )


class Person:
    """One who uses a page; what the browser complains of is collected."""

    def __init__(self, browser, address: str, width: int = 1200, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page, self.address = self.context.new_page(), address
        self.complaints: list[str] = []
        self.page.set_default_timeout(SECONDS)
        self.page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._look)

    def _look(self, request) -> None:
        host = self.address.split("/")[2]
        if not request.url.startswith((f"http://{host}/", f"blob:http://{host}/")):
            self.complaints.append(f"asked of another host: {request.url}")

    def open(self, query: str = "") -> None:
        self.page.goto(self.address + query)
        self.page.wait_for_selector("html[data-ready]")

    def until(self, script: str) -> None:
        """Wait until an expression is true: looked at from outside, since the page may not evaluate texts."""
        deadline = time.monotonic() + SECONDS / 1000
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            time.sleep(0.05)

    def number(self, script: str) -> float:
        return float(self.page.evaluate(script))

    def close(self) -> None:
        fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert self.page.evaluate(fits), "the page is wider than the window"
        self.context.close()
        assert self.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_dataset_is_filtered_sorted_and_looked_into(
    browser, address: str, squares: Path, width: int, scheme: str
):
    train = Multimodal3DIdent(squares, "train")
    hue, x = train.image_latents["object_color"], train.image_latents["object_xpos"]
    person = Person(browser, address, width, scheme)
    person.open()
    page = person.page
    assert page.locator(".counted").inner_text() == "300 of 300"
    fold = page.locator("details.side > summary")
    if width < 960:  # the filters are folded where the window is narrow
        fold.click()
    page.locator('[data-factor="object_xpos"] .chip', has_text="left").click()
    page.locator(".bound-one").wait_for()
    assert page.locator(".counted").inner_text() == f"{(x == 0).sum()} of 300"
    page.select_option("#sort", "-object_color")
    if width < 960:  # and lie above the samples
        fold.click()
    wanted = [row for row in np.argsort(-hue, kind="stable") if x[row] == 0]
    person.until(
        f"document.querySelector('[data-place=\"0\"]')?.getAttribute('href').endsWith('sample={wanted[0]}')"
    )
    if width < 960:
        fold.click()
    page.locator("#words").fill("teapot")
    fits = sum(x[row] == 0 and "teapot" in train.sentences[row] for row in range(300))
    person.until(f"document.querySelector('.counted').textContent === '{fits} of 300'")
    # The address has all of it: another person who opens it sees the same.
    other = Person(browser, page.url, width, scheme)
    other.open()
    assert other.page.locator(".counted").inner_text() == f"{fits} of 300"
    other.close()
    person.close()


def test_a_sample_shows_its_latents_its_scene_and_its_counterfactuals(browser, address: str, squares: Path):
    test = Multimodal3DIdent(squares, "test")
    person = Person(browser, address)
    person.open("?split=test&sample=7")
    page = person.page
    page.locator(".sample").wait_for()
    assert test.sentences[7] in page.locator(".sample-top").inner_text()
    shown = page.locator('[data-latent="object_color"] td').first.inner_text()
    assert float(shown) == pytest.approx(test.image_latents["object_color"][7], abs=5e-4)
    assert page.locator(".counterfactual").count() == 2
    assert "permute:object_color" in page.locator(".counterfactuals").inner_text()
    assert "spot_location" in page.locator(".record").inner_text()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**sample=8*")
    page.keyboard.press("Escape")
    page.locator(".grid").wait_for()
    page.keyboard.press("r")
    page.locator(".sample").wait_for()
    page.go_back()
    page.locator(".grid").wait_for()
    page.locator('[data-place="0"]').focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.place") == "1"
    page.keyboard.press("Enter")
    page.locator(".sample").wait_for()
    person.close()


def test_the_dependence_of_two_factors_is_that_of_python(browser, address: str, squares: Path):
    latents = Multimodal3DIdent(squares, "train").image_latents
    person = Person(browser, address)
    person.open("?view=factors&x=object_xpos&y=object_color")
    page = person.page
    wanted = strength(latents["object_xpos"], binned(latents["object_color"], 12))
    told = float(page.locator(".verdict-line").get_attribute("data-strength"))
    assert told == pytest.approx(wanted, abs=1e-9)
    assert "object_xpos causes object_color" in page.locator(".verdict-line").inner_text()
    assert page.locator(".matrix .declared").count() == 2
    page.locator('[data-pair="object_shape object_ypos"]').click()
    person.until("document.querySelector('#axis-y').value === 'object_shape'")
    person.close()


def test_a_slider_moves_the_scene_and_a_killed_renderer_is_replaced(browser, address: str):
    person = Person(browser, address, 390, "dark")
    person.open("?page=scene&base=test:3")
    page = person.page
    full = '[data-which="after"][data-quality="full"]'
    page.locator(full).wait_for()
    before = page.locator('[data-sentence="before"]').inner_text()
    page.locator('[data-variable="object_xpos"] .chip[aria-pressed="false"]').first.click()
    page.locator(f'{full}[data-key*="object_xpos"]').wait_for()
    assert "followed" in page.locator(".changes").inner_text()
    assert page.locator('[data-variable="object_color"].followed').count() == 1
    after = page.locator('[data-sentence="after"]').inner_text()
    assert after.removeprefix("After") != before.removeprefix("Before")
    assert page.locator('[data-which="difference"] figcaption').inner_text() != "Difference\n0% of the pixels"
    page.locator('[name="cut"][value="1"]').check()
    person.until("!document.querySelector('.changes').textContent.includes('followed')")
    # The images of the switch are rendered and counted before those of the slider; the page asks each second.
    page.locator(full + """[data-key*='"follow":false']""").wait_for()
    page.wait_for_timeout(1200)
    rendered = person.number("document.querySelector('.renderer').dataset.rendered")
    slider = page.locator('[data-variable="background_color"] input')
    # The page itself makes the ten changes: from outside each could come a rest later on a busy machine.
    slider.evaluate("""async (e) => {
        for (let step = 0; step < 10; step++) {
            e.value = 0.05 + step / 12;
            e.dispatchEvent(new Event("input", {bubbles: true}));
            await new Promise((done) => setTimeout(done, 20));
        }
    }""")
    page.locator(f'{full}[data-key*="0.8"]').wait_for()
    person.until(f"document.querySelector('.renderer').dataset.rendered > {rendered}")
    assert person.number("document.querySelector('.renderer').dataset.rendered") - rendered <= 5
    person.close()


def test_the_renderer_that_dies_is_named_in_a_line(browser, squares: Path, cache: Path):
    view = DatasetView(squares)
    live = LiveProcess(view.recipe.process, view.recipe)
    images = LiveImages(live)
    for address in served(Desk(title="squares", scene=live, images=images)):
        person = Person(browser, address)
        person.open("?page=scene&base=test:5")
        page = person.page
        page.locator('[data-which="after"][data-quality="full"]').wait_for()
        os.kill(images.renderer().pid, signal.SIGKILL)
        page.locator('[data-variable="object_ypos"] .chip[aria-pressed="false"]').first.click()
        page.locator('[data-which="after"][data-quality="full"][data-key*="object_ypos"]').wait_for()
        person.until("document.querySelector('.renderer').textContent.includes('killed by signal 9')")
        person.close()


def test_a_model_reads_the_moved_scene_and_makes_one_from_the_other(browser, address: str):
    person = Person(browser, address)
    person.open("?page=encoder&base=test:3")
    page = person.page
    page.locator(".moved-line").first.wait_for()
    assert {float(one.get_attribute("data-share")) for one in page.locator(".moved-line").all()} == {0.0}
    page.locator('[data-variable="object_color"] input').evaluate(
        "e => { e.value = (Number(e.value) + 0.5) % 1; e.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.locator('.read[data-key*="object_color"]').wait_for()
    assert float(page.locator('.moved-line[data-view="image"]').get_attribute("data-share")) > 0
    assert page.locator('.predicted tr[data-factor="object_color"].changed').count() == 1
    assert page.locator(".near img").count() == 12
    assert page.locator(".generated canvas").count() == 2
    person.close()


def test_the_dashboard_lists_runs_sweeps_and_verdicts(browser, address: str):
    person = Person(browser, address, 390, "dark")
    person.open("?page=runs")
    page = person.page
    page.locator(".verdicts").first.wait_for()
    words = dict(
        page.locator(".verdicts").evaluate_all(
            "all => all.map(one => one.querySelector('p').innerText.split(' · ').slice(0, 2).reverse())"
        )
    )
    assert words["results/theorem_2-quick"] == "✓ passed"
    assert words["results/dmvae_multimodal3dident-quick"] == "– nothing predicted"
    page.locator("a.run", has_text="vae").first.click()
    page.locator(".curves svg").first.wait_for()
    assert "finished, step 20 of 20" in page.locator(".progress").inner_text()
    page.locator(".report table").first.wait_for()
    page.go_back()
    page.locator(".runs[data-shows=list] a.sweep").first.click()
    page.locator(".report table").first.wait_for()
    person.close()


def test_the_seeds_of_a_cell_look_alike_and_are_one_entry_of_the_legend(browser, address: str):
    person = Person(browser, address)
    person.open("?page=runs&run=results/table_8_1-gpu&kind=sweep")
    page = person.page
    page.locator(".curves .legend").first.wait_for()
    names = page.locator(".legend").first.locator("span").all_inner_texts()
    looks = (
        page.locator(".curves")
        .first.locator("path.curve")
        .evaluate_all("all => all.map(one => one.className.baseVal)")
    )
    assert len(names) == len(set(looks)) == 10
    assert not [name for name in names if "seed" in name]
    assert len(looks) == 30
    person.close()


class Quiet(SimpleHTTPRequestHandler):
    """The web server of the standard library, without its log."""

    def log_message(self, *words: object) -> None:
        pass


def test_the_static_version_works_on_any_web_server(browser, squares: Path, tmp_path: Path):
    view = DatasetView(squares)
    saved.save(Desk(title="squares", dataset=view), tmp_path / "site", samples=25)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        person = Person(browser, f"http://127.0.0.1:{server.server_port}/")
        person.open("?split=test")
        page = person.page
        assert page.locator(".counted").inner_text() == "25 of 25"
        page.locator("#words").fill("hare")
        fits = sum("hare" in one for one in Multimodal3DIdent(squares, "test").sentences[:25])
        person.until(f"document.querySelector('.counted').textContent === '{fits} of 25'")
        page.locator("#words").fill("")
        page.locator('[data-place="3"]').click()
        page.locator(".counterfactual").first.wait_for()
        person.close()
        server.shutdown()


def test_markup_in_a_stranger_s_dataset_is_shown_as_text(browser, tmp_path: Path):
    import drawn_folder

    folder = drawn_folder.make(tmp_path / "data", {"train": 3})
    markup = '<img src=x onerror="document.title=1">'
    (folder / "train" / "text" / "text_raw.txt").write_text("\n".join([markup] * 3))
    rows = (folder / "train" / "latents_image.csv").read_text().replace("image_number", "<b>x</b>")
    (folder / "train" / "latents_image.csv").write_text(rows)
    for address in served(Desk(title="<i>t</i>", dataset=DatasetView(folder))):
        person = Person(browser, address)
        person.open("?sample=1")
        text = person.page.locator("body").inner_text()
        assert markup in text
        assert "<b>x</b>" in text
        assert "<i>t</i>" in text
        person.open("?view=factors")
        assert person.page.locator("main b b, main i").count() == 0
        person.close()
