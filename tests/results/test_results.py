"""What a run has left, read again: found, loaded, shown, compared, reported."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import r2rec
from r2rec.base.files import write_json
from r2rec.config.place import CONF
from r2rec.config.slices import Arm, QuestionSlice, cut
from r2rec.evaluate import answers
from r2rec.evaluate.names import METRICS
from r2rec.prompts.cases import LABELS
from r2rec.results import find
from r2rec.results.again import report_again
from r2rec.results.members import first_sentence, members
from r2rec.results.runs import run_rows
from r2rec.results.show import PARTS, case_text, harmless
from tests.small import Done, go


@pytest.fixture
def copied(smoke: Done, tmp_path: Path) -> Path:
    """The folder of the shared run, which a test may change."""
    return Path(shutil.copytree(smoke.folder, tmp_path / "copied"))


@pytest.fixture(scope="module")
def other(store: Path) -> Done:
    """A run with one method that the shared run lacks."""
    return go(store, "baseline=item_knn")


def test_a_run_is_found_by_its_folder_by_a_part_of_its_name_or_as_the_last(
    copied: Path, tmp_path: Path
) -> None:
    root = tmp_path / "outputs"
    names = ("run/2026-01-02_00-00-00", "run/2026-01-01_00-00-00", "b/2025-01-01_00-00-00")
    for name in names:
        (root / name).mkdir(parents=True)
        shutil.copy(copied / "manifest.json", root / name)
    assert [str(path.relative_to(root)) for path in find.folders(root)] == sorted(names)
    assert find.find(copied, root) == copied
    assert find.find("last", root) == root / names[0]
    assert find.find("01-01_00", root.joinpath("run")) == root / names[1]
    for wanted, why in (("2026", "may be 2 runs"), ("2027", "no run 2027"), (root, "holds no run")):
        with pytest.raises(r2rec.R2RecError, match=why):
            find.find(wanted, root)


def test_frames_hold_what_the_files_hold(smoke: Done) -> None:
    run = r2rec.load(smoke.folder)
    assert run.metrics["method"].to_list() == [record["method"] for record in smoke.records]
    assert run.metrics["hr@1_low"].to_list() == [
        record["ci95"]["hr@1"][0] for record in smoke.records
    ]
    assert run.rankings.equals(pl.read_parquet(smoke.folder / "rankings.parquet"))
    assert (run.config.name, run.config.rl.group_size) == ("smoke", 2)
    assert run.artefacts["split"] == smoke.folders()["split"]
    assert run.jobs == []
    assert run.plot().startswith("<svg")


def test_the_prompt_of_a_case_is_the_one_that_was_asked(
    smoke: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the stage renders it, for every user, in the order of the rankings."""
    asked: list[str] = []
    monkeypatch.setattr(answers, "user_turn", asked.append)
    run = r2rec.load(smoke.folder)
    candidates = smoke.table("split", "candidates").filter(
        pl.col("user").is_in(run.rankings["user"].unique().to_list())
    )
    choices = cut(QuestionSlice, run.config, arm=Arm("R2Rec"))
    questions = answers.evaluation_cases(choices, smoke.folders(), candidates)
    answers.ranking_questions(questions, choices.prompt, choices.words)
    cases = run.cases()
    assert [case.prompt for case in cases] == asked
    assert [list(case.changed) for case in cases] == [[]] * len(asked)


def test_a_case_says_where_each_method_put_the_held_out_item(smoke: Done) -> None:
    run = r2rec.load(smoke.folder)
    raw_ids = smoke.table("prepare", "users")["raw_id"]
    for case in run.cases():
        rows = run.rankings.filter(user=case.user)
        assert case.raw_id == raw_ids[case.user]
        assert [answer.method for answer in case.answers] == rows["method"].to_list()
        for answer, row in zip(case.answers, rows.iter_rows(named=True), strict=True):
            ranked = [row["candidates"][LABELS.index(label)] for label in answer.ranking]
            assert ranked == row["ranking"]
            if answer.place:
                assert ranked[answer.place - 1] == row["positive"]
                assert answer.summary == f"ranked {answer.place} of {len(row['candidates'])}"
            else:
                assert not row["valid"]
            assert answer.completion == row["completion"]
    first = run.rankings["user"][0]
    assert run.case(first) == run.case(raw_ids[first])
    text = case_text(run.case(first), PARTS)
    assert run.case(first).prompt in text
    assert f"place of {run.case(first).truth}" in text


def test_users_that_were_not_ranked_for_are_refused(smoke: Done) -> None:
    run = r2rec.load(smoke.folder)
    others = set(range(60)) - set(run.rankings["user"])
    for user, why in (
        (min(others), "was not ranked for; 8 users were, such as 4, 5"),
        ("nobody", "not in the data"),
    ):
        with pytest.raises(r2rec.R2RecError, match=why):
            run.case(user)


def test_what_steers_a_terminal_is_not_shown() -> None:
    assert harmless("a\x1b[31m\u202eb\tc\n") == "a\ufffd[31m\ufffdb\tc\n"


def test_a_run_without_chains_or_text_has_cases_too(other: Done) -> None:
    case = r2rec.load(other.folder).cases()[0]
    assert (case.prompt, case.chains) == (None, ())
    assert case.history
    assert [answer.method for answer in case.answers] == ["random", "popularity", "item_knn"]


def test_methods_of_one_run_and_of_two_are_compared_in_pairs(smoke: Done, other: Done) -> None:
    alone = r2rec.compare(smoke.folder)
    assert alone.height == len(smoke.records) * (len(smoke.records) - 1) / 2
    across = r2rec.compare(smoke.folder, other.folder)
    assert set(across["method"]) == {"item_knn"}  # what both runs have counts once
    assert across["against"].to_list() == [
        f"{record['method']} {record['variant']}".strip() for record in smoke.records
    ]
    hr = {record["method"]: record["hr@1"] for record in (*smoke.records, *other.records)}
    expected = [hr["item_knn"] - record["hr@1"] for record in smoke.records]
    assert across["difference"].to_list() == pytest.approx(expected)
    few = r2rec.compare(smoke.folder, other.folder, methods=["random", "item_knn"])
    assert few["p"].to_list() == few["p_holm"].to_list()
    assert r2rec.plot_differences(across).startswith("<svg")


def test_chosen_metrics_are_shown_everywhere_and_make_nothing(smoke: Done, store: Path) -> None:
    done = go(store, "evaluation.metrics=[mrr,hr@2,ndcg@5]")
    assert done.made() == set()
    for record, before in zip(done.records, smoke.records, strict=True):
        assert record["metrics"] == ["mrr", "hr@2", "ndcg@5"]
        assert {name: record[name] for name in METRICS} == {name: before[name] for name in METRICS}
        assert record["hr@1"] <= record["hr@2"] <= record["hr@3"]
    (text,) = [line for line in done.lines if "MRR" in line]
    page = (done.folder / "report.html").read_text("utf-8")
    header = text.strip().splitlines()[0]
    assert header.split()[-4:] == ["MRR", "HR@2", "NDCG@5", "valid"]
    assert "MRR: none of" in text or "MRR: significant" in text
    assert "<th>MRR</th><th>Minus the best</th><th>HR@2</th><th>NDCG@5</th>" in page
    assert "Beneath: 95% intervals over users" in page
    (row,) = run_rows(done.folder.parent, [done.folder.name])
    by_method = {f"{r['method']} {r['variant']}".strip(): r["mrr"] for r in done.records}
    assert (row.metric, row.results) == ("mrr", by_method)
    differences = r2rec.compare(done.folder, methods=["R2Rec", "random"])
    assert set(differences["metric"]) == {"mrr"}
    mrr = {record["method"]: record["mrr"] for record in done.records}
    assert differences["difference"].to_list() == pytest.approx([mrr["R2Rec"] - mrr["random"]])
    assert "mrr_low" in r2rec.load(done.folder).metrics.columns


def test_an_earlier_run_tells_metrics_that_it_was_not_asked_for(smoke: Done, store: Path) -> None:
    done = go(store, "evaluation.metrics=[mrr,hr@2,ndcg@5]")
    run = r2rec.load(smoke.folder)
    for row, record in zip(run.with_metrics(["ndcg@5", "mrr"]), done.records, strict=True):
        assert row["metrics"] == ["ndcg@5", "mrr"]
        assert (row["mrr"], row["ndcg@5"]) == (record["mrr"], record["ndcg@5"])
    (listed,) = run_rows(smoke.folder.parent, [smoke.folder.name], metric="hr@4")
    assert listed.results["random"] >= smoke.by_method()["random"]["hr@3"]
    both = r2rec.compare(smoke.folder, done.folder, metric="ndcg@5")
    assert set(both["difference"]) == {*r2rec.compare(smoke.folder, metric="ndcg@5")["difference"]}
    for ask in (run.with_metrics, lambda names: r2rec.compare(smoke.folder, metric=names[0])):
        with pytest.raises(r2rec.R2RecError, match="no metric precision"):
            ask(["precision"])


def test_other_candidates_and_other_seeds_are_refused(other: Done, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(other.folder, tmp_path / "changed"))
    config = (changed / "config.yaml").read_text()
    (changed / "config.yaml").write_text(config.replace("matched: false", "matched: true"))
    rankings = pl.read_parquet(changed / "rankings.parquet")
    swapped = pl.col("candidates", "ranking").list.eval(
        pl.when(pl.element() == pl.element().max()).then(1000).otherwise(pl.element())
    )
    rankings.with_columns(swapped).cast(rankings.schema).write_parquet(changed / "rankings.parquet")
    records = json.loads((changed / "metrics.json").read_text())
    hits = r2rec.load(changed).rankings.with_columns(
        hit=pl.col("ranking").list.first() == pl.col("positive")
    )
    for record in records:
        record["hr@1"] = hits.filter(method=record["method"])["hit"].mean()
    write_json(changed / "metrics.json", records)
    with pytest.raises(r2rec.R2RecError, match="had other candidates"):
        r2rec.compare(other.folder, changed)
    write_json(changed / "metrics.json", [record | {"seed": 1} for record in records])
    with pytest.raises(r2rec.R2RecError, match=r"no user .* with the same seed \(seeds: 0, 1\)"):
        r2rec.compare(other.folder, changed, methods=["item_knn"])
    with pytest.raises(r2rec.R2RecError, match="no method nope; there are random"):
        r2rec.compare(other.folder, methods=["nope"])


def test_a_report_is_written_again_from_the_store(copied: Path, smoke: Done) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["stages"]["report"]
    manifest["results"] = []
    write_json(copied / "manifest.json", manifest)
    for name in ("tables", "plots"):
        shutil.rmtree(copied / name)
    for name in ("metrics.json", "rankings.parquet", "report.html"):
        (copied / name).unlink()
    with pytest.raises(r2rec.R2RecError, match="has no results yet: it ended after rank"):
        r2rec.load(copied).metrics  # noqa: B018
    lines: list[str] = []
    report_again(r2rec.load(copied), lines.append)
    assert "R2Rec" in lines[0]
    for name in ("metrics.json", "rankings.parquet", "report.html", "tables/results.md"):
        assert (copied / name).read_bytes() == (smoke.folder / name).read_bytes(), name
    again = json.loads((copied / "manifest.json").read_text())
    before = json.loads((smoke.folder / "manifest.json").read_text())
    assert again["results"] == before["results"]
    assert again["stages"].keys() == before["stages"].keys()


def test_a_broken_sweep_is_reported_as_far_as_it_came(
    other: Done, store: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    for name in ("0", "1", "2"):
        shutil.copytree(other.folder, sweep / name)
        path = sweep / name / "manifest.json"
        manifest = json.loads(path.read_text()) | {"sweep": True}
        if name == "2":
            manifest["stages"].pop("rank")
        write_json(path, manifest)
    for name in ("1", "2"):
        (sweep / name / "metrics.json").unlink()
    run = r2rec.load(sweep)
    assert [job.folder.name for job in run.jobs] == ["0", "1", "2"]
    lines: list[str] = []
    report_again(run, lines.append)
    assert lines[0].startswith("job 1 was stopped, and is reported")
    assert lines[1].startswith("job 2 is left out: ")
    assert (sweep / "report.html").exists()
    assert json.loads((sweep / "metrics.json").read_text()) == other.records
    assert r2rec.load(sweep).metrics.height == 3
    (row,) = run_rows(tmp_path)
    assert (row.folder, row.jobs, row.state) == (str(sweep), 3, "finished")
    assert find.find("last/1", tmp_path) == sweep / "1"
    assert set(r2rec.load(sweep).rankings["job"]) == {"0", "1", "2"}
    with pytest.raises(r2rec.R2RecError, match="is a sweep of 3 jobs: name one"):
        run.manifest  # noqa: B018


def test_a_configuration_of_an_earlier_version_gets_later_groups(copied: Path) -> None:
    config = (copied / "config.yaml").read_text()
    start = config.index("\nwitness:")
    end = config.index("\nevaluation:")
    (copied / "config.yaml").write_text(config[:start] + config[end:])
    run = r2rec.load(copied)
    assert run.config.witness.name == "none"
    assert len(run.cases()) == 8


def test_a_run_starts_from_python(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["+experiment=smoke", "baseline=popularity", f"artefacts={store}"]
    lines: list[str] = []
    run = r2rec.run(words, say=lines.append)
    assert find.find("last") == run.folder
    assert run.manifest["overrides"] == words
    assert run.metrics["method"].to_list() == ["random", "popularity"]
    assert "popularity" in lines[-1]
    (row,) = r2rec.runs(words=["BASELINE=pop"]).iter_rows(named=True)
    assert (row["folder"], row["state"], row["jobs"]) == (str(run.folder), "finished", 0)
    assert row["methods"] == ["random", "popularity"]
    for mistake, why in ((["sedd=1"], "sedd"), (["-m", "seed=0,1"], "-m is no override")):
        with pytest.raises(r2rec.R2RecError, match=why):
            r2rec.run(mistake)


def test_members_are_told_in_a_sentence() -> None:
    text = (
        "# @package _global_\n# python -m r2rec +x=y\n# One thing\n# of two lines. More.\nname: x\n"
    )
    assert first_sentence(text) == "One thing of two lines."
    assert first_sentence("name: x\n# not this\n") == ""
    for group in ("baselines", "dataset", "samplers"):
        assert all(members(group, [CONF]).values())
    with pytest.raises(r2rec.R2RecError, match=r"no group basline .did you mean baseline"):
        members("basline", [CONF])
