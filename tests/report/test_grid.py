"""The page of a sweep."""

from pathlib import Path
from typing import Any

from r2rec.report import plots
from r2rec.report.findings import Findings
from r2rec.report.grid import MAX_DIFFERENCES, write_grid_page
from tests.report.rows import HOSTILE, LOG, record
from tests.report.test_page import skeleton

DIFFERENCE = {
    "dataset": "ml_1m",
    "method": "R2Rec",
    "against": "popularity",
    "seeds": 2,
    "pairs": 1000,
    "difference": -0.1234,
    "ci95": (-0.2, 0.05),
    "p": 0.00001,
    "p_holm": 0.01,
    "gained": 40,
    "lost": 10,
    "effect": 0.5,
    "detectable": float("nan"),
}
VARIATION = {"dataset": "ml_1m", "method": "R2Rec", "seeds": 2, "sd_users": 0.015, "sd_seeds": 0.0}


def compared(*differences: dict[str, Any]) -> Findings:
    """Findings of these differences alone."""
    return Findings(["hr@1"], {"hr@1": differences}, [])


def written(folder: Path, text: str = "calm", **changes: object) -> str:
    values = {
        "records": [record(text), record("R2Rec")],
        "findings": compared(DIFFERENCE | {"method": text}),
        "variations": [VARIATION | {"method": text}],
        "jobs": {"0": text},
    }
    write_grid_page(folder, **(values | changes))  # type: ignore[arg-type]
    return (folder / "report.html").read_text("utf-8")


def test_grid_page_shows_differences(tmp_path: Path) -> None:
    text = skeleton(written(tmp_path)).text
    for part in (
        "−0.123",
        "−0.200 to +0.050",
        "0.0100",
        "< 0.0001",
        "2 seeds",
        "0.015",
        "GraphSAGE †",
        "1,000",
    ):
        assert part in text
    assert (tmp_path / "plots" / "differences.svg").exists()
    assert (tmp_path / "plots" / "forest.png").exists()


def test_jobs_with_a_page_are_linked(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "report.html").touch()
    found = skeleton(written(tmp_path, jobs={"0": "", "1": "noise=flip"}))
    assert [link for link in found.links if not link.startswith(("#", "data:"))] == [
        "0/report.html"
    ]
    assert "noise=flip job 1" in found.text


def test_reward_curve_is_shown_where_there_is_one(tmp_path: Path) -> None:
    assert "Figure 5" not in written(tmp_path)
    plots.reward_curve(LOG, tmp_path / "plots")
    assert "Figure 5" in written(tmp_path)


def test_figure_of_many_differences_has_ours(tmp_path: Path) -> None:
    others = [DIFFERENCE | {"method": f"m{n}"} for n in range(MAX_DIFFERENCES)]
    html = written(tmp_path, findings=compared(*others, DIFFERENCE))
    assert f"1 of {MAX_DIFFERENCES + 1}; the table has all" in html
    assert html.count('<th scope="row">m') == MAX_DIFFERENCES


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    tame = skeleton(written(tmp_path / "tame", "calm"))
    for n, text in enumerate(HOSTILE[:3]):
        found = skeleton(written(tmp_path / str(n), text))
        assert [tag for tag in found.tags if tag[0] not in SVG] == [
            tag for tag in tame.tags if tag[0] not in SVG
        ]
    write_grid_page(tmp_path / "bare", records=[], findings=None, variations=[], jobs={})


SVG = {
    "path",
    "g",
    "/g",
    "text",
    "/text",
    "use",
    "defs",
    "/defs",
    "clippath",
    "/clippath",
    "rect",
}  # glyphs vary
