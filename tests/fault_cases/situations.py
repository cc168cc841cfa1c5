# ruff: noqa: E501
"""What users do by mistake and what a stranger could send, as a table: to add a case is to add a row."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from made_records import probes, run_at, write_run, write_sweep

Edit = Callable[[Path], object]
MARKUP = "[/b]\x1b[31m</style><script>|`=1+1"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A folder that something was done to, the command that meets it, and what it should say."""

    what: str
    make: str  # what there is before: data, tar, parquet, sweep, or nothing
    edit: Edit
    command: str  # {} is the folder, {out} a place for what is written
    code: int = 1
    says: str = ""


def replaced(name: str, old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return edit


def written(name: str, content: bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(content)


def piped(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return edit


def linked(name: str, target: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return edit


def png(width: int, height: int, rows: int) -> bytes:
    """A small PNG of many black pixels."""
    packer = zlib.compressobj(9)
    content = b"".join(packer.compress(b"\0" * (3 * width + 1)) for _ in range(rows)) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def saved_as(form: str, mode: str = "RGB") -> Edit:
    def edit(folder: Path) -> None:
        path = next((folder / "train/images").glob("*.png"))
        image = Image.open(path).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        image.save(path, format=form)

    return edit


def marked(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.name.startswith("latents") or path.name == "text_raw.txt":
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def quoted(folder: Path) -> None:
    """As pandas writes a table: with row numbers, and with quotes."""
    for path in folder.rglob("latents_*.csv"):
        head, *rows = path.read_text().splitlines()
        lines = ["," + head] + [
            f"{k}," + ",".join(f'"{v}"' for v in row.split(",")) for k, row in enumerate(rows)
        ]
        path.write_text("\n".join(lines) + "\n")


def tar_of(name: str, size: int, pax: dict[str, str] | None = None) -> Edit:
    def edit(folder: Path) -> None:
        path = next((folder / "data").glob("train-*.tar"))
        member = tarfile.TarInfo(name)
        member.size, member.pax_headers = size, pax or {}
        path.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)

    return edit


def packed_again(folder: Path) -> None:
    """As `tar` packs a folder: in ./, with the ._ files of macOS."""
    path = next((folder / "data").glob("train-*.tar"))
    with tarfile.open(path) as old, tarfile.open(folder / "new.tar", "w") as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            content = old.extractfile(member)
            member.name = f"./part.one/{member.name}"
            new.addfile(member, content)
            extra = tarfile.TarInfo(f"./part.one/._{Path(member.name).name}")
            new.addfile(extra)
    (folder / "new.tar").replace(path)


def sparse_end(folder: Path) -> None:
    os.truncate(next((folder / "data").glob("train-*.tar")), 60 << 30)


def other_parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = next((folder / "data").glob("train-*.parquet"))
    parquet.write_table(pyarrow.table({"image": [1, 2], "text": ["a", "b"]}), path)


def long_parquet(folder: Path) -> None:
    """A megabyte with four gigabytes of text."""
    import pyarrow
    from pyarrow import parquet

    path = next((folder / "data").glob("train-*.parquet"))
    table, n = parquet.read_table(path), 4000
    rows = {
        name: pyarrow.array([table[name][0].as_py()] * n, table[name].type) for name in ("z_image", "z_text")
    }
    image = pyarrow.array([{"bytes": b"", "path": ""}] * n, table["image"].type)
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * n, pyarrow.int32()), ["x" * 1_000_000])
    whole = pyarrow.table({"image": image, "text": text, **rows})
    parquet.write_table(whole, path, compression="zstd", store_schema=False)


def a_sweep(folder: Path) -> None:
    write_sweep(folder, {"one": {"process.causal": False}})
    write_run(run_at(folder, "one", 0), scores=probes(0.9, 0.3, 0.0))


def with_links(folder: Path) -> None:
    victim = folder.parent / "victim"
    victim.write_text("mine")
    for name in (f".report.md.{pid}.part" for pid in range(os.getpid(), os.getpid() + 500)):
        (folder / name).symlink_to(victim)
    (folder / "report.md").unlink()
    (folder / "report.md").symlink_to(victim)


def odd_titles(folder: Path) -> None:
    replaced("sweep.toml", 'title = "', 'title = "' + json.dumps(MARKUP)[1:-1].replace("\\u001b", "\\u001b"))(
        folder
    )


def record_with(key: str, text: str) -> Edit:
    def edit(folder: Path) -> None:
        path = next(folder.rglob("results.json"))
        path.write_text(path.read_text().replace(f'"{key}":', f'"{key}": {text}, "was_{key}":', 1))

    return edit


def read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


def unreadable(name: str) -> Edit:
    return lambda folder: (folder / name).chmod(0)


def a_mesh_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "cube.obj").mkdir()


CHECK, EXPORT, REPORT = "check {}", "export {} --to parquet --out {out}", "report {}"
TO_TAR = "export {} --to webdataset --out {out}"
IMAGE = "train/images/00.png"
PIPES = ("dataset.toml", IMAGE, "vocab.json", "train/latents_image.csv", "train/text/text_raw.txt")

SITUATIONS = [
    Situation(what="nothing is wrong", make="data", edit=lambda folder: None, command=CHECK, code=0, says="whole"),
    *(Situation(what=f"a pipe for {name}", make="data", edit=piped(name), command=CHECK, says="regular file") for name in PIPES),
    Situation(what="a device for a table", make="data", edit=linked("train/latents_text.csv", "/dev/zero"), command=CHECK, says="regular"),
    Situation(what="a pipe for a shard", make="tar", edit=piped("data/train-00000-of-00001.tar"), command=TO_TAR, says="regular"),
    Situation(what="a pipe for a Parquet file", make="parquet", edit=piped("data/train-00000-of-00001.parquet"), command=TO_TAR, says="regular"),
    Situation(what="10^12 samples", make="data", edit=replaced("dataset.toml", "train = 20", "train = 1000000000000"), command=CHECK, says="at most"),
    Situation(what="10^9 samples", make="data", edit=replaced("dataset.toml", "train = 20", "train = 1000000000"), command=CHECK, says="expected 1000000000"),
    Situation(what="an integer of 5 000 digits", make="data", edit=replaced("dataset.toml", "seed = 0", "seed = " + "9" * 5000), command=CHECK, says="expected TOML"),
    Situation(what="a split that leads out", make="data", edit=replaced("dataset.toml", "[splits]", '[splits]\n"../.." = 3'), command=CHECK, says="splits: expected train, val, test"),
    Situation(what="an absolute path for a split", make="data", edit=replaced("dataset.toml", "[splits]", '[splits]\n"/tmp" = 3'), command=CHECK, says="splits: expected"),
    Situation(what="a recipe without its shapes' hash", make="data", edit=replaced("dataset.toml", "sha256", "sha1"), command=CHECK, says="sha256"),
    Situation(what="a recipe without the images' size", make="data", edit=replaced("dataset.toml", "size = 18", 'size = "x"'), command=CHECK, says="size"),
    Situation(what="a byte order mark and Windows' line ends", make="data", edit=marked, command=CHECK, code=0, says="whole"),
    Situation(what="quotes and row numbers", make="data", edit=quoted, command=CHECK, code=0, says="whole"),
    Situation(what="a word for a number", make="data", edit=replaced("train/latents_image.csv", "\n", "\nred,", ), command=CHECK, says="expected 11 values"),
    Situation(what="a column of words", make="data", edit=replaced("val/latents_image.csv", "\n0,", "\nred,"), command=CHECK, says="expected a number, got 'red'"),
    Situation(what="a sentence with escape codes", make="data", edit=replaced("train/text/text_raw.txt", "the", "\x1b[31mthe"), command=CHECK, says="\\x1b[31m"),
    Situation(what="files of macOS beside the images", make="data", edit=written("train/images/._00.png", b"x"), command=CHECK, code=0, says="whole"),
    Situation(what="a copy that a browser made", make="data", edit=written("train/images/0 (1).png", b"x"), command=CHECK, says="do not belong (0 (1).png)"),
    Situation(what="JPEG in a .png", make="data", edit=saved_as("JPEG"), command=CHECK, says="expected a PNG"),
    Situation(what="JPEG in a .png, exported", make="data", edit=saved_as("JPEG"), command=EXPORT, says="expected a PNG"),
    Situation(what="grey of 16 bits", make="data", edit=saved_as("PNG", "I;16"), command=CHECK, says="8 bits"),
    Situation(what="an EPS in a .png", make="data", edit=written(IMAGE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), command=CHECK, says="expected a PNG"),
    Situation(what="196 million pixels", make="data", edit=written(IMAGE, png(14000, 14000, 10)), command=CHECK, says="expected 18 x 18"),
    Situation(what="a link to the user's file, exported", make="data", edit=linked("README.md", "/etc/passwd"), command=EXPORT, says="expected the name of a file inside"),
    Situation(what="an image that is a link outwards", make="data", edit=linked(IMAGE, "/etc/passwd"), command=EXPORT, says="inside"),
    Situation(what="a vocabulary of lists in lists", make="data", edit=written("vocab.json", b"[" * 100_000), command=CHECK, says="expected JSON"),
    Situation(what="half of a surrogate pair", make="data", edit=written("vocab.json", b'{"w2i": {"\\ud800": 0}}'), command=CHECK, says="expected JSON"),
    Situation(what="a whole export", make="tar", edit=lambda folder: None, command=CHECK, code=0, says="whole"),
    Situation(what="a whole Parquet export", make="parquet", edit=lambda folder: None, command=CHECK, code=0, says="whole"),
    Situation(what="a tar that was packed again", make="tar", edit=packed_again, command=CHECK, code=0, says="whole"),
    Situation(what="a member of 2^60 bytes", make="tar", edit=tar_of("a.png", 1 << 60), command=TO_TAR, says="expected a whole tar"),
    Situation(what="a member of negative size", make="tar", edit=tar_of("a.png", 0, {"size": "-2048"}), command=TO_TAR, says="tar"),
    Situation(what="60 GB of zeros behind a tar", make="tar", edit=sparse_end, command=TO_TAR, says="expected a whole tar"),
    Situation(what="a Parquet file of other columns", make="parquet", edit=other_parquet, command=TO_TAR, says="expected the columns"),
    Situation(what="a Parquet file that unpacks to gigabytes", make="parquet", edit=long_parquet, command=TO_TAR, says=""),
    Situation(what="a whole sweep", make="sweep", edit=lambda folder: None, command=REPORT, code=0, says="A title"),
    Situation(what="a title with markup and codes", make="sweep", edit=odd_titles, command=REPORT, code=0, says="[/b]\\x1b[31m"),
    Situation(what="links where a report is written", make="sweep", edit=with_links, command=REPORT, code=0, says="report.md"),
    Situation(what="a cell that leads out", make="sweep", edit=replaced("sweep.toml", 'name = "one"', 'name = "../../x"'), command=REPORT, says="expected a name for a file"),
    Situation(what="10^400 for a time", make="sweep", edit=record_with("seconds", "1e400"), command=REPORT, says="seconds"),
    Situation(what="400 digits for a time", make="sweep", edit=record_with("seconds", "9" * 400), command=REPORT, says="a number of 400 digits"),
    Situation(what="a list for the losses", make="sweep", edit=record_with("losses", "[[]]"), command=REPORT, says="losses"),
    Situation(what="a dataset that may only be read", make="data", edit=read_only, command=CHECK, code=0, says="whole"),
    Situation(what="an export of what may only be read", make="data", edit=read_only, command=TO_TAR, code=0, says="3 shards"),
    Situation(what="a sweep that may only be read", make="sweep", edit=read_only, command=REPORT, says="Permission denied"),
    Situation(what="a table that may not be read", make="data", edit=unreadable("train/latents_text.csv"), command=CHECK, says="Permission denied"),
    Situation(what="a recipe that may not be read", make="data", edit=unreadable("dataset.toml"), command=CHECK, says="Permission denied"),
    Situation(what="a shard that may not be read", make="tar", edit=unreadable("data/val-00000-of-00001.tar"), command=TO_TAR, says="Permission denied"),
    Situation(what="a folder that is called cube.obj", make="", edit=a_mesh_folder, command="shapes check {}", says="expected a file"),
]  # fmt: skip


def copied(source: Path | None, folder: Path) -> Path:
    """A copy of what a situation starts from."""
    return folder if source is None else Path(shutil.copytree(source, folder))
