"""What fuzz tests share: values that are wrong in every way, files damaged at random, and what a case may cost."""

import copy
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from identbox import config
from identbox.errors import IdentboxError

CASES = int(os.environ.get("FUZZ", "400"))
KINDS = 24  # tests, among which the cases are divided
SECONDS = int(
    os.environ.get("FUZZ_SECONDS", "20")
)  # the longest that one case may take; more on a busy machine
outcomes: Counter[str] = Counter()
slowest: dict[str, float] = {}  # seconds of the processor, this process's and its children's
largest: dict[str, float] = {}  # MiB

MOST_MEMORY = 500  # MiB that one case may take

# Parts of names that some format would take for more than text.
MARKS = [
    "\x1b[31m", "\x1b]8;;http://x\x07", "[/b]", "[link=x]", "</style><script>alert(1)</script>", "<b>",
    "&amp;", "|", "`", "*", "_", "~~", "](http://x)", "\n---\n", "\n# ", "- ", "{{ 7 * 7 }}", "{% x %}", "=1+1", "@A1",
    "+1+1", "-2+3", "'", '"', "\\", "$x$", "\u202e", "\u2028", "\x00", "\x9b31m", "\r", "\t", "#", ": ", "%s", "{0}",
    "/", "../", "é", " ",
]  # fmt: skip
names = (
    st.lists(st.sampled_from(MARKS) | st.text(max_size=5), min_size=1, max_size=4)
    .map("".join)
    .filter(str.strip)
)
words = (
    st.text(max_size=8)
    | st.sampled_from(["", "a\nb", "../../x", "\x00", "content", "noise", "é", "nan", "\ud800", "x" * 5000])
    | names
)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.sampled_from([10**9, 10**12, 2**63, -(2**63) - 1, 10**400]),
    st.integers(-3, 12),
    st.floats(),
    words,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def cases(share: float = 1.0) -> Any:
    """Hypothesis settings of a test; ``share`` is a factor of the number of cases that each test has."""
    return settings(
        max_examples=max(1, round(share * CASES / KINDS)),
        deadline=SECONDS * 1000,
        derandomize=True,  # the same cases each time: a failure can be seen again
        database=None,
        phases=[Phase.explicit, Phase.generate],  # to shrink a case takes minutes
        suppress_health_check=list(HealthCheck),
    )


def places(table: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value within tables and lists."""
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def similar(value: Any) -> st.SearchStrategy:
    """Values of the same type, many of them valid."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(-1, 9)
    if isinstance(value, float):
        return st.floats(-1, 4)
    if isinstance(value, str):
        return st.sampled_from(
            ["content", "style", "specific", "uniform", "normal", "image", "text", "1", value]
        )
    if isinstance(value, list) and value:
        return st.lists(st.sampled_from(value), max_size=5)
    return st.just(value)


@st.composite
def changed(draw: st.DrawFn, tables: list[dict[str, Any]]) -> dict[str, Any]:
    """One of the tables with one to three values replaced, removed, or added."""
    table = copy.deepcopy(draw(st.sampled_from(tables)))
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(table))
        if not known:
            break
        path = draw(st.sampled_from(known))
        parent = table
        for key in path[:-1]:
            parent = parent[key]
        how = draw(st.sampled_from(["nudge", "nudge", "replace", "replace", "remove", "add"]))
        if how == "nudge":
            parent[path[-1]] = draw(similar(parent[path[-1]]))
        elif how == "replace":
            parent[path[-1]] = draw(values)
        elif how == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(words)] = draw(values)
        else:
            parent.append(draw(values))
    return table


@st.composite
def damaged(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """One of the contents cut short, or with bytes changed, inserted, repeated or removed."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        some = draw(
            st.binary(min_size=1, max_size=6)
            | st.sampled_from(
                [b",", b"\n", b"9" * 30, b"nan", b"-1", b'"', b"\r", b"\xef\xbb\xbf", b"\0", b"1e400"]
            )
            | st.sampled_from([b"9" * 5000, b"[" * 5000, b'"\\ud800"', b"\x1b[31m", b"[/b]", b"0" * 20_000])
        )
        how = draw(st.sampled_from(["cut", "change", "insert", "double", "drop"]))
        if how == "cut":
            del content[at:]
        elif how == "change":
            content[at : at + len(some)] = some
        elif how == "insert":
            content[at:at] = some
        elif how == "double":
            content[at:at] = content[at : at + 200]
        else:
            del content[at : at + len(some)]
    return bytes(content)


def expect_a_result_or_one_line(kind: str, function: Callable[[], object]) -> None:
    """Call a function: within SECONDS and MOST_MEMORY it returns, or raises an IdentboxError of one line."""
    message = None
    before, begun = begin_to_measure(), _processor()
    signal.signal(signal.SIGALRM, _end)
    signal.alarm(SECONDS)
    try:
        function()
    except IdentboxError as error:
        message = str(error)
    finally:
        signal.alarm(0)
    outcomes[f"{kind}: {'accepted' if message is None else 'refused'}"] += 1
    slowest[kind] = max(slowest.get(kind, 0.0), _processor() - begun)
    largest[kind] = max(largest.get(kind, 0.0), most_memory() - before)
    assert message is None or (message and message.isprintable()), repr(message)
    assert most_memory() - before < MOST_MEMORY


def _processor() -> float:
    return sum(os.times()[:4])


def _end(number: int, frame: object) -> None:
    raise AssertionError(f"still at it after {SECONDS} s")


def begin_to_measure() -> float:
    """The memory of this process in MiB; from now on `most_memory` is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def most_memory() -> float:
    """The most memory of this process since `begin_to_measure`, in MiB."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


@pytest.fixture(scope="module", autouse=True)
def counts_printed() -> Iterator[None]:
    """Print the number of cases by outcome at the end, where FUZZ is set."""
    yield
    if "FUZZ" in os.environ:
        for name, count in sorted(outcomes.items()):
            print(f"{count:7d}  {name}")
        for kind in sorted(slowest):
            print(f"at most {slowest[kind]:6.2f} s of the processor, {largest[kind]:4.0f} MiB  {kind}")
        print(f"{sum(outcomes.values()):7d}  in all")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Iterator[Path]:
    """A folder; at the end nothing else may lie beside it."""
    above = tmp_path_factory.mktemp("fuzz")
    place = above / "scratch"
    place.mkdir()
    yield place
    assert [path.name for path in above.iterdir()] == ["scratch"]


def write_toml(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(config.toml_values(table)), encoding="utf-8", errors="surrogatepass")
    return path
