"""Coherence of models whose answer is known, and generation from subsets against a naive second way."""

from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from identbox.errors import IdentboxError
from identbox.learning.generation import Inference
from identbox.learning.likelihoods import LocationScale
from identbox.learning.posteriors import Subsets
from identbox.learning.vae import Latents, Modality, MultimodalVAE
from identbox.metrics.coherence import (
    Judged,
    JudgedFactor,
    agreement_scores,
    average_precision,
    classes_of,
    coherence_scores,
    conditional,
    frechet_scores,
    judged_score,
    subsets_of,
    unconditional,
)
from identbox.metrics.frechet import moments

K = 4  # classes; data of a modality are K numbers, the largest of which is its class
NAMES = ("a", "b", "c")


class Certain(nn.Module):
    """An encoder that is certain of its data, and counts how often it is called."""

    def __init__(self, certain=True):
        super().__init__()
        self.calls, self.certain = 0, certain

    def forward(self, x):
        self.calls += 1
        return torch.cat([3 * x, torch.full_like(x, -12.0 if self.certain else 12.0)], 1)


def model(subsets=None, decoders=None, certain=(True, True, True)):
    parts = {
        name: Modality(
            encoder=Certain(known),
            decoder=(decoders or {}).get(name, nn.Identity()),
            likelihood=LocationScale(kind="gaussian"),
        )
        for name, known in zip(NAMES, certain, strict=True)
    }
    return MultimodalVAE(parts, Latents(shared=K), subsets or Subsets.powerset(3))


def data(n=200, seed=0):
    labels = torch.randint(K, (n,), generator=torch.Generator().manual_seed(seed))
    return {name: torch.nn.functional.one_hot(labels, K).float() for name in NAMES}, labels


def judge(x):
    return Judged({"class": x}, features=x)


def factor(labels):
    return JudgedFactor(name="class", metric="accuracy", truth=labels, ceilings=dict.fromkeys(NAMES, 1.0))


def found(vae, x, labels, **options):
    made = conditional(
        vae, iter([{k: v[:90] for k, v in x.items()}, {k: v[90:] for k, v in x.items()}]),
        dict.fromkeys(NAMES, judge), subsets=subsets_of(NAMES), seed=0, **options,
    )  # fmt: skip
    return made, coherence_scores(made, [factor(labels)])


@pytest.mark.parametrize(
    "subsets",
    [Subsets.powerset(3), Subsets.single(3), Subsets.all_modalities(3)],
    ids=["mopoe", "mmvae", "mvae"],
)
def test_a_model_that_copies_the_cause_is_always_coherent_with_one_pass_of_each_encoder(subsets):
    x, labels = data()
    vae = model(subsets)
    _, scores = found(vae, x, labels)
    assert len(scores) == 3 * 2 + 3 * 1  # two modalities from each one, one from each pair
    assert all(one.score == 1 and one.samples == 200 and one.made not in one.given for one in scores)
    assert [encoder.calls for encoder in vae.encoders.values()] == [2, 2, 2]  # the two batches


class Shuffled(nn.Module):
    """A decoder that shows a class of its own choice, whatever it is given."""

    def forward(self, z):
        return torch.nn.functional.one_hot(torch.randint(K, (len(z),)), K).float()


def test_a_model_that_ignores_its_inputs_is_at_chance_and_shows_it_for_its_modality_alone():
    torch.manual_seed(0)
    x, labels = data(4000)
    _, scores = found(model(decoders={"b": Shuffled()}), x, labels)
    for one in scores:
        if one.made == "b":
            assert abs(one.score - 1 / K) < 4 * (0.25 * 0.75 / 4000) ** 0.5
            assert one.error == pytest.approx((one.score * (1 - one.score) / 4000) ** 0.5)
        else:
            assert one.score == 1


def test_a_mixture_draws_its_components_by_weight_and_a_product_trusts_who_is_certain():
    # Encoder b knows nothing. A mixture over {a}, {b} follows it half of the time, a product never.
    x, labels = data(4000)
    for subsets, wanted in ((Subsets.single(3), 0.5 + 0.5 / K), (Subsets.all_modalities(3), 1.0)):
        _, scores = found(model(subsets, certain=(True, False, True)), x, labels)
        of = {(one.given, one.made): one.score for one in scores}
        assert of[("a", "b"), "c"] == pytest.approx(wanted, abs=0.03)


def test_self_reconstruction_is_apart_and_not_among_the_conditional_scores():
    x, labels = data()
    made, scores = found(model(), x, labels, reconstruct=True)
    assert all(one.made in one.given for one in scores)
    assert len(made) == 3 + 3 * 2


def test_unconditional_coherence_needs_all_modalities_to_agree():
    options = {"samples": 600, "shapes": dict.fromkeys(NAMES, (K,)), "seed": 0}
    judges = dict.fromkeys(NAMES, judge)
    factors = [factor(torch.zeros(1, dtype=torch.int64))]
    together = agreement_scores(unconditional(model(), judges, **options), factors)[0]
    assert (together.score, together.made, together.given) == (1.0, "a+b+c", ())
    torch.manual_seed(0)
    odd = model(decoders={"b": Shuffled(), "c": Shuffled()})
    apart = agreement_scores(unconditional(odd, judges, **options), factors)[0]
    assert apart.score == pytest.approx(1 / K**2, abs=4 * (1 / K**2 / 600) ** 0.5)


def test_the_posterior_given_a_subset_is_that_of_data_without_the_others():
    x, _ = data(5)
    for subsets in (
        Subsets.powerset(3), Subsets.single(3), Subsets.all_modalities(3), Subsets(3, [(0,), (0, 2)], [0.25, 0.75]),
    ):  # fmt: skip
        vae = model(subsets)
        inference = Inference.of(vae, x)
        for given in [c for size in (1, 2, 3) for c in combinations(NAMES, size)]:
            if not any(set(m) & {NAMES.index(g) for g in given} for m in subsets.members):
                with pytest.raises(IdentboxError, match=r"subsets: expected one with a modality among"):
                    inference.given(given)
                continue
            part = {name: x[name] for name in given}
            torch.testing.assert_close(inference.embedding(given), vae.embed(part))
            z = torch.randn(7, 5, K, generator=torch.Generator().manual_seed(1))
            naive = vae.posterior(part).log_density(z)
            torch.testing.assert_close(inference.given(given).log_density(z), naive, rtol=1e-4, atol=1e-4)


def test_frechet_scores_are_of_distinct_modalities_with_their_numbers_of_samples():
    x, labels = data()
    made, _ = found(model(decoders={"b": Shuffled()}), x, labels)
    scores = frechet_scores(made, {name: moments(x[name]) for name in NAMES}, "test")
    by_pair = {(one.given, one.made): one for one in scores}
    assert by_pair[("a",), "c"].distance < 10  # a scaled copy
    assert (by_pair[("a",), "b"].samples, by_pair[("a",), "b"].real) == (200, 200)


def test_average_precision_is_scikit_learns_also_with_ties():
    rng = np.random.default_rng(0)
    for levels in (3, 1000):
        truth, score = rng.random(300) < 0.2, rng.integers(levels, size=300) / levels
        assert average_precision(truth, score) == pytest.approx(average_precision_score(truth, score))
    assert average_precision(np.zeros(3, bool), np.arange(3.0)) == 0
    with pytest.raises(IdentboxError, match=r"expected finite numbers"):
        average_precision(np.ones(2, bool), np.array([np.nan, 1]))


def test_a_judge_without_an_answer_is_wrong_and_r2_is_of_what_is_read():
    scores = torch.tensor([[0.0, 0.0], [0.1, 0.9]])
    assert classes_of(scores).tolist() == [-1, 1]
    assert judged_score(scores, torch.tensor([0, 1]), "accuracy")[0] == 0.5
    truth = torch.tensor([[0.0], [1.0], [2.0]])
    assert judged_score(truth, truth, "r2")[0] == 1
    assert judged_score(torch.ones(3, 1), truth, "r2")[0] == pytest.approx(0)
