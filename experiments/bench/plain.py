"""The reference of `run.py`: the same steps as a first version would have them.

pandas, dicts, sets and loops. `prepare_and_split` leaves the same train and held-out tables as the
stages do; a test compares them.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from r2rec.chains.graph import Graph
from r2rec.data.movielens import AGES, ARTICLES, GENDERS, OCCUPATIONS

Chain = tuple[int, int, int, int]  # user, item1, neighbour, item2
LIKED_ABOVE = 3


def prepare_and_split(
    root: Path, folder: Path, seed: int, *, negatives: int = 19, min_positives: int = 6
) -> None:
    """Raw MovieLens-1M files to the seven tables of the stages `prepare` and `split`."""
    ratings = _read(root / "ratings.dat", ["user", "item", "rating", "timestamp"])
    users = _read(root / "users.dat", ["raw_id", "gender", "age", "job", "zip"])
    movies = _read(root / "movies.dat", ["raw_id", "title", "genres"])
    users = _with_ratings(users, ratings["user"])
    movies = _with_ratings(movies, ratings["item"])
    users["profile"] = [_profile(row) for row in users.itertuples()]
    movies["title"] = [_title(title) for title in movies["title"]]
    movies["attributes"] = movies["genres"].str.split("|")
    user_numbers = {raw_id: number for number, raw_id in enumerate(users["raw_id"])}
    movie_numbers = {raw_id: number for number, raw_id in enumerate(movies["raw_id"])}
    ratings["user"] = ratings["user"].map(user_numbers)
    ratings["item"] = ratings["item"].map(movie_numbers)
    ratings = ratings.sort_values(["user", "timestamp"], kind="stable")
    ratings = ratings.drop_duplicates(["user", "item"])
    ratings.to_parquet(folder / "interactions.parquet", index=False)
    users[["raw_id", "profile"]].to_parquet(folder / "users.parquet")
    movies[["raw_id", "title", "attributes"]].to_parquet(folder / "items.parquet")
    interactions = pd.read_parquet(folder / "interactions.parquet")
    _split(interactions, len(movies), folder, seed, negatives, min_positives)


def _split(
    ratings: pd.DataFrame,
    n_items: int,
    folder: Path,
    seed: int,
    negatives: int,
    min_positives: int,
) -> None:
    train = []
    heldout = []
    touched = {}
    for user, rows in ratings.groupby("user"):
        touched[user] = set(rows["item"])
        likes = [place for place, rating in enumerate(rows["rating"]) if rating > LIKED_ABOVE]
        if len(likes) >= min_positives:
            valid, test = likes[-2:]
            train.append(rows.iloc[:valid])
            items = rows["item"].tolist()
            heldout.append((user, items[valid], "valid"))
            heldout.append((user, items[test], "test"))
    pd.concat(train).to_parquet(folder / "train.parquet", index=False)
    pd.DataFrame(heldout, columns=["user", "item", "role"]).to_parquet(folder / "heldout.parquet")
    rng = random.Random(seed)
    for role, file in (("test", "candidates"), ("valid", "validation_candidates")):
        table = []
        for user, item, item_role in heldout:
            if item_role == role:
                shown = _candidates(item, touched[user], n_items, negatives, rng)
                table.append((user, item, shown))
        frame = pd.DataFrame(table, columns=["user", "positive", "items"])
        frame.to_parquet(folder / f"{file}.parquet")


def _candidates(
    positive: int, touched: set[int], n_items: int, n_negatives: int, rng: random.Random
) -> list[int]:
    drawn: set[int] = set()
    while len(drawn) < n_negatives:
        item = rng.randrange(n_items)
        if item not in touched:
            drawn.add(item)
    shown = [positive, *drawn]
    rng.shuffle(shown)
    return shown


def _with_ratings(table: pd.DataFrame, rated: pd.Series) -> pd.DataFrame:
    """The users or movies that have ratings, sorted by their raw id."""
    kept = table[table["raw_id"].isin(set(rated))]
    return kept.sort_values("raw_id").reset_index(drop=True)


def _read(path: Path, names: list[str]) -> pd.DataFrame:
    return pd.read_csv(
        path, sep="::", engine="python", header=None, names=names, encoding="latin-1"
    )


def _profile(row: Any) -> str:
    return f"{GENDERS[row.gender]}, {AGES[str(row.age)]}, {OCCUPATIONS[row.job]}"


def _title(title: str) -> str:
    """A title with its article in front: "Jumanji, The (1995)" -> "The Jumanji (1995)"."""
    single_spaced = re.sub(r"\s+", " ", title).strip()
    return re.sub(rf"([^()\s][^()]*), ({ARTICLES})(\s?[()]|$)", r"\2 \1\3", single_spaced)


class Sets:
    """The graph in plain Python: a set of items per user, a list of users per item."""

    def __init__(self, graph: Graph) -> None:
        self.items = [set(row) for row in _rows(graph.ratings)]
        self.raters = list(_rows(graph.raters))


def _rows(matrix: Any) -> Iterator[list[int]]:
    """The stored columns of each row of a sparse matrix."""
    for begin, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        yield matrix.indices[begin:end].tolist()


def closed_by_counting(sets: Sets, users: Sequence[int], k: int, rng: random.Random) -> list[Chain]:
    """Closed chains: count the items shared with every other user, then draw among those with two.

    Args:
        k: Chains per user.
    """
    chains = []
    for user in users:
        shared: Counter[int] = Counter()
        for item in sets.items[user]:
            shared.update(sets.raters[item])
        neighbours = [other for other, n in shared.items() if n >= 2 and other != user]
        for other in rng.sample(neighbours, min(k, len(neighbours))):
            chains.append(_chain(sets, user, other, rng))
    return chains


def closed_by_proposal(
    sets: Sets, users: Sequence[int], k: int, rng: random.Random, tries: int = 50
) -> list[Chain]:
    """Closed chains: propose random users and keep those who share two items.

    What R2Rec does on dense data, one proposal at a time.
    """
    chains = []
    for user in users:
        neighbours: dict[int, None] = {}
        for _ in range(tries * k):
            other = rng.randrange(len(sets.items))
            if other != user and len(sets.items[user] & sets.items[other]) >= 2:
                neighbours[other] = None
            if len(neighbours) == k:
                break
        for other in neighbours:
            chains.append(_chain(sets, user, other, rng))
    return chains


def _chain(sets: Sets, user: int, other: int, rng: random.Random) -> Chain:
    first, second = rng.sample(list(sets.items[user] & sets.items[other]), 2)
    return user, first, other, second
