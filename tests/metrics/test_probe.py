"""Arrays of any kind are probed; scores are those of scikit-learn and print as a table."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from identbox.errors import IdentboxError
from identbox.metrics.probe import probe


@pytest.fixture(scope="module")
def data():
    stream = np.random.default_rng(0)
    z = stream.normal(size=(300, 2))
    latents = {
        "content": z,
        "class": (z[:, 0] > 0).astype(int),
        "angle": stream.random(300),
        "noise": stream.normal(size=300),
    }
    mixed = z @ [[1.0, 2.0], [0.5, -1.0]]
    return {"encodings": np.column_stack([mixed, stream.normal(size=300)]), "latents": latents}


def test_linear_scores_are_those_of_scikit_learn(data):
    train, test = slice(0, 200), slice(200, 300)
    h, z = data["encodings"], data["latents"]["noise"]
    scores = probe(
        h[train],
        {"noise": z[train]},
        test_encodings=h[test],
        test_latents={"noise": z[test]},
        kinds=["linear"],
    )
    expected = LinearRegression().fit(h[train], z[train]).score(h[test], z[test])
    assert scores[0].score == pytest.approx(expected, abs=1e-9)


def test_kinds_of_values_are_recognised(data):
    scores = probe(data["encodings"], data["latents"], periods={"angle": 1.0})
    found = {(score.target, score.nonlinear): score for score in scores}
    assert found["content", True].score > 0.98
    assert found["class", True].metric == "accuracy"
    assert found["class", True].score > 0.9 > found["class", True].chance
    assert abs(found["noise", False].score) < 0.1
    assert found["angle", False].metric == "r2"


def test_tensors_and_lists_give_the_same_scores(data):
    latents = data["latents"]
    one = probe(data["encodings"], {"noise": latents["noise"]}, kinds=["linear"])
    other = probe(torch.from_numpy(data["encodings"]), {"noise": latents["noise"].tolist()}, kinds=["linear"])
    assert one[0].score == pytest.approx(other[0].score)


def test_scores_print_as_a_table(data):
    scores = probe(data["encodings"], {"content": data["latents"]["content"]})
    assert "content" in str(scores)
    assert "nonlinear" in str(scores)
    assert "<table" in scores._repr_html_()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h, z: probe(h, {"a": z[:10]}), "latents a: expected 300 rows, got 10"),
        (
            lambda h, z: probe(h[:6], {"a": z[:6]}),
            "expected at least 6 samples to train and 2 to test, got 3 and 3",
        ),
        (
            lambda h, z: probe(h, {"a": z}, test_encodings=h),
            "expected test_encodings and test_latents together",
        ),
        (
            lambda h, z: probe(h * np.nan, {"a": z}),
            "encodings: expected finite numbers, got 900 that are NaN",
        ),
        (
            lambda h, z: probe(h, {"a": z}, test_encodings=h[:, :1], test_latents={"a": z}),
            "test encodings: expected 3 columns, got 1",
        ),
        (
            lambda h, z: probe(h, {"a": z}, test_encodings=h, test_latents={"b": z}),
            "test latents: expected a; got b",
        ),
        (lambda h, z: probe(h, {"a": np.zeros(300)}), "target a, component 0: expected values that vary"),
        (lambda h, z: probe(h[None], {"a": z}), r"encodings: expected the shape \(n, d\), got \(1, 300, 3\)"),
    ],
)
def test_mistakes_get_one_line(data, call, message):
    with pytest.raises(IdentboxError, match=message):
        call(data["encodings"], data["latents"]["noise"])
