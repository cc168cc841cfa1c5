"""Exports of a dataset: Parquet shards, which Hugging Face's datasets opens, or tar shards, which webdataset streams.

A folder of 145 000 small files is slow to copy and to list; shards are a few large ones. Nothing is lost: the bytes of
every PNG, all bits of the latents, the sentences, the recipe and the vocabulary are kept. identbox reads both forms as
it reads the dataset.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from identbox import config, files
from identbox.data.counterfactuals import FILE as INTERVENTION_FILE
from identbox.data.counterfactuals import counterfactuals_of
from identbox.data.folder import SPLITS, image_name
from identbox.data.formats import Source, has_split, open_source, shard_name
from identbox.data.png import fault as png_fault
from identbox.data.recipe import Recipe
from identbox.data.shards import pyarrow
from identbox.errors import IdentboxError, expect_library
from identbox.process.distributions import Categorical

SUFFIXES = {"parquet": "parquet", "webdataset": "tar"}  # of the shards, by form
ROWS_PER_GROUP = 64  # the least that is read at once from a Parquet file: 4 MB of images at 224 pixels
FILES_BESIDE_SHARDS = ("dataset.toml", "vocab.json", "README.md", "gallery.png")  # copied as they are


def export_dataset(
    dataset: Path,
    to: str,
    out: Path,
    *,
    per_shard: int = 1000,
    on_start: Callable[[int], None] = lambda total: None,
    on_sample: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write every split of a dataset (a folder, or another export) as shards; returns the shards.

    ``to`` is one of SUFFIXES. ``out`` appears when all of it is written. Raises IdentboxError for another form, fewer
    than one sample in a shard, an ``out`` that exists, a dataset with a part missing or an image damaged, a library
    that is not installed, and a folder that cannot be written.
    """
    if to not in SUFFIXES:
        raise IdentboxError(f"to: expected one of {', '.join(SUFFIXES)}; got {to}")
    if per_shard < 1:
        raise IdentboxError(f"per_shard: expected at least 1 sample, got {per_shard}")
    if out.exists():
        raise IdentboxError(f"{out}: expected a new folder, got one that exists")
    _expect_library(to)
    added = {one.name: one for one in counterfactuals_of(dataset)}
    sources = {split: open_source(dataset, split) for split in (*SPLITS, *added) if has_split(dataset, split)}
    if not sources:
        raise IdentboxError(f"{dataset}: expected a dataset, got a folder without splits")
    for split, source in sources.items():
        for path in source.files:
            if path.is_symlink() or (dataset / split).is_symlink():
                _own(dataset, str(path.relative_to(dataset)))
    on_start(sum(len(source.sentences) for source in sources.values()))
    try:
        with files.whole_folder(out) as part:
            (part / "data").mkdir()
            for name in FILES_BESIDE_SHARDS:
                if (dataset / name).exists():
                    content = files.read_bytes(_own(dataset, name), files.LARGEST_TEXT)
                    (part / name).write_bytes(content)
            for name, one in added.items():
                config.write_toml(part / "data" / f"{name}.{INTERVENTION_FILE}", one.table())
            names = _write_shards(part / "data", to, sources, _classes(dataset), per_shard, on_sample)
    except OSError as error:
        raise IdentboxError(f"{out}: expected a folder to write to, got {error.strerror or error}") from error
    return [out / "data" / name for name in names]


def _write_shards(
    folder: Path,
    to: str,
    sources: dict[str, Source],
    classes: dict[str, tuple[str, ...]],
    per_shard: int,
    on_sample: Callable[[], None],
) -> list[str]:
    """Write the shards of all splits, each of nearly the same number of samples; returns their names."""
    names = []
    for split, source in sources.items():
        n = len(source.sentences)
        count = math.ceil(n / per_shard)
        for place in range(count):
            name = shard_name(split, place, count, SUFFIXES[to])
            indices = range(place * n // count, (place + 1) * n // count)
            if to == "parquet":
                _write_parquet(folder / name, source, indices, classes, on_sample)
            else:
                _write_tar(folder / name, split, source, indices, on_sample)
            names.append(name)
    return names


def _own(dataset: Path, name: str) -> Path:
    """A file of the dataset. Raises IdentboxError for a link that leads out of it: an export is often published."""
    return files.inside(dataset, name, str(dataset / name))


def _expect_library(to: str) -> None:
    if to == "parquet":
        pyarrow()
        return
    with expect_library("export", "webdataset", "export"):
        import webdataset  # noqa: F401


def _classes(dataset: Path) -> dict[str, tuple[str, ...]]:
    """The names of the classes of each variable whose classes have names."""
    recipe = Recipe.read(dataset)
    variables = () if recipe is None else recipe.process.variables
    return {
        variable.name: variable.distribution.classes
        for variable in variables
        if isinstance(variable.distribution, Categorical) and isinstance(variable.distribution.classes, tuple)
    }


def _samples(source: Source, indices: range) -> Iterator[dict[str, Any]]:
    """The samples of a shard. Raises IdentboxError for an image that is not a whole PNG."""
    for index in indices:
        try:
            png = source.png(index)
        except OSError as error:
            raise IdentboxError(f"{source.where(index)}: expected an image, got {error}") from error
        if wrong := png_fault(png):
            raise IdentboxError(f"{source.where(index)}: {wrong}")
        latents = {
            view: {name: _python_value(column[index]) for name, column in columns.items()}
            for view, columns in (("z_image", source.image_latents), ("z_text", source.text_latents))
        }
        yield {"png": png, "text": source.sentences[index], **latents}


def _python_value(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _write_parquet(
    path: Path,
    source: Source,
    indices: range,
    classes: dict[str, tuple[str, ...]],
    on_sample: Callable[[], None],
) -> None:
    arrow, parquet = pyarrow()
    kinds = {"i": arrow.int64(), "f": arrow.float64(), "O": arrow.string()}
    views = {"z_image": source.image_latents, "z_text": source.text_latents}
    schema = arrow.schema(
        {
            "image": arrow.struct({"bytes": arrow.binary(), "path": arrow.string()}),
            "text": arrow.string(),
            **{
                view: arrow.struct({name: kinds[column.dtype.kind] for name, column in columns.items()})
                for view, columns in views.items()
            },
        }
    ).with_metadata({"huggingface": json.dumps(_hugging_face_features(views, classes))})
    # PNGs are compressed already.
    options = {"compression": {"image.bytes": "none"}, "write_statistics": False}
    with parquet.ParquetWriter(path, schema, **options) as writer:
        rows: list[dict[str, Any]] = []
        for index, sample in zip(indices, _samples(source, indices), strict=True):
            image = {"bytes": sample.pop("png"), "path": image_name(index, len(source.sentences))}
            rows.append({"image": image, **sample})
            if len(rows) == ROWS_PER_GROUP or index == indices[-1]:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows = []
            on_sample()


def _hugging_face_features(views: dict[str, Any], classes: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The columns as Hugging Face's datasets needs them described: which are images, and the names of classes."""
    dtypes = {"i": "int64", "f": "float64", "O": "string"}
    features: dict[str, Any] = {"image": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}}
    for view, columns in views.items():
        features[view] = {
            name: {"names": list(classes[name]), "_type": "ClassLabel"}
            if name in classes and column.dtype.kind == "i"
            else {"dtype": dtypes[column.dtype.kind], "_type": "Value"}
            for name, column in columns.items()
        }
    return {"info": {"features": features}}


def _write_tar(path: Path, split: str, source: Source, indices: range, on_sample: Callable[[], None]) -> None:
    import webdataset

    with path.open("wb") as file, webdataset.TarWriter(file, encoder=False, mtime=0) as writer:
        for index, sample in zip(indices, _samples(source, indices), strict=True):
            latents = {view: sample[view] for view in ("z_image", "z_text")}
            writer.write(
                {
                    "__key__": f"{split.replace('.', '_')}-{Path(image_name(index, len(source.sentences))).stem}",
                    "png": sample["png"],
                    "txt": sample["text"].encode(),
                    "json": json.dumps(latents).encode(),
                }
            )
            on_sample()
