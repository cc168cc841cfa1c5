"""The usual scores of encodings against factors: of arrays in a file, or of a finished run with its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from identbox import config
from identbox.data.arrays import expect_arrays, read_arrays
from identbox.data.factors import CIRCULAR, VIEWS
from identbox.errors import IdentboxError
from identbox.experiments import image_text, trials
from identbox.experiments.dmvae_runs import load_generator
from identbox.experiments.records import RESULTS, run_of
from identbox.experiments.run import CONFIG_FILE, read_results, write_results
from identbox.metrics.disentanglement import scores
from identbox.metrics.disentanglement_records import DisentanglementScores
from identbox.metrics.targets import seen

CODES, FACTOR, PAIR = "codes", "factors/", "pairs/"  # names of arrays in a file, and what they begin with
SCORED_SAMPLES = 4096  # of a world, and of a test split at most


def scores_of_file(
    path: Path, *, periods: dict[str, float] | None = None, only: Sequence[str] | None = None, seed: int = 0
) -> DisentanglementScores:
    """The scores of the array ``codes`` (n, k) in an .npz file against its arrays ``factors/NAME`` (n,).

    Integers are classes. Arrays ``pairs/NAME/before`` and ``pairs/NAME/after`` (m, k) are codes of the same samples
    before and after an intervention. Raises IdentboxError for files that cannot be read, and as `scores` does.
    """
    arrays = read_arrays(path)
    expect_arrays(arrays, [CODES], path)
    factors = {name.removeprefix(FACTOR): a for name, a in arrays.items() if name.startswith(FACTOR)}
    if not factors:
        raise IdentboxError(f"{path}: expected arrays named {FACTOR}NAME, got {', '.join(arrays)}")
    pairs = {}
    for name in arrays:
        if name.startswith(PAIR) and name.endswith("/before"):
            other = f"{name.removesuffix('before')}after"
            expect_arrays(arrays, [other], path)
            pairs[name.removeprefix(PAIR).removesuffix("/before")] = (arrays[name], arrays[other])
    return scores(arrays[CODES], factors, periods=periods, pairs=pairs, only=only, seed=seed)


def scores_of_run(
    run: Path, *, dataset: Path | None = None, only: Sequence[str] | None = None, seed: int = 0
) -> dict[str, DisentanglementScores]:
    """The scores of each view's encodings of a run whose checkpoint is there, by view.

    Of a run of ``identbox train`` they are of the test split against what the view shows; those of contrastive encoders
    have IRS from its counterfactual splits. Of a simulation they are of new samples against the components of what the
    view sees. Raises IdentboxError for another folder, and where there is no checkpoint.
    """
    table = config.read_toml(run / CONFIG_FILE) if (run / CONFIG_FILE).exists() else {}
    if "dataset" in table:
        contrastive = not {"model", "shared"} & set(table)
        return (_of_pairs if contrastive else _of_modalities)(run, dataset, only, seed)
    trial = trials.read(run)
    learner = trial.learner()
    if learner is None:
        raise IdentboxError(f"{run}: expected a run with a checkpoint, got none")
    world = learner.world
    sample = world.sample(SCORED_SAMPLES, "scores", seed)
    found = {}
    for view in world.views:
        factors = {}
        for variable in world.process.seen_by(view):
            if variable.distribution.constant:
                continue
            values = seen(sample.latent, view, variable)
            many = values.shape[1] > 1
            for place, column in enumerate(values.T):
                factors[f"{variable.name}[{place}]" if many else variable.name] = column.cpu().numpy()
        found[view] = scores(_encoded(learner.encode(sample.x[view], view)), factors, only=only, seed=seed)
    return found


def record_scores(run: Path, found: Mapping[str, DisentanglementScores]) -> bool:
    """Add scores by view to the record of a finished run, so that its reports show them; False where there is none.

    Scores of the same view and name are replaced, others stay. Raises IdentboxError for a record that is damaged or
    cannot be written.
    """
    path = run / RESULTS
    if not path.exists():
        return False
    record = read_results(path)
    earlier = run_of(record, path).disentanglement
    made = [replace(score, view=view) for view, scored in found.items() for score in scored]
    named = {(score.view, score.name) for score in made}
    kept = [score for score in earlier if (score.view, score.name) not in named]
    record["disentanglement"] = [config.toml_values(score.record()) for score in (*kept, *made)]
    try:
        write_results(path, record)
    except OSError as error:
        raise IdentboxError(f"{path}: expected a record to write to, got {error.strerror}") from error
    return True


def _of_pairs(
    run: Path, dataset: Path | None, only: Sequence[str] | None, seed: int
) -> dict[str, DisentanglementScores]:
    learner, data = image_text.load(run, dataset)
    pairs = image_text.counterfactual_pairs(lambda split: learner.encodings(split, len(split)), data)
    rows = min(len(data.test), SCORED_SAMPLES)
    encodings = learner.encodings(data.test, rows)
    columns = {"image": data.test.image_latents, "text": data.test.text_latents}
    found = {}
    for view in VIEWS:
        factors = {
            name: column[:rows]
            for name, column in columns[view].items()
            if column.dtype.kind in "if" and len(np.unique(column[:rows])) > 1
        }
        moved = {
            one.intervention.what: (_encoded(one.encoded_before[view]), _encoded(one.encoded_after[view]))
            for one in pairs
            if len(one.intervention.targets) == 1 and one.intervention.how != "redraw"
        }
        periods = {name: period for name, period in CIRCULAR.items() if name in factors}
        found[view] = scores(
            _encoded(encodings[view]), factors, periods=periods, pairs=moved, only=only, seed=seed
        )
    return found


def _of_modalities(
    run: Path, dataset: Path | None, only: Sequence[str] | None, seed: int
) -> dict[str, DisentanglementScores]:
    """Of a multimodal VAE on a dataset: the embedding given each modality, against the factors that it shows."""
    learner, data, _ = load_generator(run, dataset)
    rows = min(len(data.test), SCORED_SAMPLES)
    encodings = learner.encodings(data.test, rows)
    found = {}
    for name in data.names:
        shown = {
            factor: data.test.factors[factor][:rows]
            for factor, one in data.test.declared.items()
            if one.shown_by(name) and len(np.unique(data.test.factors[factor][:rows])) > 1
        }
        circles = {f: data.test.declared[f].period for f in shown if data.test.declared[f].kind == "circular"}
        found[name] = scores(_encoded(encodings[name]), shown, periods=circles, only=only, seed=seed)
    return found


def _encoded(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()
