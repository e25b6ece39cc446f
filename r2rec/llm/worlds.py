"""Prompts to pretrain the tiny backbone on: worlds drawn at random, no two alike, in domains that don't exist.

Titles, attributes and their names are made up; how users, tastes and ratings hang together is the toy world's
(`data/toy.py`), and prompts, chains and thoughts are those of the pipeline itself. So the model learns to read
prompts of this project in general, and never sees a data set that it is evaluated on.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf

from r2rec.chains import graph as graphs
from r2rec.data import split as splitting
from r2rec.data import toy
from r2rec.data.interactions import Raw, index
from r2rec.data.targets import training_targets
from r2rec.prompts.answer import render_completion
from r2rec.prompts.assemble import texts
from r2rec.prompts.render import render
from r2rec.thoughts import template
from r2rec.thoughts.tasks import Source, ranking_tasks, rating_tasks, touched_keys

KINDS = (
    ("movie", "movies", "watched"), ("book", "books", "read"), ("product", "products", "bought"),
    ("song", "songs", "heard"), ("game", "games", "played"), ("recipe", "recipes", "cooked"),
    ("place", "places", "visited"), ("item", "items", "rated"),
)  # fmt: skip
ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sp st str t th tr v w y z".split()
VOWELS = "a ai e ea ee i ie o oa oo ou u".split()
CODAS = ["", *"l m n nd ng nt r rd rn s st t ck x".split()]


class Level(NamedTuple):
    """How hard the prompts of a world are, up to the protocol's own size."""

    candidates: int
    chains: int
    history: int


LEVELS = (Level(3, 1, 2), Level(6, 2, 3), Level(12, 4, 5), Level(20, 5, 5))


class Example(NamedTuple):
    prompt: str
    completion: str


def examples(rng: np.random.Generator, level: Level, n: int) -> Iterator[Example]:
    """n prompts of one fresh world, with what a teacher who knows the answer writes."""
    cfg = _config(rng, level)
    source = _source(rng, cfg)
    pool = training_targets(source.train, positive_above=3.0, min_history=min(2, level.history), rng=rng)
    n_rating = int(n * 0.15)
    tasks = ranking_tasks(source, pool.head(n - n_rating), cfg, rng)
    if level.chains:
        tasks += rating_tasks(source, pool.head(0).select("user", "item"), n_rating, cfg, rng)
    # no truth is told: the backbone learns to read evidence and to conclude from it, not who was right
    written = template.write([t.case for t in tasks], [_blind(t.truth) for t in tasks], int(rng.integers(2**31)))
    for task, (thought, answer) in zip(tasks, written, strict=True):
        answer = answer if task.truth.isalpha() else f"Rating: {_expected(task)}"
        yield Example(render(task.case, cfg.prompt, cfg.dataset.words), _completion(thought, answer, cfg))


def _blind(truth: str) -> str:
    return "" if truth.isalpha() else "3"


def _expected(task) -> int:  # type: ignore[no-untyped-def]
    return 3 + template.expectation(task.case.chain, 3)


def _completion(thought: str, answer: str, cfg: DictConfig) -> str:
    return render_completion(thought if cfg.prompt.reasoning else None, answer)


def _config(rng: np.random.Generator, level: Level) -> DictConfig:
    """What the pipeline's own functions read of a configuration, at this level, with parts left out at times."""
    singular, plural, verb = KINDS[rng.integers(len(KINDS))]
    chains = level.chains if rng.random() < 0.9 else 0
    return OmegaConf.create(
        {
            "seed": 0,
            "dataset": {"words": {"singular": singular, "plural": plural, "verb": verb}},
            "evaluation": {"negatives": level.candidates - 1, "positive_above": 3.0},
            "chain_sampler": {"_target_": "r2rec.chains.samplers.closed", "per_user": chains, "params": {}},
            "prompt": {
                "reasoning": bool(rng.random() < 0.9), "chains": chains > 0, "profile": True,
                "history": level.history, "title_length": 80,
            },
        }
    )  # fmt: skip


def _source(rng: np.random.Generator, cfg: DictConfig) -> Source:
    """A small world with its own names."""
    n_genres = int(rng.integers(6, 20))
    users, items = 40, int(rng.integers(60, 120))
    world = toy.imagine(rng, users, items, n_genres)
    picked, rating, time = toy.interact(world, rng, 24)
    genres, eras = _attributes(rng, n_genres, rng.random() < 0.6)
    attributes = [[genres[g] for g in np.flatnonzero(row)] for row in world.genres]
    if eras:
        attributes = [[*a, eras[d]] for a, d in zip(attributes, world.decade, strict=True)]
    ids = np.repeat(np.arange(users), picked.shape[1]).astype(str)
    ratings = pl.DataFrame(
        {"user": ids, "item": picked.ravel().astype(str), "rating": rating.ravel(), "time_ms": time.ravel()}
    ).cast({"rating": pl.Float32})
    profile = [", ".join(_word(rng).lower() for _ in range(3)) if rng.random() < 0.7 else None for _ in range(users)]
    names = np.arange(max(users, items)).astype(str)
    people = pl.DataFrame({"raw_id": names[:users], "profile": profile}, schema_overrides={"profile": pl.String})
    shelf = pl.DataFrame({"raw_id": names[:items], "title": _titles(rng, items), "attributes": attributes})
    tables = index(Raw(ratings, people, shelf, []))
    n_items = tables.items.height
    train = splitting.leave_last_out(tables.interactions, positive_above=3.0, min_positives=4).train
    graph = graphs.build(train, users, n_items)
    return Source(train, touched_keys(tables.interactions, n_items), graph, texts(tables.items, tables.users))


def _attributes(rng: np.random.Generator, n: int, with_eras: bool) -> tuple[list[str], list[str]]:
    """Distinct names of genres, and of the second kind of attribute where a domain has one."""
    style = rng.integers(3)
    names: dict[str, None] = {}
    while len(names) < n:
        word = _word(rng)
        if style == 1 and rng.random() < 0.4:
            word = f"{word}{rng.choice(('-', ' ', ' & '))}{_word(rng)}"
        names[word.lower() if style == 2 else word] = None
    if not with_eras:
        return list(names), []
    if rng.random() < 0.6:
        first = int(rng.integers(190, 198))
        return list(names), [f"{first + k}0s" for k in range(toy.DECADES)]
    return list(names), [f"{_word(rng)}{k}" for k in range(toy.DECADES)]


def _titles(rng: np.random.Generator, n: int) -> list[str]:
    year, article = rng.random() < 0.6, rng.random() < 0.4
    longest = int(rng.integers(2, 6))
    titles = []
    for _ in range(n):
        words = [_word(rng) for _ in range(rng.integers(1, longest))]
        title = ("The " if article and rng.random() < 0.5 else "") + " ".join(words)
        titles.append(f"{title} ({rng.integers(1920, 2021)})" if year else title)
    return titles


def _word(rng: np.random.Generator) -> str:
    """A real word or a made-up one."""
    if rng.random() < 0.5:
        return str(rng.choice(WORDS)).capitalize()
    parts = [str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) for _ in range(rng.integers(1, 3))]
    return ("".join(parts) + str(rng.choice(CODAS))).capitalize()


WORDS = files("r2rec.llm").joinpath("words.txt").read_text().split()
