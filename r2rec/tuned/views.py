"""What closed questions are about: train likes to learn from, or evaluated users to rank for."""

import numpy as np

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.baselines.ratings import IdArray
from r2rec.chains.graph import Graph
from r2rec.config.slices import AdaptSlice
from r2rec.tasks.training import TaskSource, targets, with_negatives
from r2rec.tuned.question import View


def training_views(source: TaskSource, choices: AdaptSlice) -> list[View]:
    """Train likes as if they were still to come, each at a random position among its negatives.

    Raises:
        R2RecError: There is no such like.
    """
    spec = choices.adapt
    rng = seeds.generator(choices.seed, "adapt.tasks")
    sampled = targets(source, choices).head(spec.samples)
    chosen, negatives = with_negatives(source, sampled, spec.negatives, rng)
    if not chosen.height:
        raise no_target(choices)
    user = chosen["user"].to_numpy().astype(np.int64)
    length = chosen["position"].to_numpy().astype(np.int64)
    if spec.disliked:
        _put_dislikes_first(negatives, source.graph, user, length, choices.positive_above, rng)
    items = np.column_stack([chosen["item"].to_numpy(), negatives])
    n, k = items.shape
    columns = np.tile(np.arange(k), (n, 1))
    order = rng.permuted(columns, axis=1)
    return build_views(
        source.graph,
        user,
        length,
        candidates=np.take_along_axis(items, order, axis=1),
        history=choices.prompt.history,
        above=choices.positive_above,
        positive_index=(order == 0).argmax(axis=1),
    )


def no_target(choices: AdaptSlice) -> R2RecError:
    """What to say where there is nothing to learn from."""
    return R2RecError(
        f"baseline={choices.name} finds no train rating to tune on;"
        " lower evaluation.min_history or use a larger data set"
    )


def _put_dislikes_first(
    negatives: IdArray,
    graph: Graph,
    user: IdArray,
    length: IdArray,
    above: float,
    rng: np.random.Generator,
) -> None:
    """Replace each row's first negative by an item that the user disliked later, if any."""
    for row in range(len(user)):
        begin = graph.start[user[row]] + length[row]
        later = slice(begin, graph.start[user[row] + 1])
        disliked = graph.item[later][graph.rating[later] <= above]
        if len(disliked):
            negatives[row, 0] = disliked[rng.integers(len(disliked))]


def build_views(
    graph: Graph,
    user: IdArray,
    length: IdArray,
    candidates: IdArray,
    history: int,
    above: float,
    positive_index: IdArray | None = None,
) -> list[View]:
    """A view for each row: user [n] after their first `length` [n] ratings, with candidates [n, k].

    Args:
        history: How many of the latest items are told, of each kind.
        above: A rating above this is a like.
        positive_index: [n] where the true answer stands; None: it is not known.
    """
    views = []
    for row in range(len(user)):
        begin = graph.start[user[row]]
        past = slice(begin, begin + length[row])
        items = graph.item[past]
        is_like = graph.rating[past] > above
        positive = None
        if positive_index is not None:
            positive = int(positive_index[row])
        view = View(
            user=int(user[row]),
            liked=_latest(items[is_like], history),
            disliked=_latest(items[~is_like], history),
            candidates=candidates[row].tolist(),
            positive=positive,
        )
        views.append(view)
    return views


def _latest(items: IdArray, history: int) -> list[int]:
    first = max(0, len(items) - history)
    latest: list[int] = items[first:].tolist()
    return latest
