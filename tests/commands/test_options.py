from pathlib import Path

import pytest
from click.testing import CliRunner

from identbox.commands import options, train
from identbox.errors import IdentboxError

NOTHING = dict.fromkeys(options.KEY_OPTIONS)


def test_options_go_before_set_and_set_before_the_file(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text("seed = 3\n[training]\nsteps = 1\nbatch = 2\nwarmup = 3\n[dataset]\nfolder = 'x'\n")
    changes = options.configuration_changes(
        file, ["training.batch=4", "training.schedule=cosine"], {**NOTHING, "--steps": 5}
    )
    assert changes == {"training": {"steps": 5, "batch": 4, "warmup": 3, "schedule": "cosine"}}


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("--steps", 50, "training.steps"),
        ("--batch-size", 32, "training.batch"),
        ("--learning-rate", 0.01, "training.learning_rate"),
        ("--encoding-size", 3, "encoder.encoding_size"),
    ],
)
def test_an_option_and_set_may_give_one_key_only_the_same_value(option, value, key):
    table, name = key.split(".")
    given = {**NOTHING, option: value}
    wanted = {table: {name: value}}
    assert options.configuration_changes(None, [], given) == wanted
    assert options.configuration_changes(None, [f"{key}={value}"], given) == wanted
    with pytest.raises(
        IdentboxError, match=f"^{option}: expected one value of {key}, got {value} and, by --set, 7$"
    ):
        options.configuration_changes(None, [f"{key}=7"], given)


@pytest.mark.parametrize("command", [train.simulate_command, train.train_command])
@pytest.mark.parametrize(
    "words",
    [("--steps", "-1"), ("--batch-size", "1"), ("--learning-rate", "0"), ("--encoding-size", "0")],
)
def test_values_out_of_range_are_refused(command, words):
    assert f"Invalid value for '{words[0]}'" in CliRunner().invoke(command, words).output


def test_simulate_trains_with_the_values_of_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained = []
    monkeypatch.setattr(
        "identbox.experiments.simulation.run_simulation",
        lambda simulation, out, **others: trained.append((simulation, out, others["seed"])),
    )
    monkeypatch.setattr(train, "show_run", lambda out: None)
    words = ["--steps", "9", "--batch-size", "16", "--learning-rate", "0.5", "--encoding-size", "2"]
    words += ["--set", "process.causal=true", "--seed", "4", "--out", str(tmp_path), "--device", "cpu"]
    done = CliRunner().invoke(train.simulate_command, words, catch_exceptions=False)
    assert done.exit_code == 0
    ((simulation, out, seed),) = trained
    training = simulation.training
    assert (training.steps, training.batch, training.learning_rate) == (9, 16, 0.5)
    assert (simulation.encoder.encoding_size, simulation.process.causal, out, seed) == (2, True, tmp_path, 4)


def test_assignments_are_toml_or_single_words():
    assert options.parse_assignment("process.causal=true") == {"process": {"causal": True}}
    assert options.parse_assignment("setting = multiview") == {"setting": "multiview"}
    assert options.assigned_table(["a.b=1", "a.c=[2, 3]", "a.b=4"]) == {"a": {"b": 4, "c": [2, 3]}}
    for wrong in ("steps", "=3"):
        with pytest.raises(IdentboxError, match=f"--set: expected KEY=VALUE, got {wrong}"):
            options.parse_assignment(wrong)


def test_lists_of_seeds():
    assert options.comma_separated("0, 1,2", "--seeds") == (0, 1, 2)
    with pytest.raises(IdentboxError, match="--seeds: expected numbers like 0,1,2; got 0,x"):
        options.comma_separated("0,x", "--seeds")
