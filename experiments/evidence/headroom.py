"""What several sources together would tell of the candidates, weighed by a conditional logit.

    python -m r2rec dataset=ml_1m dataset.root=FOLDER chain_sampler=evidence prompt.detailed=20 \
        baseline=counter_fitted baseline@witness=gru4rec evaluation=paper evaluation.users=2998
    python experiments/evidence/headroom.py RUN

RUN is the folder of that run. Sources are the places that evidence chains, the witness, EASE and
ItemKNN give each candidate; the weights are fitted on validation positives. Prints HR@1 on the
test positives of each set of sources: what a model that reads them could reach.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from finished import parser, run_in
from hydra.utils import get_method
from omegaconf import OmegaConf

from r2rec.base import seeds
from r2rec.config.place import CONF
from r2rec.data.candidates import Candidates
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.evaluate.arrays import Floats
from r2rec.prompts.cases import RankingCase
from r2rec.tasks.validation import validation
from r2rec.tuned.regress import logit_weights

MOST_USERS = 1_000_000  # all of them
SCORERS = ("ease", "item_knn")
SETS = (
    ("chains",),
    ("witness",),
    ("ease",),
    ("chains", "witness"),
    ("chains", "ease"),
    ("witness", "ease"),
    ("chains", "ease", "item_knn"),
    ("chains", "witness", "ease"),
    ("chains", "witness", "ease", "item_knn"),
)

Sources = dict[str, Floats]


def main() -> None:
    run = run_in(parser(__doc__).parse_args().run)
    seed = run.config.seed
    folders = run.folders
    tested = evaluated(folders["split"], seed, run.config.evaluation.users)
    ranked = run.jobs["rank counter_fitted"].job
    test_cases = evaluation_cases(ranked.choices, folders, tested)
    fitted = run.jobs["regress"].job
    tuned, tuned_cases = validation(fitted.choices, folders, MOST_USERS, "headroom")
    on_test = sources(tested, test_cases, folders, seed)
    on_validation = sources(tuned, tuned_cases, folders, seed)
    positive = Candidates.of(tested).positive_index
    tuned_positive = np.asarray(Candidates.of(tuned).positive_index)
    print(f"{tested.height} users; weights from {tuned.height} validation positives\n")
    print("| sources | HR@1 | weights |")
    print("| --- | --: | --- |")
    for names in SETS:
        given = {name: on_validation[name] for name in names}
        weights, _ = logit_weights(given, tuned_positive, penalty=1.0)
        total = sum(weights[name] * on_test[name] for name in names)
        hits = np.argmax(total, axis=1) == positive
        shown = ", ".join(f"{weights[name]:.2f}" for name in names)
        print(f"| {' + '.join(names)} | {hits.mean():.3f} | {shown} |")


def sources(
    candidates: pl.DataFrame,
    cases: list[RankingCase],
    folders: Mapping[str, Path],
    seed: int,
) -> Sources:
    """Source -> minus the logarithm of the place of each candidate, [n, k]."""
    found = {
        "chains": np.array([[chain.place for chain in case.evidence] for case in cases]),
        "witness": np.array([[chain.witness or 20 for chain in case.evidence] for case in cases]),
    }
    table = Candidates.of(candidates)
    train = pl.read_parquet(folders["split"] / "train.parquet")
    for name in SCORERS:
        spec = OmegaConf.load(CONF / "baseline" / f"{name}.yaml")
        rng = seeds.generator(seed, f"headroom.{name}")
        scorer = get_method(spec._target_)
        scores = scorer(train, table.users, table.items, rng, **spec.params)
        found[name] = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    return {name: -np.log(place) for name, place in found.items()}


if __name__ == "__main__":
    main()
