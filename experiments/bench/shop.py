"""Generated reviews at the size of Amazon Books, as two packed files of Amazon Reviews 2023.

The popularity of items follows Zipf's law with a flattened head, as in real catalogues; the number
of ratings per user follows a Pareto law. Every item has at least one rating. Each user prefers the
items of one taste, so users have items in common. Files are written in blocks of users, so memory
does not grow with the number of ratings, except for eight bytes per item.
"""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

CATEGORY = "Generated"
RATINGS_PER_ITEM = 7.5  # Books has 29.5 million ratings of 10.3 million users on 4.4 million items
BLOCK = 100_000  # users, or items, written at once
TAIL = 1.42  # a share x ** -TAIL of the users has more than x ratings: 3 on average
MAX_RATINGS = 20_000  # of one user
FLAT_HEAD = 50  # items at the top that are about equally popular
TASTES = 40
TASTE_SHARE = 0.6  # of ratings that follow the user's own taste
STAR_SHARES = (0.05, 0.05, 0.1, 0.2, 0.6)  # of 1 to 5 stars
START_MS = 1_262_304_000_000  # 2010
SPAN_MS = 13 * 365 * 86_400_000
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)
WORDS = (
    "a after all again as at back bought but by could easy ending every fine first for from gift "
    "good great had it last liked long made more never not of on once one page price quick read "
    "really slow so story than that the their this time to too twice very was well what when will "
    "with would years"
).split()
GENRES = (
    "Biography",
    "Children",
    "Cooking",
    "Fantasy",
    "History",
    "Mystery",
    "Poetry",
    "Romance",
    "Science",
    "Travel",
)


def write(folder: Path, ratings: int, seed: int = 0) -> None:
    """Write `Generated.jsonl.gz` with this many ratings, and `meta_Generated.jsonl.gz`."""
    rng = np.random.default_rng(seed)
    items = max(1, int(ratings / RATINGS_PER_ITEM))
    _pack(folder / f"{CATEGORY}.jsonl.gz", _reviews(ratings, items, rng))
    _pack(folder / f"meta_{CATEGORY}.jsonl.gz", _descriptions(items, rng))


def _pack(path: Path, blocks: Iterator[pl.DataFrame]) -> None:
    # mtime=0: no time in the header, so the bytes depend on the seed only
    with gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as file:
        for block in blocks:
            text = io.BytesIO()
            block.write_ndjson(text)
            file.write(text.getbuffer())


def _reviews(ratings: int, items: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    cumulative_popularity = np.cumsum(1 / np.arange(FLAT_HEAD, items + FLAT_HEAD))
    text_lengths = 4 + rng.exponential(25, 500)
    texts = pl.Series([_prose(rng, int(n)) for n in text_lengths])
    done = 0
    while done < ratings:
        sizes = np.minimum(rng.random(BLOCK) ** (-1 / TAIL), MAX_RATINGS).astype(np.int64)
        user = np.repeat(np.arange(BLOCK), sizes)[: ratings - done]
        n = len(user)
        taste = rng.integers(TASTES, size=BLOCK)[user]
        item = _drawn_items(taste, cumulative_popularity, rng)
        asin = _asins(_with_every_item(item, done, items))
        columns: dict[str, Any] = {
            "rating": rng.choice(5, n, p=STAR_SHARES) + 1.0,
            "title": texts.gather(rng.integers(len(texts), size=n)).str.head(30),
            "text": texts.gather(rng.integers(len(texts), size=n)),
            "images": pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, n),
            "asin": asin,
            "parent_asin": asin,
            "user_id": _user_codes(rng, BLOCK).gather(user),
            "timestamp": START_MS + rng.integers(SPAN_MS, size=n),
            "helpful_vote": rng.geometric(0.7, n) - 1,
            "verified_purchase": rng.random(n) < 0.8,
        }
        yield pl.DataFrame(columns)
        done += n


def _drawn_items(
    taste: NDArray[np.int64], cumulative_popularity: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """An item for each rating [n], by popularity.

    Most are then replaced by an item of the user's taste that is about as popular.
    """
    draws = rng.random(len(taste)) * cumulative_popularity[-1]
    item = np.searchsorted(cumulative_popularity, draws)
    of_taste = np.minimum(item // TASTES * TASTES + taste, len(cumulative_popularity) - 1)
    follows_taste = rng.random(len(taste)) < TASTE_SHARE
    return np.where(follows_taste, of_taste, item)


def _with_every_item(item: NDArray[np.int64], done: int, items: int) -> NDArray[np.int64]:
    """One rating in seven goes to the next item of the catalogue, until each item had its turn.

    Args:
        item: [n] the drawn items.
        done: Ratings in earlier blocks.
    """
    number = np.arange(done, done + len(item))
    period = int(RATINGS_PER_ITEM)
    next_item = number // period
    is_its_turn = (number % period == 0) & (next_item < items)
    return np.where(is_its_turn, next_item, item)


def _descriptions(items: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    texts = pl.Series([_prose(rng, 60) for _ in range(200)])
    genres = pl.Series(GENRES)
    for start in range(0, items, BLOCK):
        number = np.arange(start, min(start + BLOCK, items))
        genre = genres.gather(number % TASTES % len(GENRES))
        columns: dict[str, Any] = {
            "main_category": "Books",
            "title": pl.Series(number).cast(pl.String),
            "average_rating": 3.9,
            "description": texts.gather(rng.integers(len(texts), size=len(number))),
            "price": rng.integers(300, 4000, len(number)) / 100,
            "store": pl.Series(rng.integers(items, size=len(number))).cast(pl.String),
            "categories": genre,
            "parent_asin": _asins(number),
        }
        yield pl.DataFrame(columns).with_columns(
            title=pl.format("{}: Volume {}", "categories", "title"),
            description=pl.concat_list("description"),
            store=pl.format("Author {}", "store"),
            categories=pl.concat_list(pl.lit("Books"), "categories"),
        )


def _prose(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words)).capitalize() + "."


def _user_codes(rng: np.random.Generator, n: int) -> pl.Series:
    """Random user ids: A and 27 letters or digits. Two are equal once in 32 ** 27, so no check."""
    codes = LETTERS[rng.integers(32, size=(n, 28))]
    codes[:, 0] = ord("A")
    return pl.Series(codes.view("S28").ravel().astype(str))


def _asins(item: NDArray[np.int64]) -> pl.Series:
    """Item ids of ten letters and digits.

    Multiplying by an odd number scatters them, so popular items do not come first.
    """
    scattered = (item * 2_654_435_761) % 2**40
    digits = LETTERS[scattered[:, None] >> (5 * np.arange(7, -1, -1)) & 31]
    prefix = np.broadcast_to(np.frombuffer(b"B0", np.uint8), (len(item), 2))
    codes = np.concatenate([prefix, digits], axis=1)
    return pl.Series(np.ascontiguousarray(codes).view("S10").ravel().astype(str))
