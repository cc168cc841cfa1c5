"""The command that turns a dataset into shards: export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("dataset", type=Path)
@click.option(
    "--to",
    type=click.Choice(["parquet", "webdataset"]),
    required=True,
    help="Parquet files for Hugging Face's datasets, or tar files for webdataset.",
)
@click.option("--out", type=Path, required=True, help="Folder of the shards; it must be new.")
@click.option("--per-shard", type=int, default=1000, show_default=True, help="Samples a shard, at most.")
def export(dataset: Path, to: Any, out: Path, per_shard: int) -> None:
    """Write a DATASET folder as a few large files, which identbox and others read.

    OUT appears when all of it is written.
    """
    from identbox import exports
    from identbox.cli import progress_bar

    with progress_bar() as progress:
        task = progress.add_task("samples", total=None, already=0)
        shards = exports.export(
            dataset,
            to,
            out,
            per_shard=per_shard,
            on_start=lambda total: progress.update(task, total=total),
            on_sample=lambda: progress.advance(task),
        )
    click.echo(f"{out}: {len(shards)} shards in {out / 'data'}")
