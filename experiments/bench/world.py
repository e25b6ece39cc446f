"""Ratings to measure on where no real ones are: MovieLens' files, the size of MovieLens-1M's users 1-2999."""

from pathlib import Path

import numpy as np

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
USERS, MEAN_RATINGS, FEWEST = 3000, 490_000 / 3000, 20


def write(folder: Path, users: int = USERS, seed: int = 0) -> None:
    """ratings.dat, users.dat and movies.dat: 1.2 items per user, long tails of popularity and of activity."""
    rng = np.random.default_rng(seed)
    items = max(200, users * 6 // 5)
    sizes = _sizes(rng, users, items)
    popularity = -np.log(
        np.arange(10, items + 10)
    )  # log of a Zipf weight, its head flattened as in MovieLens
    order = np.argsort(
        -(popularity + rng.gumbel(size=(users, items))), axis=1
    )  # drawn without replacement
    user = np.repeat(np.arange(users), sizes)
    item = order[np.arange(items) < sizes[:, None]]
    quality = rng.normal(3.6, 0.5, items)
    rating = np.clip(np.rint(quality[item] + rng.normal(0, 0.9, len(item))), 1, 5).astype(int)
    seconds = 956_700_000 + rng.integers(90_000_000, size=len(item))
    rows = np.column_stack([user + 1, item + 1, rating, seconds])
    pairs = rng.integers(len(GENRES), size=(items, 2))
    genres = ["|".join(dict.fromkeys((GENRES[a], GENRES[b]))) for a, b in pairs]
    years = rng.integers(1940, 2001, items)
    people = zip(
        rng.choice(["F", "M"], users),
        rng.choice(AGES, users),
        rng.integers(21, size=users),
        strict=True,
    )
    _lines(folder / "ratings.dat", rows.tolist())
    _lines(
        folder / "movies.dat",
        [(n + 1, f"Film {n + 1}, The ({years[n]})", genres[n]) for n in range(items)],
    )
    _lines(folder / "users.dat", [(n, *person, "00000") for n, person in enumerate(people, 1)])


def _sizes(rng: np.random.Generator, users: int, items: int) -> np.ndarray:
    """Ratings of each user: at least 20, log-normal above, at most half of the items."""
    extra = rng.lognormal(0, 1.1, users)
    sizes = FEWEST + extra / extra.mean() * (MEAN_RATINGS - FEWEST)
    return np.minimum(sizes, items // 2).astype(int)


def _lines(path: Path, rows: list) -> None:
    path.write_text("".join("::".join(map(str, row)) + "\n" for row in rows), encoding="latin-1")
