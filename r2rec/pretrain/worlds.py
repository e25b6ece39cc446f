"""Prompts to pretrain the tiny backbone on: worlds drawn at random, no two alike, in domains that don't exist.

Titles, attributes and their names are made up for each prompt (`naming`); how users, tastes and ratings hang
together is the toy world's (`data/toy.py`), and prompts, chains and thoughts are those of the pipeline itself. So the
model learns to read prompts of this project in general, and never sees a data set that it is evaluated on.
"""

import re
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf

from r2rec.chains import graph as graphs
from r2rec.data import negatives, toy
from r2rec.data import split as splitting
from r2rec.data.interactions import Raw, index
from r2rec.pretrain import naming
from r2rec.prompts.answer import render_completion
from r2rec.prompts.cases import LABELS, Item, RankingCase, RatingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.assemble import texts
from r2rec.tasks.targets import training_targets
from r2rec.tasks.training import Task, TaskSource, ranking_tasks, rating_tasks
from r2rec.thoughts import evidence, template

KINDS = (
    ("movie", "movies", "watched"), ("book", "books", "read"), ("product", "products", "bought"),
    ("song", "songs", "heard"), ("game", "games", "played"), ("recipe", "recipes", "cooked"),
    ("place", "places", "visited"), ("item", "items", "rated"),
)  # fmt: skip


class Level(NamedTuple):
    """How hard the prompts of a world are, up to the protocol's own size."""

    candidates: int
    chains: int
    history: int
    lines: int = 0  # only look up what this many lines of a prompt say; 0: the whole task
    change: float = (
        0.0  # share of worlds whose users look for a change, and not for more of the same
    )
    counted: bool = False  # only conclude: the candidates are counted already


LEVELS = (
    Level(20, 5, 5, lines=2), Level(20, 5, 5, lines=6), Level(20, 5, 5, lines=20),
    Level(2, 1, 1), Level(5, 2, 2), Level(20, 0, 3), Level(20, 0, 0, change=0.3, counted=True),
    Level(10, 3, 4, change=0.3), Level(20, 5, 5, change=0.3),
)  # fmt: skip
"""From easy to the protocol's size. Nothing in a prompt of the last three says what its users look for: a backbone
learns to read and to conclude, and which conclusion recommends is left to training on a data set."""
TOLD = 0.5
"""Share of prompts with a favourite, one of those close to the best, which then comes first (`evidence.choices`)."""
PLAIN = 0.85
"""Share of worlds that add up without `evidence.OTHER`: what a trait that is missing counts for is left to SFT."""
TWICE = 0.3
"""Share of drills whose thought has already named a label twice, so that the answer names it once all the same."""


class Example(NamedTuple):
    prompt: str
    completion: str
    given: str = ""  # what the completion begins with, and is not trained on


def world_examples(rng: np.random.Generator, level: Level, n: int) -> Iterator[Example]:
    """n prompts of one fresh world, with what a teacher who knows the answer writes."""
    if level.counted:
        yield from (_conclusion(level, rng) for _ in range(n))
        return
    cfg = _config(rng, level)
    source = _source(rng, cfg)
    pool = training_targets(
        source.train, positive_above=3.0, min_history=min(2, level.history), rng=rng
    )
    if level.lines:
        tasks = _named(ranking_tasks(source, pool.head(n), cfg, rng), rng)
        yield from _lookups(tasks, cfg, level.lines, rng)
        return
    n_rating = int(n * 0.1)
    tasks = ranking_tasks(source, pool.head(n - n_rating), cfg, rng)
    if cfg.prompt.chains:
        tasks += rating_tasks(source, pool.head(0).select("user", "item"), n_rating, cfg, rng)
    tasks = _named(tasks, rng)
    told = [_told(t.case, rng) for t in tasks]
    written = template.write_thoughts([t.case for t in tasks], told, int(rng.integers(2**31)))
    change, plain = rng.random() < level.change, rng.random() < PLAIN
    for task, (thought, answer) in zip(tasks, written, strict=True):
        if not isinstance(task.case, RankingCase):
            answer = f"Rating: {_expected(task)}"
        elif change or plain:
            thought, answer = _otherwise(task.case, thought, change, rng)
        yield Example(
            render_prompt(task.case, cfg.prompt, cfg.dataset.words),
            _completion(thought, answer, cfg),
        )


def _named(tasks: list[Task], rng: np.random.Generator) -> list[Task]:
    draw = Random(int(rng.integers(2**63)))
    return [task._replace(case=naming.renamed(task.case, draw)) for task in tasks]


def _lookups(
    tasks: list[Task], cfg: DictConfig, most: int, rng: np.random.Generator
) -> Iterator[Example]:
    """Each prompt's lines in random handfuls of up to `most`, with what a thought would read off them.

    Without these, copying is not learned: in a whole prompt too little of what is right depends on it.
    """
    for case in (task.case for task in tasks if isinstance(task.case, RankingCase)):
        lines = [
            text
            for text in render_prompt(case, cfg.prompt, cfg.dataset.words).split("\n")
            if text.startswith("- ")
        ]
        facts = list(_facts(case))
        order, size = rng.permutation(len(lines)), int(rng.integers(1, most + 1))
        for picked in (sorted(order[at : at + size]) for at in range(0, len(order), size)[:4]):
            prompt = "\n".join(["Read these lines.", *(lines[k] for k in picked)])
            yield Example(
                prompt, "\n".join(f"Step {n}: {facts[k]}" for n, k in enumerate(picked, 1))
            )


def _facts(case: RankingCase) -> Iterator[str]:
    for n, item in enumerate(case.history, 1):
        yield f"Liked {n}: {_traits(item)}."
    for n, c in enumerate(case.chains, 1):
        again = "" if c.rating_u2 is None else f"; user {c.rating_u2:g}"
        yield (
            f"Chain {n}: user {c.rating_u1:g}: {_traits(c.item1)}; neighbour gave {c.rating_v1:g}; "
            f"then {c.rating_v2:g}{again}: {_traits(c.item2)}."
        )
    for label, item in zip(LABELS, case.candidates, strict=False):
        yield f"{label} {_traits(item)}."


def _traits(item: Item) -> str:
    return ", ".join(evidence.traits(item))


def _told(case: RankingCase | RatingCase, rng: np.random.Generator) -> str:
    if not isinstance(case, RankingCase):
        return "3"
    return _favourite(
        evidence.choices(evidence.trait_scores(evidence.filled(evidence.support(case)))), rng
    )


def _favourite(close: list[str], rng: np.random.Generator) -> str:
    """What a teacher is told, now and then: any that it could put first, so that no rule of who is right is learned."""
    return close[rng.integers(len(close))] if close and rng.random() < TOLD else ""


def _conclusion(level: Level, rng: np.random.Generator) -> Example:
    """Candidates with counts out of nowhere, and what follows from them: short, so that many fit into a step."""
    draw = Random(int(rng.integers(2**63)))
    pool = {
        naming.word(draw): max(0, int(rng.geometric(0.3)) - 3)
        for _ in range(int(rng.integers(8, 16)))
    }
    shelf = [
        draw.sample(sorted(pool), draw.randint(1, 3))
        for _ in range(max(2, _upto(level.candidates, rng)))
    ]
    support = {
        label: [(name, pool[name]) for name in names]
        for label, names in zip(LABELS, shelf, strict=False)
    }
    if rng.random() > PLAIN:
        support = evidence.filled(support)
    (counted, best, *rest), answer = _concluded(support, rng.random() < level.change, rng)
    n, given = draw.randint(1, 8), 1
    named = re.findall(r"([A-T]) \d", best)
    if len(named) > 1 and rng.random() < TWICE:
        again = int(rng.integers(1, len(named)))
        named[again], score = named[rng.integers(again)], evidence.trait_scores(support)
        best, given = f"{best.partition(':')[0]}: {template.listed(score, named)}.", 2
        first = named[rng.integers(len(named))]
        rest, answer = (
            [f"First: {first}."],
            template.ranked(score, list(dict.fromkeys(named)), first),
        )
    steps = [f"Step {k}: {text}" for k, text in enumerate([counted, best, *rest], n)]
    head = "<think>\n" + "\n".join(steps[:given]) + f"\nStep {n + given}:"
    whole = "<think>\n" + "\n".join(steps) + f"\n</think>\n{answer}"
    return Example(
        "Rank the candidates for this user, best first.",
        whole,
        head if whole.startswith(head) else "",
    )


def _otherwise(
    case: RankingCase, thought: str, change: bool, rng: np.random.Generator
) -> tuple[str, str]:
    """The same reading added up without what is missing and, for a change, what is least like the past in front."""
    steps = thought.split("\n")
    read = next(n for n, step in enumerate(steps, 1) if ": Candidates: " in step) - 1
    concluded, answer = _concluded(evidence.support(case), change, rng)
    return "\n".join(
        [*steps[:read], *(f"Step {n}: {text}" for n, text in enumerate(concluded, read + 1))]
    ), answer


def _concluded(
    support: dict[str, evidence.Counted], change: bool, rng: np.random.Generator
) -> tuple[list[str], str]:
    """The steps from the candidates on, and the answer."""
    score = evidence.trait_scores(support)
    steps, answer = template.conclusion(support, _favourite(evidence.choices(score), rng), rng)
    if not change:
        return steps, answer
    least = sorted(score, key=lambda label: score[label])[: evidence.BEST]
    close = [label for label in least if score[label] - score[least[0]] <= evidence.CLOSE]
    first = _favourite(close, rng) or least[0]
    named = [f"Newest: {template.listed(score, least)}.", f"First: {first}."]
    return [steps[0], *named], template.ranked(score, least, first)


def _expected(task) -> int:  # type: ignore[no-untyped-def]
    return 3 + template.expectation(task.case.chain, 3)


def _completion(thought: str, answer: str, cfg: DictConfig) -> str:
    return render_completion(thought if cfg.prompt.reasoning else None, answer)


def _config(rng: np.random.Generator, level: Level) -> DictConfig:
    """What the pipeline's own functions read of a configuration, at this level, with parts left out at times."""
    singular, plural, verb = KINDS[rng.integers(len(KINDS))]
    chains, sampler = _upto(level.chains, rng), "open_ended" if rng.random() < 0.1 else "closed"
    return OmegaConf.create(
        {
            "seed": 0,
            "dataset": {"words": {"singular": singular, "plural": plural, "verb": verb}},
            "evaluation": {"negatives": max(1, _upto(level.candidates, rng) - 1), "positive_above": 3.0},
            "chain_sampler": {"_target_": f"r2rec.chains.samplers.{sampler}", "per_user": chains, "params": {}},
            "prompt": {
                "reasoning": bool(rng.random() < 0.95), "chains": chains > 0, "profile": True,
                "history": max(1, _upto(level.history, rng)), "title_length": 80, "compact": bool(rng.random() < 0.1),
            },
        }
    )  # fmt: skip


def _upto(most: int, rng: np.random.Generator) -> int:
    return most if rng.random() < 0.6 else int(rng.integers(most // 4, most + 1))


def _source(rng: np.random.Generator, cfg: DictConfig) -> TaskSource:
    """A small world; its items and attributes have numbers, names come with each prompt."""
    n_genres = int(rng.integers(6, 20))
    users, items = 40, int(rng.integers(60, 120))
    world = toy.imagine(rng, users, items, n_genres)
    picked, rating, time = toy.interact(world, rng, 24)
    attributes = [
        [*(f"g{g}" for g in np.flatnonzero(row)), f"d{d}"]
        for row, d in zip(world.genres, world.decade, strict=True)
    ]
    ids = np.repeat(np.arange(users), picked.shape[1])
    ratings = pl.DataFrame(
        {"user": ids, "item": picked.ravel(), "rating": rating.ravel(), "time_ms": time.ravel()}
    ).cast({"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32})
    names = np.arange(max(users, items)).astype(str)
    people = pl.DataFrame(
        {"raw_id": names[:users], "profile": None}, schema_overrides={"profile": pl.String}
    )
    shelf = pl.DataFrame(
        {"raw_id": names[:items], "title": names[:items], "attributes": attributes}
    )
    tables = index(Raw(ratings, people, shelf, []))
    n_items = tables.items.height
    train = splitting.leave_last_out(tables.interactions, positive_above=3.0, min_positives=4).train
    graph = graphs.build_graph(train, users, n_items)
    return TaskSource(
        train,
        negatives.touched_keys(tables.interactions, n_items),
        graph,
        texts(tables.items, tables.users),
    )
