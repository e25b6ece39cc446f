"""Reviews to measure on at the size of Amazon Books: two packed files in the format of Amazon Reviews 2023.

Popularity has Zipf's tail, its head flattened as in real catalogues; how much a user rates has Pareto's. Every item
is rated at least once, and each user keeps mostly to the items of one taste, so that people have items in common.
Written in blocks of users, so memory doesn't grow with the number of ratings, save for eight bytes per item.
"""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

CATEGORY = "Generated"
PER_ITEM = 7.5  # ratings; Books has 29.5 million, of 10.3 million users, on 4.4 million items
BLOCK = 100_000  # users, or items, written at once
TAIL = 1.42  # a share x ** -TAIL of users has more than x ratings: 3 on average
MOST = 20_000  # ratings of the busiest user
HEAD = 50  # items at the top that are about equally popular
TASTES, KEEPS_TO = 40, 0.6  # kinds of taste; share of ratings that follow the user's own
STARS = (0.05, 0.05, 0.1, 0.2, 0.6)
START_MS, SPAN_MS = 1_262_304_000_000, 13 * 365 * 86_400_000  # from 2010 on
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)
WORDS = (
    "a after all again as at back bought but by could easy ending every fine first for from gift good great had it "
    "last liked long made more never not of on once one page price quick read really slow so story than that the "
    "their this time to too twice very was well what when will with would years"
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
    """`Generated.jsonl.gz` with so many ratings and `meta_Generated.jsonl.gz` with a line for every item."""
    rng = np.random.default_rng(seed)
    items = max(1, int(ratings / PER_ITEM))
    _pack(folder / f"{CATEGORY}.jsonl.gz", _reviews(ratings, items, rng))
    _pack(folder / f"meta_{CATEGORY}.jsonl.gz", _descriptions(items, rng))


def _pack(path: Path, blocks: Iterator[pl.DataFrame]) -> None:
    with gzip.GzipFile(
        path, "wb", compresslevel=1, mtime=0
    ) as file:  # without the time, so the bytes are the seed's
        for block in blocks:
            text = io.BytesIO()
            block.write_ndjson(text)
            file.write(text.getbuffer())


def _reviews(ratings: int, items: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    popularity = np.cumsum(1 / np.arange(HEAD, items + HEAD))
    texts = pl.Series([_prose(rng, int(n)) for n in 4 + rng.exponential(25, 500)])
    done = 0
    while done < ratings:
        sizes = np.minimum(rng.random(BLOCK) ** (-1 / TAIL), MOST).astype(np.int64)
        user = np.repeat(np.arange(BLOCK), sizes)[: ratings - done]
        n = len(user)
        item = _picked(rng.integers(TASTES, size=BLOCK)[user], popularity, rng)
        # one rating in seven goes through the catalogue, once
        turn = np.arange(done, done + n)
        item = np.where(
            (turn % int(PER_ITEM) == 0) & (turn // int(PER_ITEM) < items),
            turn // int(PER_ITEM),
            item,
        )
        asin = _asins(item)
        yield pl.DataFrame(
            {
                "rating": rng.choice(5, n, p=STARS) + 1.0,
                "title": texts.gather(rng.integers(len(texts), size=n)).str.head(30),
                "text": texts.gather(rng.integers(len(texts), size=n)),
                "images": pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, n),
                "asin": asin,
                "parent_asin": asin,
                "user_id": _codes(rng, BLOCK).gather(user),
                "timestamp": START_MS + rng.integers(SPAN_MS, size=n),
                "helpful_vote": rng.geometric(0.7, n) - 1,
                "verified_purchase": rng.random(n) < 0.8,
            }
        )
        done += n


def _picked(taste: NDArray, popularity: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """An item for each rating [n]: by popularity, mostly moved to the user's taste among items as popular."""
    place = np.searchsorted(popularity, rng.random(len(taste)) * popularity[-1])
    own = np.minimum(place // TASTES * TASTES + taste, len(popularity) - 1)
    return np.where(rng.random(len(taste)) < KEEPS_TO, own, place)


def _descriptions(items: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    texts, genres = pl.Series([_prose(rng, 60) for _ in range(200)]), pl.Series(GENRES)
    for start in range(0, items, BLOCK):
        number = np.arange(start, min(start + BLOCK, items))
        shelf = genres.gather(number % TASTES % len(GENRES))
        block = pl.DataFrame(
            {
                "main_category": "Books",
                "title": pl.Series(number).cast(pl.String),
                "average_rating": 3.9,
                "description": texts.gather(rng.integers(len(texts), size=len(number))),
                "price": rng.integers(300, 4000, len(number)) / 100,
                "store": pl.Series(rng.integers(items, size=len(number))).cast(pl.String),
                "categories": shelf,
                "parent_asin": _asins(number),
            }
        )
        yield block.with_columns(
            title=pl.format("{}: Volume {}", "categories", "title"),
            description=pl.concat_list("description"),
            store=pl.format("Author {}", "store"),
            categories=pl.concat_list(pl.lit("Books"), "categories"),
        )


def _prose(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words)).capitalize() + "."


def _codes(rng: np.random.Generator, n: int) -> pl.Series:
    """User ids: 28 letters and digits, A first. That two are the same, one in 32 ** 27, is left to chance."""
    codes = LETTERS[rng.integers(32, size=(n, 28))]
    codes[:, 0] = ord("A")
    return pl.Series(codes.view("S28").ravel().astype(str))


def _asins(item: NDArray) -> pl.Series:
    """Item ids of ten letters and digits. Multiplied by an odd number, so that popular items don't come first."""
    mixed = (item * 2_654_435_761) % 2**40
    digits = LETTERS[mixed[:, None] >> (5 * np.arange(7, -1, -1)) & 31]
    codes = np.concatenate(
        [np.broadcast_to(np.frombuffer(b"B0", np.uint8), (len(item), 2)), digits], axis=1
    )
    return pl.Series(np.ascontiguousarray(codes).view("S10").ravel().astype(str))
