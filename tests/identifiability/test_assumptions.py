from identbox.identifiability.assumptions import ASSUMPTION_NAMES, assumptions
from identbox.process import presets
from identbox.process.distributions import Normal
from identbox.process.effects import Linear
from identbox.process.model import Process, Variable


def verdicts(process):
    return {entry.key: (entry.verdict, entry.evidence) for entry in assumptions(process)}


def test_every_assumption_has_a_key_and_a_name():
    entries = assumptions(presets.numerical_simulation())
    assert [entry.key for entry in entries] == list(ASSUMPTION_NAMES)
    assert [entry.name for entry in entries] == list(ASSUMPTION_NAMES.values())


def test_the_numerical_simulation_satisfies_what_can_be_known():
    found = verdicts(presets.numerical_simulation(causal=True, statistical=True, change_probability=0.75))
    assert {name for name, (verdict, _) in found.items() if verdict == "holds"} == {
        "content-invariance",
        "style-changes",
        "change-density",
        "factorisation",
        "density",
    }
    assert found["style-changes"][1] == "the smallest change probability of a component is 0.75"
    assert found["encoding-size"][1] == "choose 5"


def test_style_that_never_changes_is_content():
    found = verdicts(presets.numerical_simulation(change_probability=0.0))
    assert found["style-changes"] == ("violated", "style never changes, so it is content")


def test_multimodal3dident_violates_continuity_and_says_where():
    found = verdicts(presets.multimodal3dident())
    assert found["density"][0] == "violated"
    assert found["change-density"][0] == "violated"
    assert found["style-changes"][0] == "unknown"
    assert found["encoding-size"][1] == "choose 3"


def test_causes_across_blocks_violate_the_factorisation():
    content = Variable(name="c", role="content", distribution=Normal())
    specific = Variable(name="m", role="specific", view="1", distribution=Normal(), effects={"c": Linear()})
    found = verdicts(Process(name="x", variables=(content, specific)))
    assert found["factorisation"] == ("violated", "c -> m")


def test_no_content():
    found = verdicts(
        Process(name="x", variables=(Variable(name="m", role="specific", view="1", distribution=Normal()),))
    )
    assert found["content-invariance"] == ("violated", "no variable is content")
