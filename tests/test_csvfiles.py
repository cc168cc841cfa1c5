"""Comma-separated values as people and programs write them."""

import pytest

from identbox.csvfiles import parse_csv, read_csv
from identbox.errors import IdentboxError


def test_columns_are_the_same_however_the_file_is_written(tmp_path):
    path = tmp_path / "a.csv"
    expected = {"name": ["x", "y"], "value": ["1", "-2.5"]}
    plain = "name,value\nx,1\ny,-2.5\n"
    for text in (plain, plain[:-1], plain.replace("\n", "\r\n"), plain.replace("x", '"x"'), "\ufeff" + plain):
        path.write_bytes(text.encode())
        assert {name: list(values) for name, values in read_csv(path).items()} == expected
    assert parse_csv('a,"b,""c"""\n"1\n2",3\n', "here") == {"a": ["1\n2"], 'b,"c"': ["3"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "here: expected a header, got an empty file"),
        ("a,b\n1,2\n3\n", "here: line 3: expected 2 values, got 1"),
        ('a,b\n"1",2\n3\n', "here: line 3: expected 2 values, got 1"),
        ("a,a\n1,2\n", "here: expected different names of columns, got a, a"),
        ("a,b\x1b[31m\n1,2\n", "here: expected different names"),
        (f"a,{'b' * 201}\n1,2\n", "here: expected different names"),
        ('a\n"1"2\n', "here: expected comma-separated values, got "),
        (f'a\n"{"x" * 200_000}"\n', "here: expected comma-separated values, got field larger than"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(text, message):
    with pytest.raises(IdentboxError) as refused:
        parse_csv(text, "here")
    assert str(refused.value).startswith(message)
