from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from identbox import config
from identbox.errors import IdentboxError, first_few
from identbox.settings import Count, Positive, Probability, build, settings, table_of


@dataclass(frozen=True, kw_only=True)
class Example:
    count: int
    rate: float = 0.5
    matrix: tuple[tuple[float, ...], ...] = ()
    flag: bool = False
    name: str | None = None


def test_build_reads_what_table_of_writes():
    example = Example(count=3, matrix=((1.0, 2.0),), flag=True)
    table = table_of(example)
    assert table == {"count": 3, "matrix": ((1.0, 2.0),), "flag": True}
    assert build(Example, config.toml_values(table), "x") == example


def test_integers_pass_for_floats():
    built = build(Example, {"count": 1, "rate": 1, "matrix": [[1, 2.5]]}, "x")
    assert built.rate == 1.0
    assert isinstance(built.rate, float)
    assert built.matrix == ((1.0, 2.5),)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], r"x: expected a table, got \[\]"),
        ({"count": 1, "rat": 1}, "x: expected keys among count, rate, matrix, flag, name; got rat"),
        ({}, "x: expected the key count, got no key"),
        ({"count": 1.5}, "x.count: expected an integer, got 1.5"),
        ({"count": True}, "x.count: expected an integer, got True"),
        ({"count": 1, "flag": 1}, "x.flag: expected true or false, got 1"),
        ({"count": 1, "rate": float("nan")}, "x.rate: expected a number, got nan"),
        ({"count": 1, "matrix": [[1.0] * 50 + ["a"]]}, r"x.matrix\[0\]\[50\]: expected a number, got 'a'"),
        ({"count": 1, "name": 2}, "x.name: expected a text, got 2"),
    ],
)
def test_build_names_what_is_wrong(table, message):
    with pytest.raises(IdentboxError, match=message):
        build(Example, table, "x")


def test_a_settings_object_checks_types_and_bounds_however_it_is_built():
    @settings
    class Layers:
        count: Count = 3
        slopes: tuple[Probability, ...] = ()
        kind: Literal["small", "large"] = "small"

    @settings
    class Network:
        layers: Layers = field(default_factory=Layers)
        rate: Positive | None = None

    assert Layers(count=np.int64(2), slopes=[1, 0.5]) == Layers(count=2, slopes=(1.0, 0.5))
    assert build(Network, {"layers": {"count": 2}}, "x") == Network(layers=Layers(count=2))
    for make, message in (
        (lambda: Layers(count=2.5), "count: expected an integer, got 2.5"),
        (lambda: Layers(count=0), "count: expected at least 1, got 0"),
        (lambda: Layers(slopes=(0.5, 1.5)), r"slopes\[1\]: expected a number in \[0, 1\], got 1.5"),
        (lambda: Layers(kind="huge"), "kind: expected one of small, large; got 'huge'"),
        (lambda: Network(layers={}), "layers: expected a Layers, got {}"),
        (lambda: Network(rate=-1), "rate: expected a positive number, got -1.0"),
        (
            lambda: build(Network, {"layers": {"count": 0}}, "x"),
            "^x: layers.count: expected at least 1, got 0",
        ),
        (lambda: build(Network, {"layers": 3}, "x"), "x: layers: expected a table, got 3"),
    ):
        with pytest.raises(IdentboxError, match=message):
            make()


def test_read_toml_names_place_and_fault(tmp_path: Path):
    path = tmp_path / "a.toml"
    with pytest.raises(IdentboxError, match="a.toml: expected a TOML file, got No such file"):
        config.read_toml(path)
    path.write_text("a = \n")
    with pytest.raises(IdentboxError, match=r"a.toml: expected TOML, got .*line 1"):
        config.read_toml(path)
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(IdentboxError, match=r"a.toml: expected UTF-8, got .*utf-8"):
        config.read_toml(path)


def test_first_few():
    assert first_few(range(3)) == "0, 1, 2"
    assert first_few("abcdefg", 2) == "a, b and 5 more"


def test_a_key_that_tables_did_not_always_have_means_what_was_done_before_it(tmp_path):
    path, older = tmp_path / "x" / "config.toml", {"a": {"steps": 3}, "b": {"seed": 0}}
    config.claim(path, older, what="a run")
    added = {"a.rate": 0.5, "steps": 1}
    for rate, same in ((0.5, True), (0.25, False)):
        wanted = config.merge(older, {"a": {"rate": rate}})
        assert config.is_claimed_for(path, wanted, added=added) is same
        assert not config.is_claimed_for(path, wanted)
    assert config.claim(path, config.merge(older, {"a": {"rate": 0.5}}), what="a run", added=added) == older
    with pytest.raises(IdentboxError, match=r"a.rate \(0.5 in the folder, 0.25 asked for\)"):
        config.claim(path, config.merge(older, {"a": {"rate": 0.25}}), what="a run", added=added)
    # A value that is there counts, and only whole parts of a dotted key are its end.
    assert not config.is_claimed_for(path, config.merge(older, {"a": {"steps": 1}}), added=added)
    assert not config.is_claimed_for(path, config.merge(older, {"a": {"more_steps": 1}}), added=added)
