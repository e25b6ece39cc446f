"""The toy world: readable, repeatable, and with tastes that can be found."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from r2rec.base import seeds
from r2rec.data import interactions, split, toy
from r2rec.data.candidates import Candidates
from r2rec.data.negatives import touched_keys

SIZE = {"users": 400, "items": 300, "ratings_per_user": 30}
HYPE = {"quality": 2.0, "hype": 1.0, "choosiness": 3.0}  # as in dataset=toy


def read(seed):
    return toy.read_toy(Path(), None, seed=seed, **SIZE, **HYPE)


def world_of(seed):
    """What `read(seed)` follows from."""
    rng = seeds.generator(seed, "toy")
    return toy.imagine(rng, SIZE["users"], SIZE["items"], len(toy.GENRES), HYPE["quality"])


@pytest.fixture(scope="module", params=range(3))
def seed(request):
    return request.param


def same(a, b):
    return all(x.equals(y) for x, y in zip(a[:3], b[:3], strict=True))


def test_read_toy_repeats_by_seed():
    assert same(read(0), read(0))
    assert not same(read(0), read(1))


def test_toy_titles_are_readable_and_unique(seed):
    titles = read(seed).items["title"].to_list()
    assert len(set(titles)) == len(titles) == SIZE["items"]
    assert all(
        re.fullmatch(r"The [A-Z][a-z]+ [A-Z][a-z]+( \d+)? \((19|20)\d\d\)", title)
        for title in titles
    )


def test_toy_attributes_and_profiles_match_world(seed):
    raw = read(seed)
    world = world_of(seed)
    for attributes, title, row in zip(
        raw.items["attributes"], raw.items["title"], world.genres, strict=True
    ):
        *genres, decade = attributes
        assert genres == [name for name, has in zip(toy.GENRES, row, strict=True) if has]
        assert decade == f"{title[-5:-2]}0s"
        assert any(word in title for word in toy.GENRES[genres[0]])
    assert raw.users["profile"].str.contains(r"^(fe)?male, (over )?\d\d(-\d\d)?, [a-z]+$").all()


def test_toy_ratings_span_scale_without_repeats(seed):
    ratings = read(seed).ratings
    assert ratings["rating"].unique().sort().to_list() == [1, 2, 3, 4, 5]
    assert ratings.height == SIZE["users"] * SIZE["ratings_per_user"]
    assert not ratings.select("user", "item").is_duplicated().any()
    shares = ratings["rating"].value_counts(normalize=True)["proportion"]
    assert shares.max() < 0.5


def test_toy_users_can_be_evaluated(seed):
    likes = read(seed).ratings.group_by("user").agg(likes=(pl.col("rating") > 3).sum())
    assert (likes["likes"] >= 6).mean() > 0.75


def hit_ratio(scores, candidates):
    """HR@1 of [users, items] scores, ties broken by chance."""
    own = Candidates.of(candidates)
    shown = scores[own.users[:, None], own.items]
    positive = scores[own.users, own.positives][:, None]
    return np.where((shown > positive).any(1), 0, 1 / (shown == positive).sum(1)).mean()


def test_toy_positives_follow_tastes(seed):
    tables = interactions.index(read(seed))
    world = world_of(seed)
    rated = tables.items["raw_id"].cast(pl.Int64).to_numpy()
    parts = split.leave_last_out(tables.interactions, positive_above=3, min_positives=6)
    test = parts.heldout.filter(role="test")
    touched = touched_keys(tables.interactions, len(rated))
    candidates = split.with_candidates(
        test, touched, len(rated), 19, seeds.generator(seed, "split.test")
    )
    quality = world.quality[rated]
    popularity = np.bincount(parts.train["item"].to_numpy(), minlength=len(rated))
    everyone = np.ones((SIZE["users"], 1))
    oracle = hit_ratio(world.affinity()[:, rated], candidates)
    blind = max(
        hit_ratio(everyone * quality, candidates), hit_ratio(everyone * popularity, candidates)
    )
    assert oracle > 0.6
    assert blind < 0.2
