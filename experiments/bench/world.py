"""Generated ratings for machines without real data.

MovieLens-1M's files, in the size of its users 1-2999.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GENRES = (
    "Action",
    "Animation",
    "Comedy",
    "Crime",
    "Drama",
    "Horror",
    "Musical",
    "Romance",
    "Sci-Fi",
    "War",
    "Western",
)
AGES = (1, 18, 25, 35, 45, 50, 56)
USERS = 3000
MEAN_RATINGS = 490_000 / 3000  # per user
MIN_RATINGS = 20  # per user
FLAT_HEAD = 10  # flattens the head of the Zipf distribution, as in MovieLens


def write(folder: Path, users: int = USERS, seed: int = 0) -> None:
    """ratings.dat, users.dat and movies.dat: 1.2 items per user, long tails of both."""
    rng = np.random.default_rng(seed)
    items = max(200, users * 6 // 5)
    sizes = _sizes(rng, users, items)
    log_popularity = -np.log(np.arange(FLAT_HEAD, items + FLAT_HEAD))
    # Sorting by popularity plus Gumbel noise draws items without replacement.
    order = np.argsort(-(log_popularity + rng.gumbel(size=(users, items))), axis=1)
    user = np.repeat(np.arange(users), sizes)
    item = order[np.arange(items) < sizes[:, None]]
    quality = rng.normal(3.6, 0.5, items)
    stars = np.rint(quality[item] + rng.normal(0, 0.9, len(item)))
    rating = np.clip(stars, 1, 5).astype(int)
    seconds = 956_700_000 + rng.integers(90_000_000, size=len(item))
    ratings = np.column_stack([user + 1, item + 1, rating, seconds])
    pairs = rng.integers(len(GENRES), size=(items, 2))
    years = rng.integers(1940, 2001, items)
    genders = rng.choice(["F", "M"], users)
    ages = rng.choice(AGES, users)
    jobs = rng.integers(21, size=users)

    movies = []
    for number, (first, second) in enumerate(pairs):
        genres = "|".join(dict.fromkeys((GENRES[first], GENRES[second])))
        movies.append((number + 1, f"Film {number + 1}, The ({years[number]})", genres))
    people = []
    for number, person in enumerate(zip(genders, ages, jobs, strict=True), 1):
        people.append((number, *person, "00000"))
    _write_lines(folder / "ratings.dat", ratings.tolist())
    _write_lines(folder / "movies.dat", movies)
    _write_lines(folder / "users.dat", people)


def _sizes(rng: np.random.Generator, users: int, items: int) -> NDArray[np.int64]:
    """Ratings of each user: at least 20, log-normal above, at most half of the items."""
    extra = rng.lognormal(0, 1.1, users)
    sizes = MIN_RATINGS + extra / extra.mean() * (MEAN_RATINGS - MIN_RATINGS)
    return np.minimum(sizes, items // 2).astype(np.int64)


def _write_lines(path: Path, rows: Iterable[Sequence[object]]) -> None:
    lines = ["::".join(map(str, row)) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="latin-1")
