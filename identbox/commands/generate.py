"""The command generate: what a trained multimodal VAE makes of some modalities."""

from __future__ import annotations

from pathlib import Path

import click

from identbox.commands.options import device_option, torch_device


@click.command("generate")
@click.argument("run", type=Path)
@click.option(
    "--from",
    "given",
    metavar="NAMES",
    default="",
    help="Modalities it is generated from, separated by commas.  [default: the prior]",
)
@click.option(
    "--to", "made", metavar="NAMES", default="", help="Modalities that are made.  [default: all others]"
)
@click.option("--n", type=int, default=8, show_default=True, help="Columns: samples of the test split.")
@click.option(
    "--times", type=int, default=4, show_default=True, help="Draws of each modality, below each other."
)
@click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    help="Scale of the prior of modality-specific dimensions, as in Figure 6.7.",
)
@click.option("--first", type=int, default=0, show_default=True, help="First sample of the test split.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all draws.")
@click.option("--dataset", type=Path, help="Where the dataset is now.  [default: where it was]")
@click.option("--out", type=Path, default=Path("grid.png"), show_default=True, help="The picture.")
@device_option
def generate_command(
    run: Path, given: str, made: str, dataset: Path | None, out: Path, device: str, **asked: int | float
) -> None:
    """Show what the multimodal VAE of a RUN generates, as a picture: the inputs in the first rows.

    Without --from it generates from the prior. A modality that is named in both --from and --to is reconstructed.
    """
    from identbox import files
    from identbox.data.sheets import picture_sheet
    from identbox.experiments.dmvae_runs import load_generator
    from identbox.experiments.generation import GenerationRequest, generated_sheet, labels_of
    from identbox.settings import build

    names = {"given": _names(given), "made": _names(made)}
    request = build(GenerationRequest, {**names, **asked}, "options")
    learner, data, _ = load_generator(run, dataset)
    rows = generated_sheet(learner.to(torch_device(device)), data, request)
    picture = picture_sheet(rows, labels_of(data, request))
    with files.whole(out) as part:
        picture.save(part, format="PNG")
    source = ", ".join(request.given) or "the prior"
    click.echo(f"{out}: {len(rows)} rows of {request.n}, generated from {source}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
