"""The functions of `import r2rec`. Nothing heavy is imported before one is called."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from r2rec.base.errors import R2RecError
from r2rec.results.find import ROOT
from r2rec.results.load import Run, load

if TYPE_CHECKING:
    import polars as pl

    from r2rec.results.plots import Picture

__all__ = ["compare", "load", "plot_differences", "run", "runs"]


def run(
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> Run:
    """Run the method in this process, as `r2rec OVERRIDES` does.

    Args:
        overrides: As on the command line: `["dataset=ml_1m", "seed=1"]`. `hydra.run.dir=FOLDER`
            names the folder of the run.
        config_dir: A folder with configuration groups of your own.
        say: Called with each line for the console.

    Raises:
        R2RecError: The overrides, the data or the disk do not allow it.
    """
    from r2rec import config
    from r2rec.base.claims import register_resolver
    from r2rec.base.environment import guard_environment
    from r2rec.compat.hydra import as_lists, composition_error, run_error
    from r2rec.config.place import CONF
    from r2rec.execution.entry import run_config
    from r2rec.execution.rerun import composed, merged_overrides, run_folder

    if isinstance(overrides, str):
        raise R2RecError(f"overrides are a list: run([{overrides!r}])")
    config.register()
    register_resolver()
    guard_environment()
    folders = [str(Path(config_dir).resolve())] if config_dir else []
    try:
        cfg = composed(merged_overrides((), as_lists(overrides)), folders, CONF)
        folder = run_folder(cfg, overrides)
        run_config(cfg, folder, say)
    except Exception as error:
        line = composition_error(error) or run_error(error, overrides, CONF)
        if line is None:
            raise
        raise R2RecError(line) from error
    return Run(folder)


def runs(
    root: str | Path = ROOT, words: Sequence[str] = (), metric: str = "hr@1"
) -> "pl.DataFrame":
    """What was run, oldest first: a row per run or sweep.

    Args:
        root: Where runs are looked for.
        words: Only runs with all of these in folder, overrides, data sets, methods or state.
        metric: hr@K, ndcg@K or mrr; a run that was not asked for it has it computed.

    Returns:
        Columns: folder, started, state, jobs (of a sweep; 0: one run), overrides, datasets, methods
        and the metric (a value of each method).

    Raises:
        R2RecError: There is no such metric.
    """
    import polars as pl

    from r2rec.results.runs import run_rows

    rows = run_rows(Path(root), words, metric)
    return pl.DataFrame(
        {
            "folder": [row.folder for row in rows],
            "started": [row.started for row in rows],
            "state": [row.state for row in rows],
            "jobs": [row.jobs for row in rows],
            "overrides": [row.overrides for row in rows],
            "datasets": [row.datasets for row in rows],
            "methods": [list(row.results) for row in rows],
            metric: [list(row.results.values()) for row in rows],
        },
        schema={
            "folder": pl.String,
            "started": pl.Datetime,
            "state": pl.String,
            "jobs": pl.Int64,
            "overrides": pl.List(pl.String),
            "datasets": pl.List(pl.String),
            "methods": pl.List(pl.String),
            metric: pl.List(pl.Float64),
        },
    )


def compare(
    *runs: str | Path | Run,
    methods: Sequence[str] = (),
    every: bool = False,
    metric: str | None = None,
) -> "pl.DataFrame":
    """A metric of methods minus that of others, paired by user and seed.

    Of one run or sweep, all methods are compared; of several, those of different runs are: each
    method with itself, and one that the other runs lack with all of theirs.

    Args:
        runs: Runs, or what `load` takes.
        methods: Those that are compared; none: all.
        every: Of several runs, compare the methods of each run with one another too.
        metric: hr@K, ndcg@K or mrr; None: the first of the runs' evaluation.metrics.

    Returns:
        Columns: dataset, metric, method, against, seeds, varied (which of data, train and answer
        differ between the seeds), pairs, difference (method - against), low
        and high (95% interval), p (two-sided), p_holm (adjusted for all comparisons on a data set),
        effect (Cohen's d), detectable (what this many users would show in 4 of 5 trials), kind
        (declared or exploratory, where the runs' evaluation.compare declares comparisons).

    Raises:
        R2RecError: There is no such metric, or nothing to compare, or two runs ranked other
            candidates.
    """
    from r2rec.results.compare import run_differences

    return run_differences([load(run) for run in runs], methods, every, metric)


def plot_differences(differences: "pl.DataFrame") -> "Picture":
    """The differences that `compare` returns, about 0; filled where Holm's p is below 0.05."""
    from r2rec.results.plots import differences_picture

    return differences_picture(differences)
