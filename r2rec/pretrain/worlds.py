"""Prompts to pretrain the tiny backbone on, from random worlds, no two alike.

Titles, attributes and their names are made up for each prompt (`naming`). Users, tastes and ratings
follow the toy world (`data/toy.py`). Prompts, chains and thoughts are the pipeline's own. So the
model learns to read this project's prompts, and never sees a data set that it is evaluated on.
"""

from random import Random

import numpy as np
import polars as pl

from r2rec.chains.graph import build_graph
from r2rec.config import ChainSampler, Prompt, Words
from r2rec.config.slices import TaskSlice
from r2rec.data import negatives, toy
from r2rec.data.interactions import Raw, index
from r2rec.data.split import leave_last_out
from r2rec.pretrain import drills, naming
from r2rec.pretrain.conclusions import WITHOUT_OTHER_SHARE, conclude, numbered, pick_favourite
from r2rec.pretrain.levels import Example, Level, varied
from r2rec.pretrain.weighed import FIRST_SHARES, drill, weighed_example
from r2rec.prompts.answer import render_completion
from r2rec.prompts.cases import RankingCase, RatingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.assemble import texts
from r2rec.tasks.targets import training_targets
from r2rec.tasks.training import Task, TaskSource, ranking_tasks, rating_tasks
from r2rec.thoughts import taste, template

DOMAINS = (
    Words("movie", "movies", "watched"),
    Words("book", "books", "read"),
    Words("product", "products", "bought"),
    Words("song", "songs", "heard"),
    Words("game", "games", "played"),
    Words("recipe", "recipes", "cooked"),
    Words("place", "places", "visited"),
    Words("item", "items", "rated"),
)
USERS = 40
RATINGS_PER_USER = 24
QUALITY, HYPE, CHOOSINESS = 0.4, -1.0, 2.2  # good items are picked sooner here (`toy.interact`)
POSITIVE_ABOVE = 3.0
MIN_POSITIVES = 4
RATING_SHARE = 0.1  # of the prompts of a world with chains: the paper's question on one chain


def world_examples(rng: np.random.Generator, level: Level, n: int) -> list[Example]:
    """Prompts of one fresh world, with what a teacher who knows the answer writes.

    Args:
        n: Prompts. Worlds with few training targets have fewer, lookup drills have several of each.
    """
    if level.weighed:
        words = DOMAINS[rng.integers(len(DOMAINS))]
        if level.lines:
            return [drill(words, rng, FIRST_SHARES) for _ in range(n)]
        return [weighed_example(words, rng, level) for _ in range(n)]
    if level.counted:
        return [drills.conclusion_drill(level, rng) for _ in range(n)]
    choices = _random_choices(rng, level)
    source = _random_source(rng)
    targets = training_targets(
        source.train,
        positive_above=choices.positive_above,
        min_history=choices.min_history,
        rng=rng,
    )
    if level.lines:
        return _lookup_examples(source, targets.head(n), choices, level.lines, rng)
    return _whole_tasks(source, targets, n, choices, level.change, rng)


def _lookup_examples(
    source: TaskSource,
    targets: pl.DataFrame,
    choices: TaskSlice,
    max_lines: int,
    rng: np.random.Generator,
) -> list[Example]:
    tasks = ranking_tasks(source, targets, choices, rng)
    examples = []
    for case in _renamed_cases(tasks, rng):
        if isinstance(case, RankingCase):
            prompt = render_prompt(case, choices.prompt, choices.words)
            examples += drills.lookup_drills(prompt, case, max_lines, rng)
    return examples


def _whole_tasks(
    source: TaskSource,
    targets: pl.DataFrame,
    n: int,
    choices: TaskSlice,
    change_share: float,
    rng: np.random.Generator,
) -> list[Example]:
    """Ranking tasks, and questions on single chains where prompts have chains, with completions."""
    n_rating = int(n * RATING_SHARE)
    tasks = ranking_tasks(source, targets.head(n - n_rating), choices, rng)
    if choices.prompt.chains:
        no_targets = targets.head(0).select("user", "item")
        tasks += rating_tasks(source, no_targets, n_rating, choices, rng)
    cases = _renamed_cases(tasks, rng)
    hints = [_hint(case, rng) for case in cases]
    written = template.write_thoughts(cases, hints, int(rng.integers(2**31)))
    change = rng.random() < change_share
    without_other = rng.random() < WITHOUT_OTHER_SHARE
    examples = []
    for case, (thought, answer) in zip(cases, written, strict=True):
        if isinstance(case, RatingCase):
            answer = f"Rating: {3 + template.expectation(case.chain, 3)}"
        elif change or without_other:
            thought, answer = _concluded_anew(case, thought, change, rng)
        prompt = render_prompt(case, choices.prompt, choices.words)
        shown_thought = thought if choices.prompt.reasoning else None
        examples.append(Example(prompt, render_completion(shown_thought, answer)))
    return examples


def _renamed_cases(tasks: list[Task], rng: np.random.Generator) -> list[RankingCase | RatingCase]:
    draw = Random(int(rng.integers(2**63)))
    return [naming.renamed(task.case, draw) for task in tasks]


def _hint(case: RankingCase | RatingCase, rng: np.random.Generator) -> str:
    """What the teacher is told of the answer."""
    if isinstance(case, RatingCase):
        return "3"
    support = taste.filled(taste.support(case))
    return pick_favourite(taste.choices(taste.trait_scores(support)), rng)


def _concluded_anew(
    case: RankingCase, thought: str, change: bool, rng: np.random.Generator
) -> tuple[str, str]:
    """The thought with another conclusion, and its answer: sums without `taste.OTHER`.

    With `change`, the candidates least like the past come first.
    """
    read = []
    for step in thought.split("\n"):
        if ": Candidates: " in step:
            break
        read.append(step)
    statements, answer = conclude(taste.support(case), change, rng)
    concluded = numbered(statements, first=len(read) + 1)
    return "\n".join([*read, *concluded]), answer


def _random_choices(rng: np.random.Generator, level: Level) -> TaskSlice:
    """A configuration of prompts at this level; parts of a prompt are left out at times."""
    words = DOMAINS[rng.integers(len(DOMAINS))]
    chains = varied(level.chains, rng)
    sampler = "closed"
    if rng.random() < 0.1:
        sampler = "open_ended"
    negatives_shown = max(1, varied(level.candidates, rng) - 1)
    reasoning = bool(rng.random() < 0.95)
    history = max(1, varied(level.history, rng))
    compact = bool(rng.random() < 0.1)
    return TaskSlice(
        seed=0,
        data_seed=0,
        prompt=Prompt(
            name="pretrain",
            reasoning=reasoning,
            chains=chains > 0,
            compact=compact,
            profile=True,
            history=history,
            title_length=80,
        ),
        words=words,
        positive_above=POSITIVE_ABOVE,
        min_history=min(2, level.history),
        targets="likes",
        chain_sampler=ChainSampler(
            name=sampler,
            _target_=f"r2rec.chains.samplers.{sampler}",
            per_user=chains,
        ),
        negatives=negatives_shown,
        temporal=False,
    )


def _random_source(rng: np.random.Generator) -> TaskSource:
    """A small world. Its items and attributes have numbers; names come with each prompt."""
    n_genres = int(rng.integers(6, 20))
    n_items = int(rng.integers(60, 120))
    world = toy.imagine(rng, USERS, n_items, n_genres, QUALITY)
    picked, rating, time_ms = toy.interact(world, rng, RATINGS_PER_USER, HYPE, CHOOSINESS)
    attributes = []
    for genres, decade in zip(world.genres, world.decade, strict=True):
        names = [f"g{genre}" for genre in np.flatnonzero(genres)]
        attributes.append([*names, f"d{decade}"])
    ratings = pl.DataFrame(
        {
            "user": np.repeat(np.arange(USERS), picked.shape[1]),
            "item": picked.ravel(),
            "rating": rating.ravel(),
            "time_ms": time_ms.ravel(),
        }
    ).cast({"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32})
    user_ids = np.arange(USERS).astype(str)
    users = pl.DataFrame(
        {"raw_id": user_ids, "profile": None}, schema_overrides={"profile": pl.String}
    )
    item_ids = np.arange(n_items).astype(str)
    items = pl.DataFrame({"raw_id": item_ids, "title": item_ids, "attributes": attributes})
    tables = index(Raw(ratings, users, items, []))
    return _task_source(tables.interactions, tables.users, tables.items)


def _task_source(
    interactions: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame
) -> TaskSource:
    split = leave_last_out(interactions, positive_above=POSITIVE_ABOVE, min_positives=MIN_POSITIVES)
    return TaskSource(
        split.train,
        negatives.touched_keys(interactions, items.height),
        build_graph(split.train, USERS, items.height),
        texts(items, users),
    )
