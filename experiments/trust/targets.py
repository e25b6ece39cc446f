"""Whom training asks about, and which negatives nobody rated, on a data set.

    python -m r2rec until=split dataset=ml_1m dataset.root=FOLDER hydra.run.dir=RUN
    python experiments/trust/targets.py RUN

Prints the share of negatives (and of test positives) without a train rating, and of 500 targets of
SFT and of RL at three seeds: the share that the tenth of users with most ratings supplies, and how
many users they are about.
"""

import sys
from pathlib import Path

import polars as pl

import r2rec
from r2rec.base.seeds import generator
from r2rec.config.data import TARGETS
from r2rec.data.split import unrated_negatives
from r2rec.tasks.targets import for_rl, for_sft, heavy_share, training_targets

SAMPLES = 500
SEEDS = range(3)


def main(run: Path) -> None:
    loaded = r2rec.load(run)
    split = loaded.artefacts["split"]
    train = pl.read_parquet(split / "train.parquet")
    candidates = pl.read_parquet(split / "candidates.parquet")
    unrated = ~candidates["positive"].is_in(train["item"].unique().implode())
    share = unrated_negatives(candidates, train["item"])
    print(
        f"{candidates.height} users: {share:.1%} of negatives "
        f"and {unrated.mean():.1%} of test positives have no train rating"
    )
    spec = loaded.config.evaluation
    for by in TARGETS:
        for seed in SEEDS:
            pool = training_targets(
                train,
                positive_above=spec.positive_above,
                min_history=spec.min_history,
                rng=generator(seed, "targets"),
                by=by,
            )
            told = []
            for name, take in (("SFT", for_sft), ("RL", for_rl)):
                taken = take(pool, SAMPLES)
                share = heavy_share(taken, train)
                told.append(f"{name} {share:.1%} of {taken['user'].n_unique()} users")
            print(f"targets={by}, seed {seed}, {pool.height} likes: {'; '.join(told)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
