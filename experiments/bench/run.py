"""Time the parts that matter, each beside a reference measured in the same run: `make bench`.

Seconds depend on the machine; ratios are easier to compare. A missed bound is marked MISSED and is
not an error.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import evidence
import numpy as np
import plain
import polars as pl
import recorded
import world
from composing import composed
from timing import HEADERS, Row, cells, line, machine, record, timed

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.chains import graph as graphs
from r2rec.chains import neighbours, samplers
from r2rec.chains.chain import load_graph
from r2rec.config import Config
from r2rec.config.slices import PrepareSlice, SplitSlice, TaskSlice, cut
from r2rec.data.prepare import locate, prepare
from r2rec.data.split import split
from r2rec.evaluate.metrics import per_user, rank_by_score, summarise
from r2rec.execution.rules import checked_config
from r2rec.prompts.answer import parse_ranking, render_completion
from r2rec.prompts.render import render_prompt
from r2rec.tasks import training as tasks
from r2rec.thoughts import template
from r2rec.thoughts.audit import audit
from r2rec.train import rewards

ROOT = Path(__file__).resolve().parents[2]
MOVIELENS_PART = "ml-1m-part"  # folder with users 1-2999 of MovieLens-1M
CHAINS_PER_USER = 5
COUNTED_USERS = 100  # users that the slow reference samples chains for
PROMPTS = 1000
AUDITED = 200
COMPLETIONS = 10_000
# What the stage `weigh` chooses on MovieLens-1M, which isn't timed here.
WEIGHTS = {
    "window": 15,
    "before": False,
    "decay": 0.8,
    "popularity": 0.2,
    "taste": 4.0,
    "witness": 0.0,
}
RANKED_USERS = 10_000
CANDIDATES = 20
NO_PROPOSALS = 2  # a value of neighbours.PAYS with which V(u) is always enumerated
SMALLEST_HYDRA_APP = """import hydra


@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    pass


if __name__ == "__main__":
    main()
"""


class Setting(NamedTuple):
    """What all cases share."""

    config: Config
    folder: Path  # a temporary folder of this run
    repeats: int


def time_data(setting: Setting) -> Iterator[Row]:
    """Raw files to the seven tables of `prepare` and `split`, written as parquet."""
    reference_folder = setting.folder / "plain"
    reference_folder.mkdir(exist_ok=True)
    root = Path(str(setting.config.dataset.root))
    ours, reference = timed(
        setting.repeats,
        lambda: write_tables(setting),
        lambda: plain.prepare_and_split(root, reference_folder, 0),
    )
    yield Row(
        "prepare + split",
        1,
        ours,
        "pandas, loops over users",
        reference,
        max_seconds=2,
        min_ratio=10,
    )


def time_chains(setting: Setting) -> Iterator[Row]:
    """Chains of all users; building the graph is not timed."""
    graph = load_graph(*write_tables(setting))
    users = np.flatnonzero(np.diff(graph.start))
    queries = graphs.queries(graph, users)
    sets = plain.Sets(graph)
    step = -(-len(users) // COUNTED_USERS)
    counted_users = users[::step].tolist()
    scale = len(users) / len(counted_users)
    count = len(users) * CHAINS_PER_USER

    def closed() -> samplers.Chains:
        return samplers.closed(graph, queries, CHAINS_PER_USER, np.random.default_rng(0))

    def closed_by_enumeration() -> samplers.Chains:
        with patch.object(neighbours, "PAYS", NO_PROPOSALS):
            return closed()

    def closed_by_counting() -> list[plain.Chain]:
        return plain.closed_by_counting(sets, counted_users, CHAINS_PER_USER, random.Random(0))

    def closed_by_plain_proposal() -> list[plain.Chain]:
        return plain.closed_by_proposal(sets, users.tolist(), CHAINS_PER_USER, random.Random(0))

    def open_chains() -> samplers.Chains:
        return samplers.open_ended(graph, queries, CHAINS_PER_USER, np.random.default_rng(0))

    proposed, enumerated, reference = timed(
        setting.repeats, closed, closed_by_enumeration, closed_by_counting
    )
    reference = [seconds * scale for seconds in reference]
    reference_name = f"counting in dicts, {len(counted_users)} users x {scale:.1f}"
    yield Row(
        "closed chains",
        count,
        proposed,
        reference_name,
        reference,
        max_seconds=1,
        min_ratio=50,
    )
    yield Row("closed, enumeration only", count, enumerated, reference_name, reference)
    proposed, reference = timed(setting.repeats, closed, closed_by_plain_proposal)
    yield Row("closed chains", count, proposed, "the same proposals in a loop", reference)
    [times] = timed(setting.repeats, open_chains)
    yield Row("open chains", count, times)


def time_evidence(setting: Setting) -> Iterator[Row]:
    """Evidence chains to all candidates of all users."""
    yield from evidence.rows(*write_tables(setting), setting.repeats)


def time_models(setting: Setting) -> Iterator[Row]:
    """Epochs of SASRec and LightGCN, at their published sizes."""
    import baselines

    yield from baselines.rows(*write_tables(setting), setting.repeats)


def time_prompts(setting: Setting) -> Iterator[Row]:
    """Text: from cases to prompts, traces and rewards."""
    choices = cut(TaskSlice, setting.config)
    source = tasks.load_source(*write_tables(setting))
    targets = tasks.targets(source, choices).head(PROMPTS)
    made = tasks.ranking_tasks(source, targets, choices, seeds.generator(0, "bench"))
    cases = [task.case for task in made]
    truth = [task.truth for task in made]
    traces = template.write_thoughts(cases, truth, 0)
    audited = list(zip(cases, traces, truth, strict=True))[:AUDITED]
    texts = [render_completion(thought, answer) for thought, answer in traces]
    completions = (10 * texts)[:COMPLETIONS]
    positive = (10 * truth)[:COMPLETIONS]
    n_candidates = len(completions) * [len(cases[0].candidates)]

    def render_prompts() -> None:
        for case in cases:
            render_prompt(case, choices.prompt, choices.words)

    def write_traces() -> None:
        template.write_thoughts(cases, truth, 0)

    def audit_traces() -> None:
        for case, (thought, answer), true_answer in audited:
            audit(case, thought, answer, true_answer)

    def parse_answers() -> None:
        for completion in completions:
            parse_ranking(completion, CANDIDATES)

    def reward_steps() -> None:
        rewards.step_reward(completions, low=4, high=12)

    def reward_rankings() -> None:
        rewards.linear_reward(completions, positive=positive, n_candidates=n_candidates)

    calls: dict[str, tuple[int, Callable[[], None]]] = {
        "ranking prompts rendered": (len(cases), render_prompts),
        "template traces": (len(cases), write_traces),
        "traces audited": (len(audited), audit_traces),
        "answers parsed": (len(completions), parse_answers),
        "rewards, step": (len(completions), reward_steps),
        "rewards, linear": (len(completions), reward_rankings),
    }
    for what, (count, call) in calls.items():
        [times] = timed(setting.repeats, call)
        yield Row(what, count, times)


def time_metrics(setting: Setting) -> Iterator[Row]:
    """Rankings of 10,000 users to a record of metrics.json, 1,000 bootstrap resamples."""
    rng = np.random.default_rng(0)
    items = np.tile(np.arange(500, dtype=np.uint32), (RANKED_USERS, 1))
    candidates = rng.permuted(items, axis=1)[:, :CANDIDATES]
    scores = rng.random((RANKED_USERS, CANDIDATES))
    rankings = rank_by_score(scores, candidates, rng)
    table = pl.DataFrame(
        {
            "method": ["bench"] * RANKED_USERS,
            "user": np.arange(RANKED_USERS, dtype=np.uint32),
            "positive": candidates[:, 0],
        }
    )
    table = table.with_columns(
        candidates=pl.Series(candidates.tolist()),
        ranking=pl.Series(rankings.tolist()),
        valid=True,
    )

    def summarise_table() -> dict[str, Any]:
        return summarise(
            per_user(table),
            method="bench",
            variant="",
            dataset="none",
            train_dataset="none",
            seed=0,
        )

    [times] = timed(setting.repeats, summarise_table)
    yield Row("metrics with intervals", RANKED_USERS, times)


def time_help(setting: Setting) -> Iterator[Row]:
    """`--help` as a process; the reference is the smallest Hydra application."""
    bare = setting.folder / "bare.py"
    bare.write_text(SMALLEST_HYDRA_APP)
    ours, reference = timed(
        2 * setting.repeats,
        lambda: run_python("-m", "r2rec", "--help"),
        lambda: run_python(str(bare), "--help"),
    )
    yield Row("python -m r2rec --help", 1, ours, "bare Hydra app", reference, min_ratio=0.5)


def time_reuse(setting: Setting) -> Iterator[Row]:
    """A whole run that reuses every artefact; the warm-up makes them."""
    words = [
        "-m",
        "r2rec",
        "+experiment=smoke",
        f"artefacts={setting.folder / 'artefacts'}",
        f"hydra.run.dir={setting.folder / 'out'}",
    ]
    [times] = timed(setting.repeats, lambda: run_python(*words))
    yield Row("+experiment=smoke, all reused", 1, times)


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "data": time_data,
    "chains": time_chains,
    "evidence": time_evidence,
    "models": time_models,
    "prompts": time_prompts,
    "metrics": time_metrics,
    "help": time_help,
    "reuse": time_reuse,
}


def write_tables(setting: Setting) -> tuple[Path, Path]:
    """Run the stages `prepare` and `split`; return their folders."""
    prepared = setting.folder / "prepare"
    parts = setting.folder / "split"
    prepared.mkdir(exist_ok=True)
    parts.mkdir(exist_ok=True)
    config = setting.config
    raw_files = locate(config.dataset, setting.folder)
    responses = setting.folder / "responses"
    prepare(
        cut(PrepareSlice, config),
        raw_files,
        Workspace(prepared, config.hardware, responses),
    )
    split(
        cut(SplitSlice, config),
        {"prepare": prepared},
        Workspace(parts, config.hardware, responses),
    )
    return prepared, parts


def run_python(*words: str) -> None:
    """Run Python in a process of its own; end with an error message if it fails."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: python {' '.join(words)} failed: {done.stderr.strip()[-500:]}")


def find_ratings(given: Path | None, users: int | None, folder: Path) -> tuple[Path, str]:
    """A folder with ratings.dat, and a description: real ratings if found, else generated ones.

    Args:
        given: Where to look. None: $R2REC_DATA, or shared/data beside the checkout.
        users: Generate ratings of this many users even if there are real ones.
        folder: Where generated ratings go.
    """
    base = given or Path(os.environ.get("R2REC_DATA") or ROOT.parent / "shared" / "data")
    if users is None:
        for candidate in (base, base / MOVIELENS_PART):
            if (candidate / "ratings.dat").is_file():
                if candidate.name == MOVIELENS_PART:
                    return candidate, "MovieLens-1M, users 1-2999"
                return candidate, f"ratings of {candidate}"
    if given:
        sys.exit(
            f"error: no ratings.dat in {given} or its {MOVIELENS_PART}; "
            "name a folder with MovieLens-1M's files"
        )
    generated = folder / "raw"
    generated.mkdir()
    if users is None:
        world.write(generated, world.USERS)
        return generated, f"GENERATED ratings of {world.USERS:,} users: no real data found"
    world.write(generated, users)
    return generated, f"GENERATED ratings of {users:,} users"


def configured(root: Path) -> Config:
    """The configuration for MovieLens-1M's files in `root`."""
    weights = [f"chain_sampler.params.{name}={value}" for name, value in WEIGHTS.items()]
    words = ["dataset=ml_1m", f"dataset.root={json.dumps(str(root))}", *weights]
    return checked_config(composed(*words))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, nargs="?", help="folder with ratings.dat; default: $R2REC_DATA")
    add("--only", metavar="NAME", action="append", choices=CASES, help=f"of {', '.join(CASES)}")
    add("--users", type=int, metavar="N", help="generate ratings of N users, even beside real ones")
    add("--repeats", type=int, default=5, metavar="N", help="timed calls of each case; default 5")
    add("--json", type=Path, metavar="FILE", help="write the figures to this file")
    add("--write", action="store_true", help="put the whole table into README.md")
    args = parser.parse_args()
    if args.write and (args.only or args.users):
        parser.error("--write records a whole table: leave --only and --users out")
    return args


def main() -> None:
    args = parsed_arguments()
    lines: list[str] = []

    def show(text: str) -> None:
        lines.append(text)
        print(text, flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, description = find_ratings(args.data, args.users, folder)
        facts: dict[str, Any] = {"machine": machine(), "data": description}
        for key, value in facts.items():
            show(f"{key}: {value}")
        show("")
        setting = Setting(configured(root), folder, args.repeats)
        records = []
        show(line(list(HEADERS)))
        for case in args.only or CASES:
            for row in CASES[case](setting):
                show(line(cells(case, row)))
                records.append(record(case, row))
    if args.json:
        args.json.write_text(json.dumps(facts | {"rows": records}, indent=2) + "\n")
    if args.write:
        recorded.write(lines)


if __name__ == "__main__":
    main()
