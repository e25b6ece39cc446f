"""What is measured against: the same steps as anyone would first write them, with pandas, dicts, sets and loops.

`prepare_and_split` leaves the same train and held-out tables as the stages do; a test holds the two together.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from r2rec.chains.graph import Graph
from r2rec.data.movielens import AGES, ARTICLES, GENDERS, OCCUPATIONS

Chain = tuple[int, int, int, int]  # user, item1, neighbour, item2


def prepare_and_split(
    root: Path, folder: Path, seed: int, *, negatives: int = 19, min_positives: int = 6
) -> None:
    """Raw MovieLens-1M files to the seven tables of the stages `prepare` and `split`."""
    ratings = _read(root / "ratings.dat", ["user", "item", "rating", "timestamp"])
    users = _read(root / "users.dat", ["raw_id", "gender", "age", "job", "zip"])
    movies = _read(root / "movies.dat", ["raw_id", "title", "genres"])
    users = (
        users[users["raw_id"].isin(set(ratings["user"]))]
        .sort_values("raw_id")
        .reset_index(drop=True)
    )
    movies = (
        movies[movies["raw_id"].isin(set(ratings["item"]))]
        .sort_values("raw_id")
        .reset_index(drop=True)
    )
    users["profile"] = [_profile(row) for row in users.itertuples()]
    movies["title"] = [_title(title) for title in movies["title"]]
    movies["attributes"] = movies["genres"].str.split("|")
    ratings["user"] = ratings["user"].map({raw: n for n, raw in enumerate(users["raw_id"])})
    ratings["item"] = ratings["item"].map({raw: n for n, raw in enumerate(movies["raw_id"])})
    ratings = ratings.sort_values(["user", "timestamp"], kind="stable").drop_duplicates(
        ["user", "item"]
    )
    ratings.to_parquet(folder / "interactions.parquet", index=False)
    users[["raw_id", "profile"]].to_parquet(folder / "users.parquet")
    movies[["raw_id", "title", "attributes"]].to_parquet(folder / "items.parquet")
    _split(
        pd.read_parquet(folder / "interactions.parquet"),
        len(movies),
        folder,
        seed,
        negatives,
        min_positives,
    )


def _split(
    ratings: pd.DataFrame, n_items: int, folder: Path, seed: int, negatives: int, least: int
) -> None:
    train, heldout, touched = [], [], {}
    for user, rows in ratings.groupby("user"):
        touched[user] = set(rows["item"])
        likes = [place for place, rating in enumerate(rows["rating"]) if rating > 3]
        if len(likes) >= least:
            train.append(rows.iloc[: likes[-2]])
            items = rows["item"].tolist()
            heldout += [(user, items[likes[-2]], "valid"), (user, items[likes[-1]], "test")]
    pd.concat(train).to_parquet(folder / "train.parquet", index=False)
    pd.DataFrame(heldout, columns=["user", "item", "role"]).to_parquet(folder / "heldout.parquet")
    rng = random.Random(seed)
    for role, file in (("test", "candidates"), ("valid", "validation_candidates")):
        asked = [(user, item) for user, item, which in heldout if which == role]
        rows = [
            (user, item, _candidates(item, touched[user], n_items, negatives, rng))
            for user, item in asked
        ]
        pd.DataFrame(rows, columns=["user", "positive", "items"]).to_parquet(
            folder / f"{file}.parquet"
        )


def _candidates(
    positive: int, touched: set[int], n_items: int, k: int, rng: random.Random
) -> list[int]:
    drawn: set[int] = set()
    while len(drawn) < k:
        item = rng.randrange(n_items)
        if item not in touched:
            drawn.add(item)
    shown = [positive, *drawn]
    rng.shuffle(shown)
    return shown


def _read(path: Path, names: list[str]) -> pd.DataFrame:
    return pd.read_csv(
        path, sep="::", engine="python", header=None, names=names, encoding="latin-1"
    )


def _profile(row) -> str:  # type: ignore[no-untyped-def]
    return f"{GENDERS[row.gender]}, {AGES[str(row.age)]}, {OCCUPATIONS[row.job]}"


def _title(title: str) -> str:
    return re.sub(
        rf"([^()\s][^()]*), ({ARTICLES})(\s?[()]|$)", r"\2 \1\3", re.sub(r"\s+", " ", title).strip()
    )


class Sets:
    """The graph as plain Python has it: a set of items per user, a list of users per item."""

    def __init__(self, graph: Graph) -> None:
        self.items = [set(row.tolist()) for row in _rows(graph.ratings)]
        self.raters = [row.tolist() for row in _rows(graph.raters)]


def _rows(matrix):  # type: ignore[no-untyped-def]
    return (matrix.indices[a:b] for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True))


def closed_by_counting(sets: Sets, users: Sequence[int], k: int, rng: random.Random) -> list[Chain]:
    """Closed chains: count the items shared with every other user, list who shares two, draw from the list."""
    chains = []
    for user in users:
        shared: Counter[int] = Counter()
        for item in sets.items[user]:
            shared.update(sets.raters[item])
        near = [other for other, count in shared.items() if count >= 2 and other != user]
        chains += [_chain(sets, user, other, rng) for other in rng.sample(near, min(k, len(near)))]
    return chains


def closed_by_proposal(
    sets: Sets, users: Sequence[int], k: int, rng: random.Random, tries: int = 50
) -> list[Chain]:
    """Closed chains: propose anyone, keep who shares two items. What R2Rec does on dense data, one by one."""
    chains = []
    for user in users:
        near: dict[int, None] = {}
        for _ in range(tries * k):
            other = rng.randrange(len(sets.items))
            if other != user and len(sets.items[user] & sets.items[other]) >= 2:
                near[other] = None
            if len(near) == k:
                break
        chains += [_chain(sets, user, other, rng) for other in near]
    return chains


def _chain(sets: Sets, user: int, other: int, rng: random.Random) -> Chain:
    first, second = rng.sample(list(sets.items[user] & sets.items[other]), 2)
    return user, first, other, second
