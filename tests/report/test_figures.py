"""Figures: what is drawn, in which order, and what is told of it in words."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.report import forest, plots, records
from tests.report.rows import HOSTILE, LOG, record


@pytest.mark.parametrize("draw", [plots.reward_curve, plots.loss_curve])
def test_curves_repeat_byte_for_byte(draw: Any, tmp_path: Path) -> None:
    svg = draw(LOG, tmp_path)
    assert svg == draw(LOG)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".png", ".svg"]
    assert next(tmp_path.glob("*.svg")).read_text("utf-8") == svg
    ElementTree.fromstring(svg)
    assert "<metadata" not in svg
    assert 'role="img"' in svg
    assert "<title id=" in svg
    assert " from " in svg.partition("<desc>")[2].partition("</desc>")[0]
    assert plots.INK not in svg
    assert "currentColor" in svg


def test_reward_curve_draws_the_columns_there_are() -> None:
    svg = plots.reward_curve(LOG)
    assert all(
        f">{title}</text>" in svg
        for title in ("reward, points", "reward for steps, points", "KL to the reference, nats")
    )
    assert "entropy" not in svg
    both = plots.reward_curve({"with SFT": LOG, "without SFT": LOG.head(1)})
    assert ">without SFT</text>" in both
    for empty in (LOG.select("step"), LOG.head(0)):
        with pytest.raises(R2RecError, match="train first"):
            plots.reward_curve(empty)


def test_what_never_changes_is_told_and_not_drawn() -> None:
    steps = range(1, 31)
    flat = pl.DataFrame({"step": steps, "reward": [1.5] * 30, "kl": [n / 30 for n in steps]})
    svg = plots.reward_curve(flat)
    assert ">reward, points</text>" not in svg
    assert "at every step: reward, points 1.5" in " ".join(re.findall(r">([^<]+)</text>", svg))
    assert "reward, points 1.5" in svg.partition("<desc>")[2].partition("</desc>")[0]
    alone = plots.reward_curve(flat.drop("kl"))
    assert ">reward, points</text>" in alone
    assert "at every" not in alone
    epochs = plots.loss_curve(pl.DataFrame({"step": [1, 2], "loss": [2.0, 1.0]}), step="epoch")
    assert ">epoch</text>" in epochs


@pytest.mark.parametrize("shares", [[0.0, 1.0], [0.997, 0.998, 1.0], [0.2, 0.3], [1.0, 1.0]])
def test_axes_of_shares_end_at_one(shares: list[float]) -> None:
    log = pl.DataFrame({"step": range(len(shares)), "mean_token_accuracy": shares})
    svgs = [plots.loss_curve(log)]
    row = record("a", value=max(shares))
    svgs.append(forest.forest([row | {"ci95": {key: [0.0, 1.0] for key in records.METRICS}}]))
    for svg in svgs:
        numbers = re.findall(r">(\d+\.\d+)</text>", svg)
        assert len(numbers) > 2
        assert all(float(number) <= 1 for number in numbers)


def test_figures_of_experiments_are_legible_in_the_dark_and_told_in_words() -> None:
    figures = list((Path(__file__).parents[2] / "experiments").glob("*/*.svg"))
    assert figures
    for path in figures:
        svg = path.read_text("utf-8")
        ElementTree.fromstring(svg)
        assert plots.INKS in svg, path
        assert re.search('<svg [^>]*role="img"', svg), path
        assert re.search("<title[^>]*>[^<]+</title><desc>[^<]+</desc>", svg), path


def test_differences_are_filled_where_significant() -> None:
    row = {
        "dataset": "toy",
        "method": "$a_b$",
        "against": "<b>",
        "difference": -0.1,
        "ci95": (-0.2, 0.0),
        "p_holm": 0.2,
    }
    hollow = forest.differences_figure([row, row], 0.05)
    assert ">−0.100</text>" in hollow
    assert hollow != forest.differences_figure([row, row | {"p_holm": 0.01}], 0.05)
    with pytest.raises(R2RecError, match="no differences"):
        forest.differences_figure([], 0.05)


def test_forest_begins_with_the_best_and_has_the_chance_line() -> None:
    rows = [record("a", value=0.2), record("b", value=0.9), record("c", value=0.5)]
    svg = forest.forest(rows, chance={"ml_1m": 0.05})
    drawn = svg.partition("</desc>")[2]
    assert drawn.index(">b<") < drawn.index(">c<") < drawn.index(">a<")
    assert "by chance" in drawn
    assert "by chance" not in forest.forest(rows)
    assert "ml_1m: b 0.900 (0.870 to 0.930)" in svg


def test_forest_takes_any_name(tmp_path: Path) -> None:
    svg = forest.forest(
        [record(text) for text in HOSTILE[:-1]] + [record("a_b", "toy", 0.1)], tmp_path
    )
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert not tags & {"script", "img", "meta", "foreignObject"}
    with pytest.raises(R2RecError, match="no results"):
        forest.forest([])
