"""A generated world with real structure, small enough to read by hand.

Every user likes two genres, dislikes one and prefers a decade. What they pick, when, and how they
rate it follows from these, from each item's own quality and from chance. A person can follow a
chain through it, and a method that recognises tastes well has something to find.

Where there is hype, bad items are advertised more: of two that suit a user alike the worse one is
picked sooner, and liked less. Counts of people then mislead, and a method gains by learning what
else to look at.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base import seeds
from r2rec.data.interactions import Raw

GENRES = {  # genre -> words of its titles
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
    "Silent Golden Broken Last Hidden Crimson Distant Electric Forgotten Gentle "
    "Hollow Iron Jade Lonely Midnight Northern Paper Restless Scarlet Velvet"
).split()
GENDERS = ("female", "male")
AGES = ("18-24", "25-34", "35-44", "45-54", "over 54")
JOBS = ("artist", "doctor", "engineer", "farmer", "lawyer", "student", "teacher", "writer")

FIRST_DECADE = 1960
DECADES = 6
START_MS = 1_500_000_000_000
SPAN_MS = 3 * 365 * 86_400_000  # three years

SECOND_GENRE_SHARE = 0.4  # of items
LOWEST_STAR, HIGHEST_STAR = 1, 5


class World(NamedTuple):
    """The truth behind the ratings, which only an oracle may see.

    Attributes:
        genres: [items, genres] whether an item has a genre.
        decade: [items] 0 is the first decade.
        quality: [items] how many stars an item gets more than others, whatever the taste; mean 0.
        taste: [users, genres] about -1 to 1.
        era: [users] the favourite decade.
    """

    genres: NDArray[np.bool_]
    decade: NDArray[np.int64]
    quality: NDArray[np.float64]
    taste: NDArray[np.float64]
    era: NDArray[np.int64]

    def affinity(self) -> NDArray[np.float64]:
        """[users, items] how much each user would like each item, about -2 to 2.

        Before the item's quality and before chance.
        """
        genre_weights = self.genres / self.genres.sum(1, keepdims=True)
        same_era = self.decade[None] == self.era[:, None]
        by_genre = 2 * self.taste @ genre_weights.T
        affinity: NDArray[np.float64] = by_genre + 1.2 * same_era - 0.4
        return affinity


def imagine(
    rng: np.random.Generator, users: int, items: int, n_genres: int, quality_spread: float
) -> World:
    """Draw a world: one or two genres per item, two liked and one disliked genre per user.

    Args:
        quality_spread: Standard deviation of the items' quality, in stars.
    """
    genre_order = np.argsort(rng.random((items, n_genres)), axis=1)
    genres = np.zeros((items, n_genres), bool)
    np.put_along_axis(genres, genre_order[:, :1], True, axis=1)
    has_two = rng.random(items) < SECOND_GENRE_SHARE
    genres[has_two, genre_order[has_two, 1]] = True
    taste_order = np.argsort(rng.random((users, n_genres)), axis=1)
    liked = taste_order[:, :2]
    disliked = taste_order[:, 2:3]
    taste = rng.normal(0, 0.1, (users, n_genres))
    np.put_along_axis(taste, liked, 1.0, axis=1)
    np.put_along_axis(taste, disliked, -1.0, axis=1)
    decade = rng.integers(DECADES, size=items)
    era = rng.integers(DECADES, size=users)
    quality = rng.normal(0, quality_spread, items)
    return World(genres, decade, quality, taste, era)


def interact(
    world: World,
    rng: np.random.Generator,
    per_user: int,
    hype: float,
    choosiness: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Let every user pick and rate items.

    Args:
        hype: How much sooner the worse of two items is picked that suit a user alike.
        choosiness: How much taste decides what is picked.

    Returns:
        The items, their ratings (1 to 5) and the times (milliseconds since 1970):
        [users, per_user] each, in time order.
    """
    affinity = world.affinity()
    gumbel = rng.gumbel(size=affinity.shape)
    # Gumbel top-k: a draw without replacement, in proportion to the exponential of the appeal.
    appeal = choosiness * affinity - hype * world.quality + gumbel
    picked = np.argsort(-appeal, axis=1)[:, :per_user]
    picked = rng.permuted(picked, axis=1)
    liking = np.take_along_axis(affinity, picked, axis=1) + world.quality[picked]
    stars = 2.3 + liking + rng.normal(0, 0.5, picked.shape)
    rating = np.clip(np.rint(stars), LOWEST_STAR, HIGHEST_STAR)
    elapsed_ms = (rng.random(picked.shape) * SPAN_MS).astype(np.int64)
    time_ms = np.sort(START_MS + elapsed_ms, axis=1)
    return picked, rating, time_ms


def read_toy(
    root: Path,
    category: str | None,
    *,
    seed: int,
    users: int,
    items: int,
    ratings_per_user: int,
    quality: float = 0.4,
    hype: float = -1.0,
    choosiness: float = 2.2,
) -> Raw:
    """Generate the toy data set of this seed.

    Args:
        root: Not used; readers of files need it.
        category: Not used; readers of Amazon's files need it.
        users: How many users there are.
        items: How many items there are.
        quality: Standard deviation of the items' quality, in stars.
        hype: How much sooner the worse of two items is picked; below 0, the better one is.
        choosiness: How much taste decides what is picked.
    """
    rng = seeds.generator(seed, "toy")
    world = imagine(rng, users, items, len(GENRES), quality)
    picked, rating, time_ms = interact(world, rng, ratings_per_user, hype, choosiness)
    user = np.repeat(np.arange(users), picked.shape[1])
    ratings = pl.DataFrame(
        {
            "user": user,
            "item": picked.ravel(),
            "rating": rating.ravel(),
            "time_ms": time_ms.ravel(),
        },
        schema={"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "time_ms": pl.Int64},
    )
    described_items = _items(world, rng)
    profiles = _profiles(world.era, rng)
    described_users = pl.DataFrame({"raw_id": _raw_ids(users), "profile": profiles})
    return Raw(ratings, described_users, described_items, notes=[])


def _raw_ids(count: int) -> NDArray[np.str_]:
    return np.arange(count).astype(str)


def _items(world: World, rng: np.random.Generator) -> pl.DataFrame:
    """raw_id, title and attributes: the genres, then the decade."""
    names = list(GENRES)
    genres = []
    for row in world.genres:
        genres.append([names[index] for index in np.flatnonzero(row)])
    n_items = len(genres)
    first_year = FIRST_DECADE + 10 * world.decade
    year = first_year + rng.integers(10, size=n_items)
    titles = _titles(genres, year, rng)
    attributes = []
    for own_genres, decade in zip(genres, first_year, strict=True):
        attributes.append([*own_genres, f"{decade}s"])
    return pl.DataFrame(
        {"raw_id": _raw_ids(n_items), "title": titles, "attributes": attributes},
    )


def _titles(
    genres: Sequence[Sequence[str]],
    years: NDArray[np.int64],
    rng: np.random.Generator,
) -> list[str]:
    """Readable titles with a word of the first genre in each: "The Iron Heist (1983)".

    Rare repetitions get a number: "The Iron Heist 2 (1983)".
    """
    counts: dict[str, int] = {}
    titles = []
    for own_genres, year in zip(genres, years, strict=True):
        mood = rng.choice(MOODS)
        word = rng.choice(GENRES[own_genres[0]])
        title = f"The {mood} {word} ({year})"
        count = counts.get(title, 0) + 1
        counts[title] = count
        if count > 1:
            title = title.replace(" (", f" {count} (")
        titles.append(title)
    return titles


def _profiles(era: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
    """Gender and job by chance; age mostly by era: older users lean to older films."""
    n_users = len(era)
    mean_age = (DECADES - 1 - era) * 0.8
    age = np.rint(mean_age + rng.normal(0, 0.7, n_users))
    age = np.clip(age, 0, len(AGES) - 1).astype(int)
    gender = rng.integers(len(GENDERS), size=n_users)
    job = rng.integers(len(JOBS), size=n_users)
    profiles = []
    for gender_index, age_index, job_index in zip(gender, age, job, strict=True):
        words = (GENDERS[gender_index], AGES[age_index], JOBS[job_index])
        profiles.append(", ".join(words))
    return profiles
