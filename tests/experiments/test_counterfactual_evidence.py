"""What counterfactual splits of drawn squares show of encoders that are functions of the true latents."""

from pathlib import Path

import drawn_counterfactuals
import numpy as np
import pytest
import torch

from drawn_squares import make_dataset
from identbox import IdentboxError, Multimodal3DIdent, verify
from identbox.data.recipe import Recipe
from identbox.experiments.counterfactual_evidence import evidence_record
from identbox.experiments.image_text import process_of
from identbox.identifiability.counterfactual_scores import intervention_scores
from identbox.identifiability.counterfactuals import content_redrawn, displacements, read_pairs

N = 300
SPECS = ("permute:object_color", "permute:object_xpos", "permute:content", "redraw:style,specific")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = make_dataset(tmp_path_factory.mktemp("data") / "squares", {"train": 4, "test": N})
    drawn_counterfactuals.add(place, *SPECS)
    return place


def pairs_of(folder: Path, *names: str):
    """The pairs of an encoder of some latents of the image."""

    def encode(split: str):
        latents = Multimodal3DIdent(folder, split).image_latents
        columns = [torch.from_numpy(latents[name].astype(float)) for name in names]
        return {"image": torch.stack(columns, dim=1)}

    return read_pairs(folder, encode)


def test_an_encoder_of_position_does_not_move_with_the_colour_that_position_causes(folder: Path) -> None:
    found = {one.intervention: one for one in displacements(pairs_of(folder, "object_xpos", "object_ypos"))}
    assert found["permute:object_color"].high == 0
    assert found["redraw:style,specific"].high == 0
    assert found["permute:object_xpos"].low > 0.8
    assert 0.4 < found["permute:object_xpos"].mean < 0.6
    assert found["permute:content"].mean > 0.9


def test_an_encoder_of_colour_moves_with_colour_and_not_with_position(folder: Path) -> None:
    found = {one.intervention: one for one in displacements(pairs_of(folder, "object_color"))}
    assert found["permute:object_color"].low > 0.8
    assert found["permute:object_xpos"].high == 0
    assert 0.02 < found["redraw:style,specific"].value < 0.3  # within the third that the position names: 1/9


@pytest.mark.slow
def test_after_a_permutation_an_encoder_of_position_predicts_nothing_but_position(folder: Path) -> None:
    pairs = pairs_of(folder, "object_xpos", "object_ypos")
    pairs = [one for one in pairs if one.intervention.what in ("permute:object_color", "permute:content")]
    scores = intervention_scores(pairs, process=process_of(folder), bootstrap=10, seed=0)
    by = {(s.intervention, s.view, s.label): s for s in scores if s.nonlinear}
    cut = "permute:object_color"
    assert by[cut, "image", "object_xpos"].score > 0.99
    assert by[cut, "image", "object_color'"].score < 0.1  # the hue as it is: cut from the position
    assert by[cut, "image", "object_color"].score > 0.8  # and as it was: the position still tells of it
    everything = "permute:content"
    assert by[everything, "image", "object_xpos'"].score > 0.99
    assert by[everything, "image", "object_xpos"].score < 0.5
    assert by[everything, "image", "object_color"].score < 0.1
    for label in ("object_color", "object_xpos"):  # the ceiling of content alone
        assert abs(by[everything, "content", label].score - by[everything, "image", label].score) < 0.15


def test_the_split_with_everything_but_content_redrawn_is_found(folder: Path) -> None:
    process = Recipe.read(folder).process
    pairs = pairs_of(folder, "object_xpos")
    found = content_redrawn(pairs, process)
    assert found is not None
    assert found.intervention.what == "redraw:style,specific"
    assert content_redrawn([p for p in pairs if p is not found], process) is None
    assert len(found.encoded_before["image"]) == len(found.after) == N


@pytest.mark.slow
def test_records_have_plain_values(folder: Path) -> None:
    record = evidence_record(
        pairs_of(folder, "object_xpos")[:1], process=process_of(folder), bootstrap=5, seed=0
    )
    assert set(record) == {"displacement", "interventions"}
    assert {type(value) for one in record["displacement"] for value in one.values()} == {str, int, float}
    assert evidence_record([], process={}, bootstrap=5, seed=0) == {}
    assert np.isfinite([one["score"] for one in record["interventions"]]).all()


def test_a_verdict_on_a_dataset_rests_on_its_counterfactual_splits(folder: Path) -> None:
    def shown(images: torch.Tensor) -> torch.Tensor:
        """Where the square is, and how large it is: a function of the pixels alone."""
        square = images.amax(1) > 0.5
        rows, columns = square.any(2).float(), square.any(1).float()
        places = torch.arange(images.shape[-1]).float()
        first = [(line * (100 - places)).amax(1) for line in (rows, columns)]
        return torch.stack([*first, rows.sum(1), columns.sum(1)], dim=1)

    verdict = verify(encoders={"image": shown}, dataset=folder, interventions=False)
    leak = next(c.measure for v in verdict.views for c in v.conditions if c.measure.quantity == "leak")
    assert (leak.how, leak.high) == ("pairs", 0)
    assert "redraw:style,specific" in verdict.evidence
    moved = {one.intervention: one.value for one in verdict.displacements}
    assert moved["permute:object_color"] == 0
    assert moved["permute:object_xpos"] > 0.9
    assert "permute:object_xpos" in str(verdict)
    assert verdict.interventions == ()
    colour = {
        f"{name}/image": Multimodal3DIdent(folder, name).image_latents["object_color"][:, None]
        for name in ("test", "test.redraw.style.specific")
    }
    verdict = verify(encodings=colour, dataset=folder)
    assert verdict.outcome == "not identified"
    assert [one.intervention for one in verdict.displacements] == ["redraw:style,specific"]
    scores = {(one.view, one.label): one.score for one in verdict.interventions if one.nonlinear}
    assert {view for view, _ in scores} == {"image", "content"}
    assert scores["image", "object_color'"] > 0.99  # the hue as it is now
    assert 0.6 < scores["content", "object_color'"] < 0.95  # eight ninths
    assert "Predicted from the image encoding after each intervention" in str(verdict)


def test_a_dataset_and_a_world_are_not_both_judged(folder: Path) -> None:
    with pytest.raises(IdentboxError, match="dataset: expected no world beside it"):
        verify(Recipe.read(folder).process, encoders={"image": torch.nn.Identity()}, dataset=folder)
    with pytest.raises(IdentboxError, match="expected views among image, text; got 1"):
        verify(encoders={"1": torch.nn.Identity()}, dataset=folder)
    with pytest.raises(IdentboxError, match="expected test/image or test/text"):
        verify(encodings={"train/image": np.zeros((4, 2))}, dataset=folder)
