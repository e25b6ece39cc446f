"""The end of a sweep: one list of results, one table, one page, and which arms differ."""

import atexit
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode

from r2rec.base.claims import claimed, in_use
from r2rec.base.console import say, warn
from r2rec.base.errors import R2RecError
from r2rec.base.store import MANIFEST
from r2rec.compat.hydra import override_key, swept

_claims = ExitStack()  # of this process's sweep; a claim cannot be pickled with a callback

if TYPE_CHECKING:
    from r2rec.evaluate.declared import Declared
    from r2rec.report.arms import JoinedArm
    from r2rec.report.findings import Findings
    from r2rec.report.records import Record


class Join(Callback):
    """Hydra calls this before the first job of a sweep, at each job, and after the last one.

    Every run makes one, also `--help`: heavy modules are imported where they are used.
    """

    varied: "Sequence[str]" = ()  # keys that differ between jobs
    n_jobs: int | None = None  # None: the sweeper does not say

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        """Claim the sweep's folder, and remove the results of an earlier sweep in it."""
        self.varied, self.n_jobs = swept(config.hydra)
        if config.dry:
            return
        folder = _sweep_folder(config)
        try:
            _claims.enter_context(claimed(folder, "hydra.sweep.dir"))
            clear_sweep(folder)
        except R2RecError as error:
            warn(f"error: {error}")
            sys.exit(2)  # Hydra would turn the error into a warning, and go on
        atexit.register(_claims.close)

    def on_job_start(self, config: Any, **kwargs: Any) -> None:
        """Say which job of a sweep begins, and remove Hydra's own record of the sweep."""
        if config.hydra.mode == RunMode.MULTIRUN:
            _forget_overrides(_sweep_folder(config))
        if self.varied:
            words = [
                word for word in config.hydra.overrides.task if override_key(word) in self.varied
            ]
            of_all = f" of {self.n_jobs}" if self.n_jobs else ""
            name = f"job {config.hydra.job.num + 1}{of_all}"
            say(f"\n{name}: {' '.join(words)}")

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        """Join the results of all jobs, or show those of a tuning sweep, which has no report."""
        folder = _sweep_folder(config)
        _forget_overrides(folder)
        if not config.dry:
            _finish(folder)
        _claims.close()


def _finish(folder: Path) -> None:
    """Join a sweep; an error ends the process, where Hydra would only warn."""
    try:
        if join(folder):
            return
        from r2rec.report.tuning import tuning

        table = tuning(folder)
    except R2RecError as error:
        warn(f"error: {error}")
        sys.exit(2)
    if table:
        say(f"\n{table}\n\n{folder}")


def clear_sweep(folder: Path) -> None:
    """Remove what an earlier sweep left in its folder.

    Its jobs go too: if the new sweep has fewer, the others would be joined with them. Other runs
    in the folder are left alone.

    Raises:
        R2RecError: One of its jobs is going on.
    """
    from r2rec.base.cleanup import clear

    jobs = [path.parent for path in folder.glob(f"*/{MANIFEST}") if _of_a_sweep(path)]
    for job in jobs:
        if in_use(job):
            raise R2RecError(
                f"{job} is in use by another run; choose another folder: hydra.sweep.dir=FOLDER"
            )
    for job in jobs:
        clear(job)
    for name in ("metrics.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _of_a_sweep(manifest: Path) -> bool:
    """Whether a job of a sweep left this manifest."""
    try:
        recorded = json.loads(manifest.read_text(encoding="utf-8"))
        return bool(recorded.get("sweep"))
    except (OSError, ValueError, AttributeError):
        return False


def join(folder: Path) -> list[dict[str, Any]]:
    """Write metrics.json, tables/, plots/ and report.html of all finished jobs in `folder`.

    Prints the table of results, the differences between R2Rec and other arms, and the folder. An
    arm that several jobs share is listed once. Arms of one name that differ, as in a sweep over
    rewards, say in `variant` in what their setting differs from the first job's.

    Returns:
        The records of metrics.json; none where no job has finished.

    Raises:
        R2RecError: A job's rankings and its metrics.json disagree.
    """
    from r2rec.base.files import write_json
    from r2rec.evaluate.declared import declared_by
    from r2rec.report import compare
    from r2rec.report.arms import collected_arms, setting_of_others
    from r2rec.report.curves import draw_reward_curves
    from r2rec.report.findings import findings
    from r2rec.report.folders import work_summary
    from r2rec.report.grid import write_grid_page
    from r2rec.report.tables import write_tables

    arms = collected_arms(folder)
    if not arms:
        return []
    records = [dict(arm.record) for arm in arms]
    write_json(folder / "metrics.json", records)
    tables = folder / "tables"
    write_tables(records, tables)

    declared = declared_by(dict.fromkeys(arm.rankings.parent for arm in arms))
    found = findings(arms, declared)
    variations = compare.variations(compare.scores_by_setting(arms, found.metrics[0]))
    _write_differences(found, tables)
    write_json(tables / "variation.json", variations)

    draw_reward_curves(folder, {arm.rankings.parent.name: arm.job for arm in arms})
    work = work_summary(folder)
    setting = setting_of_others(arms)
    write_grid_page(
        folder,
        records=records,
        findings=found,
        variations=variations,
        jobs=_jobs_with_seeds(arms),
        work=work,
        notes=[setting] if setting else [],
    )
    notes = [line for line in (setting, work) if line]
    _print_summary(folder, records, found, notes, declared)
    return records


def _jobs_with_seeds(arms: "Sequence[JoinedArm]") -> dict[str, str]:
    """Folder name of each job -> its seeds and its label."""
    from r2rec.report.repeats import repeat_of

    jobs: dict[str, str] = {}
    for arm in arms:
        name = arm.rankings.parent.name
        seeds = repeat_of(arm.record)
        if None not in seeds or name not in jobs:
            jobs[name] = ", ".join(filter(None, [seeds.text(), arm.job]))
    return jobs


def _write_differences(found: "Findings", tables: Path) -> None:
    from r2rec.base.files import write_json
    from r2rec.report.compare import difference_line
    from r2rec.report.tables import write_text

    lines = map(difference_line, found.main)
    write_text(tables / "differences.txt", "\n".join(lines) + "\n")
    write_json(tables / "differences.json", found.main)


def _print_summary(
    folder: Path,
    records: "Sequence[Record]",
    found: "Findings",
    notes: "Sequence[str]",
    declared: "Declared",
) -> None:
    from r2rec.report.compare import significant_text
    from r2rec.report.tables import results_table
    from r2rec.report.verdict import verdict_text

    lines = ["", results_table(records), ""]
    if found.main:
        lines.append(significant_text(found.main, declared))
    lines += [*found.varied_texts(), *notes]
    lines += [str(folder), f"page: {folder / 'report.html'}"]
    if found.main:
        lines.append(f"differences: {folder / 'tables' / 'differences.txt'}")
    lines += ["", verdict_text(found)]
    say("\n".join(lines))


def _sweep_folder(config: Any) -> Path:
    return Path(config.hydra.sweep.dir)


def _forget_overrides(folder: Path) -> None:
    """Remove multirun.yaml, where Hydra writes overrides as they were typed, secrets too.

    Each job has its own config.yaml, without secrets.
    """
    (folder / "multirun.yaml").unlink(missing_ok=True)
