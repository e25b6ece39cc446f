"""A seeded world with real structure, small enough to read: who likes which genres and decades, and what follows.

Every user likes two genres, dislikes one and prefers a decade; what they pick, when, and how they rate it follows
from these, from each item's own quality and from chance. A person can follow a chain through it, and a method that
reads tastes well has something to find.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base import seeds
from r2rec.data.interactions import Raw

GENRES = {
    "Action": ("Thunder", "Outlaw", "Fury"),
    "Animation": ("Dragon", "Robot", "Fox"),
    "Comedy": ("Wedding", "Neighbour", "Holiday"),
    "Crime": ("Heist", "Detective", "Alibi"),
    "Documentary": ("Glacier", "Archive", "Harvest"),
    "Drama": ("Letter", "Orchard", "Winter"),
    "Fantasy": ("Kingdom", "Spell", "Unicorn"),
    "Horror": ("Cellar", "Whisper", "Grave"),
    "Musical": ("Melody", "Chorus", "Dancer"),
    "Romance": ("Summer", "Promise", "Garden"),
    "Sci-Fi": ("Orbit", "Signal", "Colony"),
    "Western": ("Canyon", "Sheriff", "Frontier"),
}
MOODS = (
    "Silent", "Golden", "Broken", "Last", "Hidden", "Crimson", "Distant", "Electric", "Forgotten", "Gentle",
    "Hollow", "Iron", "Jade", "Lonely", "Midnight", "Northern", "Paper", "Restless", "Scarlet", "Velvet",
)  # fmt: skip
GENDERS = ("female", "male")
AGES = ("18-24", "25-34", "35-44", "45-54", "over 54")
JOBS = ("artist", "doctor", "engineer", "farmer", "lawyer", "student", "teacher", "writer")
FIRST_DECADE, DECADES = 1960, 6
START_MS, SPAN_MS = 1_500_000_000_000, 3 * 365 * 86_400_000


class World(NamedTuple):
    """The truth behind the ratings, which only an oracle may see."""

    genres: NDArray[np.bool_]  # [items, genres]
    decade: NDArray[np.int64]  # [items] 0 is the first
    quality: NDArray[np.float64]  # [items]
    taste: NDArray[np.float64]  # [users, genres] in [-1, 1]
    era: NDArray[np.int64]  # [users] favourite decade

    def affinity(self) -> NDArray[np.float64]:
        """[users, items]: how much each user would like each item, before quality and chance; about -2 to 2."""
        per_genre = self.genres / self.genres.sum(1, keepdims=True)
        same_era = self.decade[None] == self.era[:, None]
        return 2 * self.taste @ per_genre.T + 1.2 * same_era - 0.4


def imagine(rng: np.random.Generator, users: int, items: int, n_genres: int) -> World:
    """Draw a world: one or two genres per item, two liked and one disliked genre per user."""
    order = np.argsort(rng.random((items, n_genres)), axis=1)
    genres = np.zeros((items, n_genres), bool)
    np.put_along_axis(genres, order[:, :1], True, axis=1)
    two = rng.random(items) < 0.4
    genres[two, order[two, 1]] = True
    liked = np.argsort(rng.random((users, n_genres)), axis=1)
    taste = rng.normal(0, 0.1, (users, n_genres))
    np.put_along_axis(taste, liked[:, :2], 1.0, axis=1)
    np.put_along_axis(taste, liked[:, 2:3], -1.0, axis=1)
    decade, era = rng.integers(DECADES, size=items), rng.integers(DECADES, size=users)
    return World(genres, decade, rng.normal(0, 0.4, items), taste, era)


def interact(
    world: World, rng: np.random.Generator, per_user: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Items that each user picked, what they rated them and when: [users, per_user] each, in time order."""
    affinity = world.affinity()
    appeal = 2.2 * affinity + 1.0 * world.quality + rng.gumbel(size=affinity.shape)
    picked = np.argsort(-appeal, axis=1)[
        :, :per_user
    ]  # Gumbel top-k: without replacement, by appeal
    picked = rng.permuted(picked, axis=1)
    liking = np.take_along_axis(affinity, picked, axis=1) + world.quality[picked]
    rating = np.clip(np.rint(2.3 + liking + rng.normal(0, 0.5, picked.shape)), 1, 5)
    time = np.sort(START_MS + (rng.random(picked.shape) * SPAN_MS).astype(np.int64), axis=1)
    return picked, rating, time


def read_toy(
    root: Path, category: str | None, *, seed: int, users: int, items: int, ratings_per_user: int
) -> Raw:
    """The toy data set of this seed. `root` and `category` are for data sets that come from files."""
    rng = seeds.generator(seed, "toy")
    world = imagine(rng, users, items, len(GENRES))
    picked, rating, time = interact(world, rng, ratings_per_user)
    ids = np.repeat(np.arange(users), picked.shape[1])
    ratings = pl.DataFrame(
        {
            "user": ids,
            "item": picked.ravel(),
            "rating": rating.ravel(),
            "time_ms": time.ravel(),
        },
        schema={"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "time_ms": pl.Int64},
    )
    names = list(GENRES)
    kinds = [[names[g] for g in np.flatnonzero(row)] for row in world.genres]
    start = FIRST_DECADE + 10 * world.decade
    titles = _titles(kinds, start + rng.integers(10, size=items), rng)
    attributes = [[*kind, f"{first}s"] for kind, first in zip(kinds, start, strict=True)]
    profiles = pl.DataFrame(
        {"raw_id": np.arange(users).astype(str), "profile": _profiles(world.era, rng)}
    )
    shelf = pl.DataFrame(
        {"raw_id": np.arange(items).astype(str), "title": titles, "attributes": attributes}
    )
    return Raw(ratings, profiles, shelf, [])


def _titles(kinds: list[list[str]], year: NDArray, rng: np.random.Generator) -> list[str]:
    """Readable titles, a word of the first genre in each; the rare namesakes are told apart by a number."""
    seen: dict[str, int] = {}
    titles = []
    for kind, made in zip(kinds, year, strict=True):
        title = f"The {rng.choice(MOODS)} {rng.choice(GENRES[kind[0]])} ({made})"
        seen[title] = seen.get(title, 0) + 1
        titles.append(title if seen[title] == 1 else title.replace(" (", f" {seen[title]} ("))
    return titles


def _profiles(era: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
    """Gender and job by chance; age mostly by era: older users lean to older films."""
    age = np.clip(np.rint((DECADES - 1 - era) * 0.8 + rng.normal(0, 0.7, len(era))), 0, 4)
    gender, job = rng.integers(len(GENDERS), size=len(era)), rng.integers(len(JOBS), size=len(era))
    return [
        f"{GENDERS[g]}, {AGES[int(a)]}, {JOBS[j]}" for g, a, j in zip(gender, age, job, strict=True)
    ]
