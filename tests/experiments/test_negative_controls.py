"""Negative controls: what cannot have identified content is never called so."""

import pytest
from hand_made_learners import SMALL, Perfect

from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments import controls, trials, verification
from identbox.experiments import simulation as experiments_simulation
from identbox.identifiability.margins import Margins


def test_controls_are_not_identified(tmp_path):
    """A few steps each in this process. The command has a process for each; see test_verification.py."""
    base = experiments_simulation.Simulation.from_preset(
        "quick", config.merge(SMALL, {"training": {"steps": 20}, "probes": {"samples": 150, "bootstrap": 10}})
    )
    folders = []
    for name in controls.CONTROLS:
        simulation = controls.simulation_of(name, base, 2)
        folder = tmp_path / f"{name}-seed0"
        controls.run_control(name, simulation, folder, seed=0)
        folders.append(folder)
    found = [
        verification.verify_group(*item, Margins())
        for item in trials.groups([trials.read(folder) for folder in folders]).items()
    ]
    assert {finding.control for finding in found} == set(controls.CONTROLS)
    judgements = {finding.control: finding.seeds[0].judgements[0] for finding in found}
    assert {judgement.outcome for judgement in judgements.values()} == {"not identified"}
    # Of style that never changes nothing is predicted after so few steps.
    assert {name for name, j in judgements.items() if j.prediction.outcome is None} == {"unchanging-style"}
    singular = next(finding for finding in found if finding.control == "singular-mixing")
    assert "invertible mixing of view 1" in singular.seeds[0].without
    again = controls.run_control(
        "untrained", controls.simulation_of("untrained", base, 2), tmp_path / "untrained-seed0", seed=0
    )
    assert again["control"] == "untrained"
    with pytest.raises(IdentboxError, match="expected the control shuffled-pairs, got the control untrained"):
        controls.run_control(
            "shuffled-pairs",
            controls.simulation_of("untrained", base, 2),
            tmp_path / "untrained-seed0",
            seed=0,
        )


def test_shuffled_pairs_are_worth_nothing():
    """Encodings that tell the pairs apart perfectly lose more on shuffled ones than constant encodings do."""
    simulation = experiments_simulation.Simulation.from_preset("quick", SMALL)

    class Shuffled(controls.ShuffledPairs, Perfect):
        pass

    learners = [
        experiments_simulation.learner_of(simulation, seed=0, learner_type=kind)
        for kind in (Perfect, Shuffled)
    ]
    aligned, shuffled = (learner.loss(0).item() for learner in learners)
    assert aligned < learners[0].chance_loss() < shuffled


def test_controls_that_make_no_sense_are_left_out():
    base = experiments_simulation.Simulation.from_preset("quick", {"process": {"style": 0 + 1}})
    assert controls.simulation_of("small-encoder", base, 1) is None
    assert controls.simulation_of("small-encoder", base, 2).encoder.encoding_size == 1
