import numpy as np
import pytest
import torch

from identbox.data import factors, recipe, text
from identbox.data.pixels import Split
from identbox.errors import IdentboxError
from identbox.experiments import factors as factor_probes
from identbox.experiments.factors import FactorProbeSettings, content_columns, probes, targets
from identbox.process import presets
from identbox.process.tables import process_from_table, table_from_process

CLASSES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")


def split(name: str, n: int, process=None) -> Split:
    """A split of drawn latents, without pictures."""
    latents = recipe.draw_latents(process or presets.multimodal3dident(), 0, name, n)
    _, said = text.describe(latents["text"], CLASSES)
    return Split(
        name=name,
        pixels=np.zeros((n, 1, 1, 3), dtype=np.uint8),
        tokens=torch.zeros(n, 1, dtype=torch.int64),
        image_latents=latents["image"],
        text_latents={key: np.array(column) for key, column in said.items()},
        vocabulary={},
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    return split("train", 400), split("test", 400)


def perfect(one: Split, n: int, train_mode: bool) -> dict[str, torch.Tensor]:
    """Encodings of content alone, from one view: those of the other would be the same."""
    return {"image": content_columns([one], [n])[0]}


@pytest.fixture(scope="module")
def probed(splits) -> dict:
    return probes(perfect, *splits, FactorProbeSettings(samples=400, bootstrap=20), seed=0)


def score(records: list[dict], view: str, target: str) -> float:
    (one,) = [r for r in records if (r["view"], r["target"]) == (view, target) and r["probe"] != "linear"]
    return one["score"]


def test_content_predicts_content_and_eight_ninths_of_the_hue(probed):
    """hue = (x + U) / 3: of its variance 1/12 the third of x explains (2/3) / 9 = 8/9 of it.

    400 samples leave a standard error of 0.015 on R2.
    """
    for view, key in (("image", "probes"), ("content", "from_content")):
        records = probed[key]
        for target in ("object_shape", "object_xpos", "object_ypos"):
            assert score(records, view, target) > 0.99
        assert score(records, view, "object_color") == pytest.approx(8 / 9, abs=0.04)


def test_content_predicts_no_specific_factor(probed):
    """Independent of content: R2 of 0, accuracy of 1/5; three standard errors of 400 samples are 0.06."""
    for target in ("object_alpharot", "spotlight_pos", "spotlight_color", "background_color"):
        assert abs(score(probed["probes"], "image", target)) < 0.06
    assert score(probed["probes"], "image", "text_phrasing") == pytest.approx(0.2, abs=0.06)


def test_a_hue_is_also_a_point_on_the_circle_and_constants_are_left_out(splits):
    made = {target.name: target for target in targets(*splits, 400, 400)}
    assert made["object_color (circle)"].kind == "circular"
    assert made["object_color"].kind == "continuous"
    assert made["object_color_index"].kind == "discrete"
    assert "object_zpos" not in made
    assert "object_color_name" not in made


def test_training_mode_is_probed_where_asked_for(splits):
    asked = []

    def encode(one, n, train_mode):
        asked.append(train_mode)
        return {"text": content_columns([one], [n])[0][:, :3]}

    probed = probes(encode, *splits, FactorProbeSettings(samples=60, bootstrap=5, train_mode=True), seed=0)
    assert asked == [False, False, True, True]
    assert len(probed["probes_train_mode"]) == len(probed["probes"])


def test_the_process_says_what_is_content_and_both_versions_of_a_factor_are_kept_apart():
    """In this process the hue is content, and the x-position style, drawn anew for the text; nothing turns."""
    table = {
        "name": "other",
        "views": ["image", "text"],
        "variables": {
            **{
                name: variable
                for name, variable in table_from_process(presets.multimodal3dident())["variables"].items()
                if name not in ("object_xpos", "object_color") and not name.endswith("rot")
            },
            "object_xpos": {
                "role": "style",
                "distribution": "categorical",
                "classes": ["left", "center", "right"],
                "change": {"how": "resample", "probability": 1.0},
            },
            "object_color": {"role": "content", "distribution": "uniform", "circular": True},
        },
    }
    other = process_from_table(table, "test")
    splits = [split(name, 400, other) for name in ("train", "test")]
    probed = probes(perfect_for(table), *splits, FactorProbeSettings(bootstrap=5), process=table, seed=0)
    names = {r["target"] for r in probed["probes"]}
    assert {"object_xpos", "object_xpos (text)", "object_color (circle)"} <= names
    assert "object_ypos (text)" not in names
    # Three standard errors of 400 samples are 0.07.
    for target in ("object_xpos", "object_xpos (text)"):
        assert score(probed["from_content"], "content", target) == pytest.approx(1 / 3, abs=0.07)
    assert score(probed["from_content"], "content", "object_color (circle)") > 0.99
    assert factors.role("object_xpos (text)", table) == "style"
    assert factors.role("object_color_index", table) == "content"
    assert factors.seen_by("text", names) == [n for n in names if n in SAID_BY_TEXT]


SAID_BY_TEXT = ("object_shape", "object_ypos", "object_xpos (text)", "object_color_index", "text_phrasing")


def perfect_for(table):
    def encode(one, n, train_mode):
        return {"image": content_columns([one], [n], table)[0]}

    return encode


def test_too_few_samples_are_refused():
    with pytest.raises(IdentboxError, match="samples: expected at least 10, got 9"):
        factor_probes.FactorProbeSettings(samples=9)


def test_where_no_content_varies_nothing_is_said_of_it():
    """One object in the middle of the image: its colours are still probed, and content predicts none of them."""
    table = table_from_process(presets.multimodal3dident())
    for name in ("object_shape", "object_xpos", "object_ypos"):
        table["variables"][name] |= {"distribution": "categorical", "classes": ["one"]}
    splits = split("train", 60), split("test", 60)
    for one in splits:
        for name in ("object_shape", "object_xpos", "object_ypos"):
            one.image_latents[name][:] = 0
            one.text_latents[name][:] = 0

    def encode(one: Split, n: int, train_mode: bool) -> dict[str, torch.Tensor]:
        return {"image": torch.from_numpy(one.image_latents["object_color"][:n, None])}

    made = probes(encode, *splits, FactorProbeSettings(samples=60, bootstrap=5), process=table, seed=0)
    assert made["from_content"] == []
    assert score(made["probes"], "image", "object_color") > 0.9
    process = presets.multimodal3dident()
    encodings = encode(splits[1], 60, False)
    assert factor_probes.identification_of_split(process, encodings, splits[1]) == []


def test_latents_of_an_image_alone_are_held_against_content_and_all_else_that_it_shows():
    process = presets.multimodal3dident(position_causes_color=False)
    test = split("test", 1500, process)
    shown = ["object_color", "spotlight_color", "background_color"]
    hue, *lights = (torch.from_numpy(test.image_latents[name]) for name in shown)
    own = torch.stack([(2 * torch.pi * hue).cos(), (2 * torch.pi * hue).sin(), *lights], 1)
    content = content_columns([test], [len(test)])[0]

    def leak(m):
        found = factor_probes.specific_identification_of_split(process, "image", m, test)
        assert set(shown) <= set(found["block"])
        assert not any(process[name].role == "content" for name in found["block"])
        return next(one["value"] for one in found["measures"] if one["quantity"] == "leak")

    assert leak(own) < 0.05
    assert leak(torch.cat([own, content], 1)) > 0.9
    assert factor_probes.specific_identification_of_split(process, "image", own[:20], test) is None
