"""Chains and neighbourhoods as drawings."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.pretrain.weighed import random_case
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.prompts.render import told_in_full
from r2rec.report.drawn import MOST_CANDIDATES, agreement, lines, neighbourhood, stars

RATINGS = {0: "☆☆☆☆☆ 0", 2.5: "★★½☆☆ 2.5", 4: "★★★★☆ 4", 5: "★★★★★ 5", 8: "★ 8", -1: "★ -1"}


@pytest.mark.parametrize("rating", RATINGS)
def test_ratings_are_stars_where_five_are_the_most(rating: float) -> None:
    assert stars(rating) == RATINGS[rating]


@given(st.text(), st.integers(2, 30), st.integers(1, 3))
def test_lines_fit_and_lose_nothing_that_has_room(text: str, width: int, most: int) -> None:
    rows = lines(text, width, most)
    assert 1 <= len(rows) <= most
    assert all(len(row) <= width for row in rows)
    kept = "".join("".join(rows).split())
    if kept.endswith("…") and not text.rstrip().endswith("…"):
        assert "".join(text.split()).startswith(kept[:-1])
    else:
        assert kept == "".join(text.split())


def test_wide_letters_take_two_places() -> None:
    assert lines("千と千尋の神隠し", 8, 2) == ["千と千尋", "の神隠し"]
    assert lines("千と千尋の神隠し", 8, 1) == ["千と千…"]


def test_users_agree_where_both_or_neither_liked_an_item() -> None:
    assert [agreement(5, 4), agreement(2, 3), agreement(4, 3)] == ["agree", "agree", "differ"]
    assert agreement(None, 4) == ""


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_neighbourhood_of_evidence(seed: int, detailed: int) -> None:
    case = random_case(np.random.default_rng(seed))
    linked = [index for index in case.strongest() if case.evidence[index].item1]
    positive = case.strongest()[-1]
    in_full = told_in_full(case, detailed)
    graph = neighbourhood(case, positive, in_full)
    if not linked:
        assert graph is None
        return
    assert graph is not None
    ends = [node for node in graph.nodes if node.kind == "candidate"]
    drawn = [LABELS.index(node.text.partition(" ")[0]) for node in ends]
    assert drawn[:MOST_CANDIDATES] == linked[:MOST_CANDIDATES]
    assert [node.truth for node in ends] == [index == positive for index in drawn]
    assert (positive in drawn) == (positive in linked)
    assert [node.about for node in ends] == [f"{case.evidence[n].soon:,}" for n in drawn]
    starts = {node.text for node in graph.nodes if node.kind == "item"}
    assert starts == {case.evidence[index].item1.title for index in drawn}  # type: ignore[union-attr]
    assert sum(edge.weak for edge in graph.edges) == len(set(drawn) - set(in_full))
    heights = [node.y for node in graph.nodes]
    assert 0 < min(heights) <= max(heights) < graph.height


def test_neighbourhood_of_loops_draws_an_item_once_and_dislikes_weakly() -> None:
    a, b, c = (Item(title, ()) for title in "abc")
    chains = (Chain(a, 5, 2, 4, b, 1), Chain(a, 5, 4, 4, c, None))
    graph = neighbourhood(RankingCase(None, (), chains, (a,)), 0, ())
    assert graph is not None
    texts = [node.text for node in graph.nodes]
    assert texts == ["user", "a", "v1", "v2", "b", "c"]
    assert [node.about for node in graph.nodes] == ["", "", "", "", "1 ★", ""]
    assert [edge.weak for edge in graph.edges] == [False, True, False, False, False]
    assert all(re.fullmatch(r"M[\d.]+ [\d.]+C[\d. ]+", edge.path) for edge in graph.edges)
    assert neighbourhood(RankingCase(None, (), (), (a,)), 0, ()) is None
