"""A run in Python: `r2rec.load(run)`.

Nothing heavy is imported before a table is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2rec.base.cleanup import manifest_of_run
from r2rec.base.errors import R2RecError
from r2rec.base.store import MANIFEST
from r2rec.results.find import find, find_one, jobs_of

if TYPE_CHECKING:
    import polars as pl

    from r2rec.config import Config
    from r2rec.results.cases import UserCase
    from r2rec.results.plots import Picture

METRICS = "metrics.json"
RANKINGS = "rankings.parquet"
MAX_USERS = 5  # that an error names


def load(run: "str | Path | Run") -> "Run":
    """A run, or a sweep of runs, that has left its folder.

    Args:
        run: The folder, or a part of its path that no other run has, or "last".

    Raises:
        R2RecError: No run is meant, or several are.
    """
    return run if isinstance(run, Run) else Run(find(run))


@dataclass(frozen=True)
class Run:
    """What a run left in its folder. Everything is read when it is asked for, and once.

    A sweep has `jobs`, which are runs, and `metrics` and `rankings` of them all; a manifest, a
    configuration and cases have its jobs alone.

    Raises:
        R2RecError: A file is missing or damaged, or a sweep is asked what only its jobs can tell.
    """

    folder: Path

    @cached_property
    def jobs(self) -> "Sequence[Run]":
        """The jobs of a sweep, in their order; none where this is one run."""
        return [Run(job) for job in jobs_of(self.folder)]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """manifest.json: command, overrides, revision, versions, seed, and all artefacts."""
        find_one(self.folder)
        manifest = manifest_of_run(self.folder / MANIFEST)
        if manifest is None:
            raise R2RecError(f"{self.folder / MANIFEST} is missing or damaged")
        return manifest

    @cached_property
    def config(self) -> "Config":
        """The configuration, resolved and without secrets: `run.config.reward.name`."""
        from r2rec.results.recorded import config_of

        find_one(self.folder)
        return config_of(self.folder)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The records of metrics.json; of a sweep, those of all jobs that have finished.

        An arm that several jobs share is there once. Arms of one name that differ say in `variant`
        in what.
        """
        from r2rec.report.arms import collected_arms
        from r2rec.report.records import read_records

        if self.jobs:
            return [dict(arm.record) for arm in collected_arms(self.folder)]
        if not (self.folder / METRICS).exists():
            raise R2RecError(f"{self.folder} has no results yet: {self._state()}")
        return read_records(self.folder / METRICS)

    def with_metrics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The records with other metrics, such as ["hr@10", "mrr"], computed from the rankings.

        Raises:
            R2RecError: There is no such metric, or the rankings are gone.
        """
        from r2rec.evaluate.names import check_metrics
        from r2rec.report.arms import collected_arms
        from r2rec.report.measured import all_measured

        check_metrics(names)
        if self.jobs:
            arms = collected_arms(self.folder)
            return all_measured(((arm.record, arm.rankings) for arm in arms), names)
        return all_measured(((record, self.folder / RANKINGS) for record in self.records), names)

    @property
    def metrics(self) -> "pl.DataFrame":
        """A row per method: method, variant, dataset, train_dataset, seed, n_users, its metrics,
        valid_ratio, and the ends of their 95% intervals, such as hr@1_low and hr@1_high. Where a
        run set seeds apart also seed_data, seed_train and seed_answer; null: it does not matter.

        Its metrics are the paper's, and what the run's evaluation.metrics chose.
        """
        import polars as pl

        from r2rec.report.repeats import seed_columns

        rows = []
        for record in self.records:
            nested = ("ci95", "metrics", "seeds")
            row = {name: value for name, value in record.items() if name not in nested}
            row |= seed_columns(record)
            for name, (low, high) in record["ci95"].items():
                row |= {f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
        return pl.DataFrame(rows, infer_schema_length=None)

    @cached_property
    def rankings(self) -> "pl.DataFrame":
        """A row per method and user: method, user, positive, candidates (as shown), ranking (best
        first), valid, completion. Those of a sweep have the folder of their job in front.
        """
        import polars as pl

        if self.jobs:
            tables = []
            for job in self.jobs:
                if (job.folder / RANKINGS).exists():
                    name = pl.lit(job.folder.name).alias("job")
                    tables.append(job.rankings.select(name, pl.all()))
            if not tables:
                raise R2RecError(f"{self.folder} has no results yet: no job has finished")
            return pl.concat(tables, how="diagonal")
        path = self.folder / RANKINGS
        try:
            return pl.read_parquet(path)
        except FileNotFoundError:
            raise R2RecError(f"{self.folder} has no rankings yet: {self._state()}") from None
        except (OSError, pl.exceptions.PolarsError) as error:
            raise R2RecError(f"{path} cannot be read: {error}") from error

    @cached_property
    def artefacts(self) -> Mapping[str, Path]:
        """Stage -> folder of its artefact; of a stage with one per method, that of the last."""
        from r2rec.report.folders import stages_of

        find_one(self.folder)
        return {name: Path(stage["path"]) for name, stage in stages_of(self.folder).items()}

    def case(self, user: int | str) -> "UserCase":
        """One user's case: what the methods were told, what they answered, what was right.

        Args:
            user: An `int` is the number in the tables, a `str` the id in the original files.

        Raises:
            R2RecError: There is no such user, or the run did not rank for them.
        """
        return self.cases([user])[0]

    def cases(self, users: Sequence[int | str] | None = None) -> "list[UserCase]":
        """The cases of these users, or of all that the run ranked for."""
        from r2rec.results.cases import cases_of

        find_one(self.folder)
        rankings = self.rankings
        wanted = rankings["user"].unique(maintain_order=True).to_list()
        if users is not None:
            wanted = [self._number(user) for user in users]
        variants = {record["method"]: record["variant"] for record in self.records}
        inputs = self._inputs()
        rows = rankings.filter(rankings["user"].is_in(wanted))
        by_user = {case.user: case for case in cases_of(self.config, rows, variants, inputs)}
        return [by_user[user] for user in wanted]

    def plot(self) -> "Picture":
        """The main metric of every method with its 95% interval; a notebook shows it.

        `.save(path)` writes it to a file.
        """
        from r2rec.results.plots import plot_metrics

        return plot_metrics(self.records)

    def _inputs(self) -> dict[str, Path]:
        """The folders that cases are made of."""
        inputs = {}
        for name in ("prepare", "split", "tell", "chain", "rank"):
            path = self.artefacts.get(name)
            if path is None:
                continue
            inputs[name] = path
            if not path.is_dir() and name != "rank":
                raise R2RecError(
                    f"{path}, of stage {name}, is gone: `r2rec rerun {self.folder}` makes it again"
                )
        return inputs

    def user_ids(self) -> list[str]:
        """The users that the run ranked for, by their ids in the original files."""
        known = self.rankings["user"].unique(maintain_order=True)
        ids: list[str] = self._raw_ids().gather(known).to_list()
        return ids

    def _raw_ids(self) -> "pl.Series":
        """The id of every user in the original files, by number."""
        import polars as pl

        return pl.read_parquet(self._inputs()["prepare"] / "users.parquet").sort("user")["raw_id"]

    def _number(self, user: int | str) -> int:
        """The number of a user that the run ranked for."""
        from r2rec.prompts.render import clean

        raw_ids = self._raw_ids()
        number = user
        if isinstance(user, str):
            found = (raw_ids == user).arg_true()
            number = int(found[0]) if len(found) else -1
        if number in self.rankings["user"]:
            return int(number)
        there = isinstance(number, int) and 0 <= number < len(raw_ids)
        reason = "was not ranked for" if there else "is not in the data, nor ranked for"
        known = self.rankings["user"].unique(maintain_order=True)
        named = known if isinstance(user, int) else raw_ids.gather(known)
        examples = ", ".join(clean(str(name)) for name in named.head(MAX_USERS))
        raise R2RecError(f"user {user} {reason}; {len(known)} users were, such as {examples}")

    def _state(self) -> str:
        """How far a run has come."""
        stages = list(self.manifest["stages"])
        return f"it ended after {stages[-1]}" if stages else "it ended before its first stage"
