"""HR@1 of a reader who counts as the template teacher does, without a fault: what the tiny backbone could reach.

    python experiments/evidence/faultless.py [override ...]      # dataset=ml_1m dataset.root=FOLDER

One row per chain sampler: the sum over all traits, the teacher's own score (`evidence.scores`, where a candidate that a
chain leads to counts more), and that score without what links. Equals are ordered at random: expected HR@1.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hydra import compose, initialize_config_dir

from r2rec import config, pipeline
from r2rec.__main__ import CONF
from r2rec.evaluate.rank import evaluated, evaluation_cases
from r2rec.thoughts import evidence

SAMPLERS = ("none", "open", "closed", "retrieval")


def main() -> None:
    print("| chains | sum | as the teacher | without links |\n| --- | --: | --: | --: |")
    for sampler in SAMPLERS:
        with tempfile.TemporaryDirectory() as name:
            columns = scored(Path(name), f"chain_sampler={sampler}", *sys.argv[1:])
        print(f"| {sampler} | " + " | ".join(f"{value:.3f}" for value in columns) + " |", flush=True)


def scored(folder: Path, *overrides: str) -> list[float]:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["evaluation=paper", *overrides, "until=chain", f"artefacts={folder / 'store'}"])
    pipeline.run(cfg, folder / "run", say=lambda line: None)
    stages = json.loads((folder / "run" / "manifest.json").read_text())["stages"]
    inputs = {name: Path(stage["path"]) for name, stage in stages.items()}
    candidates = evaluated(cfg, inputs["split"])
    cases = evaluation_cases(cfg, inputs, candidates)
    support = [evidence.support(case) for case in cases]
    unlinked = [{k: [p for p in pairs if p[0] != evidence.LINKED] for k, pairs in s.items()} for s in support]
    sums = [{k: sum(n for _, n in pairs) for k, pairs in s.items()} for s in unlinked]
    return [hit_ratio(scores, candidates) for scores in
            (sums, [evidence.scores(s) for s in support], [evidence.scores(s) for s in unlinked])]  # fmt: skip


def hit_ratio(scores: list[dict[str, int]], candidates: pl.DataFrame) -> float:
    table = np.array([list(s.values()) for s in scores])
    place = (np.array(candidates["items"].to_list()) == candidates["positive"].to_numpy()[:, None]).argmax(1)
    best = table == table.max(1, keepdims=True)
    return float((best[np.arange(len(place)), place] / best.sum(1)).mean())


if __name__ == "__main__":
    main()
