"""The table of kinds of faults names tests and situations that there are."""

import ast

from fault_cases.kinds import KINDS
from fault_cases.situations import SITUATIONS

from conftest import ROOT


def test_each_kind_of_fault_is_held_by_tests_that_there_are():
    situations = {situation.what for situation in SITUATIONS}
    for name, kind in KINDS.items():
        assert kind.tests or kind.situations, name
        assert set(kind.situations) <= situations, name
        for test in kind.tests:
            file, _, function = test.partition("::")
            tree = ast.parse((ROOT / "tests" / file).read_text())
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_the_table_has_every_kind_once():
    letters = [chr(ord("A") + place) for place in range(26)]
    # I, J and O were never given out: they read as numbers.
    wanted = {*letters, *(f"A{letter}" for letter in letters[:12])} - {"I", "J", "O"}
    assert KINDS.keys() == wanted
    assert len({kind.what for kind in KINDS.values()}) == len(KINDS)
