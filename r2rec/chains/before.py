"""What others had rated before the moment of a query: counts and paths (`evaluation.temporal`)."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from r2rec.chains.graph import BoolArray, Graph, IntArray, rating_times, ratings_before
from r2rec.data.moments import Timeline


class Raters(NamedTuple):
    """Who rated each item, in time order.

    Attributes:
        timeline: Of all ratings of a graph.
        user: [ratings] who gave each rating of it.
    """

    timeline: Timeline
    user: IntArray

    @classmethod
    def of(cls, graph: Graph) -> Self:
        """The raters of a graph that knows times."""
        timeline = Timeline.of(graph.item, rating_times(graph), graph.n_items)
        n_ratings = np.diff(graph.start)
        user = np.repeat(np.arange(len(n_ratings)), n_ratings)
        return cls(timeline, user[timeline.row])

    def counts(self, item: IntArray, time: IntArray) -> IntArray:
        """[n] how many had rated items [n] before moments [n]."""
        return self.timeline.end(item, time) - self.timeline.start[item]

    def listed(self, item: IntArray, time: IntArray) -> tuple[IntArray, IntArray]:
        """Who had rated items [n] before moments [n].

        Returns:
            [ratings] indices into the items, sorted, and [ratings] users.
        """
        n_raters = self.counts(item, time)
        index = np.repeat(np.arange(len(item)), n_raters)
        first = np.cumsum(n_raters) - n_raters
        offset = np.arange(len(index)) - first[index]
        return index, self.user[self.timeline.start[item][index] + offset]


def had_rated(graph: Graph, user: IntArray, item: IntArray, time: IntArray) -> BoolArray:
    """[n] whether users [n] had rated items [n] before moments [n]."""
    return _own_before(graph, user, item[:, None], time).ravel() > 0


def others_before(
    graph: Graph, user: IntArray, items: IntArray, time: IntArray, above: float
) -> tuple[IntArray, IntArray]:
    """How many others had rated each row's items before its moment, and how many liked them.

    Args:
        user: [n] whose own ratings do not count.
        items: [n, k]
        time: [n]
        above: A rating above this is a like.

    Returns:
        [n, k] and [n, k].
    """
    timeline = Timeline.of(graph.item, rating_times(graph), graph.n_items)
    item = items.ravel()
    end = timeline.end(item, np.repeat(time, items.shape[1]))
    start = timeline.start[item]
    is_like = graph.rating[timeline.row] > above
    likes_until = np.concatenate([[0], np.cumsum(is_like)])
    own = _own_before(graph, user, items, time)
    n_raters = (end - start).reshape(items.shape) - (own > 0)
    n_likes = (likes_until[end] - likes_until[start]).reshape(items.shape) - (own > above)
    return n_raters, n_likes


def _own_before(
    graph: Graph, user: IntArray, items: IntArray, time: IntArray
) -> NDArray[np.float32]:
    """[n, k] what each row's user had given to its items before its moment; 0: nothing."""
    if not items.size:  # scipy returns a matrix for an empty selection
        return np.zeros(items.shape, np.float32)
    own = ratings_before(graph, user, time)
    row = np.repeat(np.arange(len(user)), items.shape[1])
    return np.asarray(own[row, items.ravel()], np.float32).reshape(items.shape)
