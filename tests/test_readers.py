"""Each kind of file has one reader: no other module opens a file, or parses what came from one, by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import identbox

PACKAGE = Path(identbox.__file__).parent

# What opens or parses a file, and the modules that may do so: each is the reader of that kind, or reads what nobody
# else can have written. What is written is no matter here.
READERS = {
    "os.open": {
        "files.py",
        "commands/main.py",
    },  # regular files alone; the null device, in place of closed streams
    "tomllib.loads": {"config.py"},
    "csv.reader": {"csvfiles.py"},
    "json.loads": {"files.py"},
    "numpy.load": {"data/arrays.py"},
    "numpy.lib.format.open_memmap": {"data/arrays.py"},
    "zipfile.ZipFile": {"data/arrays.py"},
    "zipfile.is_zipfile": {"learning/checkpoints.py"},
    "torch.load": {"learning/checkpoints.py"},
    "zlib.decompressobj": {"data/digits.py"},  # of IDX files
    "tarfile.open": {"data/shards.py"},
    "parquet.ParquetFile": {"data/shards.py"},
    "PIL.Image.open": {
        "data/png.py",
        "data/photographs.py",
    },  # PNG that is checked first; pictures of the user's
    ".read_text": {"processes.py"},  # what the kernel says of processes
    ".read_bytes": {"processes.py"},
    ".open": {"rendering/downloads.py"},  # an address, not a file
}
METHODS = {"read_text", "read_bytes", "open"}  # of paths
# Other ways to the content of a file, which nobody needs here.
FORBIDDEN = {
    "open", "io.open", "codecs.open", "fileinput.input", "linecache.getlines", "mmap.mmap",
    "csv.DictReader", "json.load", "tomllib.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "shelve.open",
    "numpy.fromfile", "numpy.memmap", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromregex",
    "gzip.open", "gzip.decompress", "bz2.open", "lzma.open", "zlib.decompress", "tarfile.TarFile", "torch.jit.load",
    "parquet.read_table", "parquet.ParquetDataset", "matplotlib.image.imread", "scipy.io.loadmat",
}  # fmt: skip


def opened(source: str) -> Iterator[str]:
    """The calls of a module that open or parse a file, as READERS and FORBIDDEN name them."""
    tree = ast.parse(source)
    names = {}  # what a name of the module stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def dotted(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{dotted(node.value)}.{node.attr}"
        return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or writes(node):
            continue
        name = dotted(node.func).removeprefix("pyarrow.")
        if name in READERS or name in FORBIDDEN:
            yield name
        elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and "identbox." not in name:
            yield f".{node.func.attr}"


def writes(call: ast.Call) -> bool:
    """Whether a file is opened to write it: its mode is a constant, and not one of reading."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [one.value for one in arguments if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return bool(modes) and set(modes[-1]) <= set("wax+bt") and "+" not in modes[-1]


def test_no_module_but_a_reader_opens_files_of_its_kind():
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for name in opened(path.read_text()):
            found.setdefault(name, set()).add(path.relative_to(PACKAGE).as_posix())
    assert found == READERS


def test_what_opens_a_file_is_found_by_whatever_name():
    ways = {
        "import numpy as np\nnp.load(path)": ["numpy.load"],
        "from PIL import Image as I\nI.open(path)": ["PIL.Image.open"],
        "from json import loads\nloads(text)": ["json.loads"],
        "def f():\n    from pyarrow import parquet as pq\n    pq.read_table(path)": ["parquet.read_table"],
        "(folder / 'x').read_text()": [".read_text"],
        "place.open()": [".open"],
        "open(path, 'r+b')": ["open"],
        "with path.open('wb') as file: file.write(b'')": [],
        "from identbox import files\nfiles.read_text(path)": [],
    }
    for source, calls in ways.items():
        assert list(opened(source)) == calls, source
