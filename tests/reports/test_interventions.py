"""The report of a run whose dataset has counterfactual splits."""

from identbox.experiments.records import Run
from identbox.metrics.displacement_records import Displacement
from identbox.metrics.scores import Score
from identbox.reports.factors import factor_tables

FIGURES = {"value": 0.9, "low": 0.8, "high": 1.0, "mean": 0.3, "mean_low": 0.2, "mean_high": 0.4}


def score(view: str, value: float, **more) -> Score:
    return Score(
        view=view,
        probe="kernel_ridge",
        metric="r2",
        score=value,
        low=value,
        high=value,
        chance=0.0,
        intervention="permute:object_color",
        **{"target": "object_color", **more},
    )


def test_the_report_has_what_moves_the_encodings_and_what_they_predict_afterwards() -> None:
    run = Run(
        format=1,
        identbox="0",
        seed=0,
        config={},
        versions={},
        machine={},
        steps=1,
        seconds=1.0,
        losses={},
        probes=(),
        kind="image-text",
        displacement=(Displacement(view="image", intervention="permute:object_color", samples=9, **FIGURES),),
        interventions=(
            score("image", 0.81),
            score("image", 0.02, permuted=True),
            score("content", 0.89),
            score("content", -0.01, permuted=True),
        ),
    )
    tables = {table.title: table.markdown() for table in factor_tables(run)}
    assert "| permute:object_color | 0.90 | [0.80, 1.00] | 0.30 |" in tables["What moves the encodings"]
    # The hue was permuted: its new values are predicted, from the encoding and from content.
    assert "0.02 (-0.01)" in tables["Predicted from the image encoding after each intervention"]
