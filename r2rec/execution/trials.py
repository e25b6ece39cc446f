"""Functions of one's own are tried on a few made-up cases before anything is trained.

What they return there must be what their contract says. Functions of this package are not tried.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.utils import get_method

from r2rec.base.blame import failure, kind_and_reason, place_of
from r2rec.base.code import is_own
from r2rec.base.errors import R2RecError
from r2rec.config import Config
from r2rec.execution import leaf_rules
from r2rec.execution.leaf_rules import Leaf

if TYPE_CHECKING:
    from r2rec.config import Fit

PAIR = 2  # a thought and an answer
BATCH = 4  # examples of a module's first batch


class ContractError(Exception):
    """What a function returned is not what its contract says."""


def trial_rules(config: Config) -> Iterator[str]:
    """What is wrong with functions of one's own, one line each."""
    for leaf in leaf_rules.leaves(config):
        attempt = TRIALS.get(leaf.arguments)
        if attempt is not None and is_own(leaf.target):
            yield from _tried(leaf, attempt, config)


def template_rules(config: Config) -> Iterator[str]:
    """What is wrong with a prompt template of one's own."""
    from r2rec.execution import specimen
    from r2rec.prompts.own_templates import own_template_files
    from r2rec.prompts.render import render_prompt

    file = config.prompt.template
    if file is None:
        return
    name = f"prompt.template={file}"
    if not Path(file).is_file():
        yield f"{name}: there is no such file, neither here nor beside the folders of --config-dir"
        return
    case = specimen.case(config)
    try:
        own_template_files(file)
        text = render_prompt(case, config.prompt, config.dataset.words)
    except R2RecError as error:
        yield str(error)
        return
    missing = [item.title for item in case.candidates if item.title not in text]
    if missing:
        yield (
            f"{name} does not show all candidates: case.candidates are the texts, labels[0] is "
            "the label of the first"
        )


def _tried(leaf: Leaf, attempt: "Trial", config: Config) -> Iterator[str]:
    name = f"{leaf.where}._target_={leaf.target}"
    function = get_method(leaf.target)
    try:
        attempt(function, leaf, config)
    except ContractError as mistake:
        place = place_of(function)
        yield f"{name} {mistake}{f' ({place})' if place else ''}"
    except R2RecError as error:
        yield f"{name}: {error}"
    except Exception as error:
        how = failure(error, [leaf.target]) or f"fails: {kind_and_reason(error)}"
        yield f"{name} {how} (tried on a made-up {leaf.kind} case)"


Trial = Callable[[Callable[..., Any], Leaf, Config], None]


def _reward(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    """Two answers in, two finite numbers out; called as a trainer calls it."""
    from r2rec.execution import specimen
    from r2rec.train.rl import reward_function

    name = leaf.where.rpartition(".")[2]
    part = config.reward.parts[name]
    texts = specimen.two_answers(config.prompt.reasoning)
    n = len(texts)
    reward = reward_function(name, part, config.prompt.reasoning, [specimen.case(config)])
    question = [{"role": "user", "content": "Rank the candidates."}]
    returned: Any = reward(
        completions=[[{"role": "assistant", "content": text}] for text in texts],
        prompts=[question] * n,
        positive=["A"] * n,
        n_candidates=[specimen.K] * n,
        case=[0] * n,
    )
    numbers = _numbers(returned, "a number for each completion")
    if numbers.shape != (n,):
        raise ContractError(
            f"returned {_shown_shape(numbers)} for {n} completions: it must return a number for "
            "each"
        )


def _scorer(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.execution import specimen

    users = specimen.USERS
    items = specimen.candidates()
    returned = function(specimen.train_table(), users, items, specimen.rng(), **leaf.params)
    _check_scores(returned, items.shape)


def _module(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    """A model is built, learns from a batch, and scores."""
    import torch

    from r2rec.baselines.ratings import train_ratings
    from r2rec.execution import specimen

    data = train_ratings(specimen.train_table(), specimen.N_USERS, specimen.N_ITEMS)
    with torch.random.fork_rng(devices=[]):
        model = function(data, **leaf.params)
        for method in ("examples", "batches", "scores", "state_dict"):
            if not hasattr(model, method):
                raise ContractError(f"returned a {type(model).__name__} without {method}")
        if not isinstance(model.examples, int) or model.examples < 1:
            raise ContractError(f"has examples={model.examples!r}: it must be how many there are")
        spec = _fit_of(leaf, config)
        batch = next(iter(model.batches(BATCH, specimen.rng())), None)
        if batch is None:
            raise ContractError("gave no batch: batches(size, rng) must yield some")
        loss = model(batch, spec.loss, min(spec.negatives, BATCH), torch.Generator())
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.isfinite().all():
            raise ContractError(f"returned the loss {loss!r}: it must be one finite number")
        users = specimen.USERS.astype(np.int64)
        items = specimen.candidates().astype(np.int64)
        _check_scores(model.eval().scores(users, items), items.shape)


def _fit_of(leaf: Leaf, config: Config) -> "Fit":
    """The training settings of a leaf that is a module."""
    owner: Any = config
    for name in leaf.where.split("."):
        owner = getattr(owner, name)
    fit: Fit = owner.fit
    return fit


def _counter(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.execution import specimen
    from r2rec.tuned.regress import numbers_of

    cases = [specimen.case(config)] * len(specimen.USERS)
    if cases[0].evidence:  # else a rule says what to add
        numbers = numbers_of(leaf.target, leaf.params, cases, config.prompt)
        if not numbers:
            raise ContractError("returned no numbers: it must return a table of name -> [n, k]")


def _case_reader(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    """Messages to an endpoint, or a closed question, about a case."""
    from r2rec.execution import specimen
    from r2rec.tuned.question import ClosedQuestion

    returned = function(specimen.case(config), config.prompt, config.dataset.words, **leaf.params)
    if config.baseline.endpoint:
        _check_messages(returned)
    elif not isinstance(returned, ClosedQuestion) or len(returned.options) < specimen.K:
        raise ContractError(
            f"returned a {type(returned).__name__}: it must return a ClosedQuestion with an "
            "option for each candidate"
        )


def _viewer(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.execution import specimen
    from r2rec.tuned.question import ClosedQuestion, View

    view = View(0, [1, 2], [3], [26, 27], positive=0)
    returned = function(
        view, specimen.item_texts(), config.prompt, config.dataset.words, **leaf.params
    )
    is_list = isinstance(returned, Sequence) and len(returned) > 0
    if not is_list or not all(isinstance(one, ClosedQuestion) for one in returned):
        raise ContractError(
            f"returned a {type(returned).__name__}: it must return a list of ClosedQuestion"
        )


def _noise(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.execution import specimen

    train = specimen.train_table()
    returned = function(train, specimen.N_USERS, specimen.N_ITEMS, specimen.rng(), **leaf.params)
    if getattr(returned, "schema", None) != train.schema:
        raise ContractError(
            f"returned a {type(returned).__name__}: it must return train ratings with the columns "
            f"{', '.join(f'{name} ({kind})' for name, kind in train.schema.items())}"
        )


def _sampler(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    import polars as pl

    from r2rec.chains.samplers import Chains, table
    from r2rec.execution import specimen

    graph = specimen.graph()
    queries = specimen.chain_queries()
    returned = function(graph, queries, BATCH, specimen.rng(), **leaf.params)
    needed: tuple[str, ...] = ("query", "user", "item1", "item2")
    if isinstance(returned, Chains):
        if len({len(column) for column in returned}) > 1:
            raise ContractError("returned Chains whose columns differ in length")
        returned = table(returned, graph, queries)
    elif isinstance(returned, pl.DataFrame) and "strength" in returned.columns:
        needed = ("query", "user")
    if not isinstance(returned, pl.DataFrame) or not set(needed) <= set(returned.columns):
        raise ContractError(
            f"returned a {type(returned).__name__}: it must return r2rec.chains.samplers.Chains, "
            f"or a table of {', '.join(needed)} and ratings"
        )
    query = returned["query"].to_numpy().astype(np.int64)
    if (np.diff(query) < 0).any() or (query >= len(queries.user)).any():
        raise ContractError(
            f"returned chains of other queries than 0 to {len(queries.user) - 1}, in order"
        )


def _writer(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.execution import specimen

    cases = [specimen.case(config)] * PAIR
    returned = function(cases, ["A", "B"], 0, **leaf.params)
    pairs = list(returned) if isinstance(returned, Sequence) else []
    is_good = len(pairs) == len(cases) and all(map(_is_pair_of_texts, pairs))
    if not is_good:
        raise ContractError(
            f"returned {_short(returned)} for {len(cases)} cases: it must return a list with a "
            "pair of texts, (thought, answer), for each"
        )


def _teacher(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.execution import specimen

    words = config.dataset.words
    _check_messages(function(specimen.case(config), "A", config.prompt, words, **leaf.params))


def _diagnostic(function: Callable[..., Any], leaf: Leaf, config: Config) -> None:
    from r2rec.evaluate.diagnostics import Diagnosis
    from r2rec.execution import specimen

    returned = function(specimen.diagnosed(config), specimen.rng(), **leaf.params)
    is_good = isinstance(returned, Diagnosis) and returned.rows
    if not is_good or not all(isinstance(row, Mapping) for row in returned.rows):
        raise ContractError(
            f"returned {_short(returned)}: it must return "
            "r2rec.evaluate.diagnostics.Diagnosis(rows, facts), rows as a list of tables"
        )
    numbers = [value for value in returned.facts.values() if value is not None]
    if not all(isinstance(value, int | float | np.number) for value in numbers):
        raise ContractError("returned facts that are no numbers: facts are name -> number or None")


TRIALS: dict[tuple[str, ...], Trial] = {
    leaf_rules.REWARD: _reward,
    leaf_rules.SCORER: _scorer,
    leaf_rules.MODULE: _module,
    leaf_rules.COUNTER: _counter,
    leaf_rules.ENDPOINT: _case_reader,
    leaf_rules.VIEWER: _viewer,
    leaf_rules.NOISE: _noise,
    leaf_rules.SAMPLER: _sampler,
    leaf_rules.WRITER: _writer,
    leaf_rules.TEACHER: _teacher,
    leaf_rules.DIAGNOSTIC: _diagnostic,
}


def _check_scores(returned: Any, shape: tuple[int, ...]) -> None:
    numbers = _numbers(returned, "scores")
    if numbers.shape != shape:
        raise ContractError(
            f"returned {_shown_shape(numbers)} for {shape[0]} users with {shape[1]} candidates "
            f"each: it must return scores [{shape[0]}, {shape[1]}]"
        )


def _numbers(returned: Any, what: str) -> np.ndarray:
    """What was returned as finite numbers."""
    try:
        numbers = np.asarray(returned, np.float64)
    except (TypeError, ValueError):
        raise ContractError(f"returned {_short(returned)}: it must return {what}") from None
    if not np.isfinite(numbers).all():
        raise ContractError(f"returned {_short(returned)}: all must be finite")
    return numbers


def _check_messages(returned: Any) -> None:
    is_list = isinstance(returned, Sequence) and len(returned) > 0
    if not is_list or not all(map(_is_message, returned)):
        raise ContractError(
            f"returned {_short(returned)}: it must return a list of messages, "
            "{'role': 'user', 'content': '...'}"
        )


def _is_message(one: Any) -> bool:
    return isinstance(one, Mapping) and all(
        isinstance(one.get(key), str) for key in ("role", "content")
    )


def _is_pair_of_texts(pair: Any) -> bool:
    return (
        isinstance(pair, Sequence)
        and not isinstance(pair, str)
        and len(pair) == PAIR
        and all(isinstance(text, str) for text in pair)
    )


def _shown_shape(numbers: np.ndarray) -> str:
    if numbers.ndim == 1:
        return f"a list of {len(numbers)}"
    return f"numbers of shape {list(numbers.shape)}" if numbers.ndim else "a single number"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
