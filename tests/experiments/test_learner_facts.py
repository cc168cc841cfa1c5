from pathlib import Path

import pytest

from identbox.experiments.image_text import Experiment
from identbox.experiments.learner_facts import HUES, learner_facts, training_changes
from identbox.experiments.optimum import Optimum
from identbox.experiments.simulation import Simulation
from identbox.experiments.trials import Trial
from identbox.identifiability.oracle import Value
from identbox.learning.contrastive import Objective
from identbox.process.presets import multimodal3dident, numerical_simulation


def trial(kind, made, process):
    record = {"kind": kind, "seed": 0, "config": made.table()}
    return Trial(folder=Path(), record=record, probes=(), process=process)


def test_facts_of_a_simulation():
    value = Value(alignment=0.03, entropies=(-0.01, -0.2), error=0.007)
    best = Optimum(seed=0, how="", oracle=value, trained=value, equal_scale=None, leak_cost=0.05)
    facts = learner_facts(trial("simulation", Simulation.from_preset("quick"), numerical_simulation()), best)
    assert (facts.encoding_size, facts.batch, facts.steps) == (5, 512, 3000)
    assert (facts.alignment, facts.entropy, facts.leak_cost) == (0.03, -0.2, 0.05)
    assert facts.objective == Objective()
    assert facts.normalised is True
    assert facts.changes == ()


def test_facts_of_a_run_on_images_and_text():
    made = Experiment.from_preset("quick")
    found = learner_facts(trial("image-text", made, multimodal3dident()))
    assert found.objective is not None
    assert found.objective.similarity == "cosine"
    assert found.normalised is True
    assert [change.variables for change in found.changes or ()] == [HUES, (), ()]
    assert found.drawn_anew == set(HUES)


@pytest.mark.parametrize(("hue", "anew"), [(0.5, True), (0.25, False)])
def test_only_hues_turned_anywhere_are_drawn_anew(hue, anew):
    (change,) = training_changes({"hue": hue, "light": 0.0, "shift": 0})
    assert change.anew is anew
