"""The graph of train ratings, and queries in it."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from r2rec.chains import graph as graphs

USERS, ITEMS = 5, 6
# per user, item -> rating in time order; some users have none
histories = st.lists(
    st.lists(
        st.tuples(st.integers(0, ITEMS - 1), st.integers(1, 5)), unique_by=lambda pair: pair[0]
    ),
    min_size=USERS,
    max_size=USERS,
)


def train_of(histories):
    rows = [(u, i, r) for u, mine in enumerate(histories) for i, r in mine]
    return pl.DataFrame(
        rows, {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32}, orient="row"
    )


def dense(histories):
    matrix = np.zeros((len(histories), ITEMS), np.float32)
    for user, mine in enumerate(histories):
        for item, rating in mine:
            matrix[user, item] = rating
    return matrix


@given(histories)
def test_graph_holds_ratings_by_item_and_in_time(histories):
    graph = graphs.build_graph(train_of(histories), USERS, ITEMS)
    assert np.array_equal(graph.ratings.toarray(), dense(histories))
    assert np.array_equal(graph.raters.toarray(), dense(histories).T)
    assert graph.ratings.has_sorted_indices
    for user, mine in enumerate(histories):
        span = slice(graph.start[user], graph.start[user + 1])
        assert list(zip(graph.item[span], graph.rating[span], strict=True)) == mine


def test_build_graph_leaves_train_table_alone(tmp_path):
    """Whoever owns the memory of the table: sorting by item must not reorder it."""
    histories = [[(3, 1), (0, 2), (1, 3)], []]
    train_of(histories).write_parquet(tmp_path / "train.parquet")
    for train in (train_of(histories), pl.read_parquet(tmp_path / "train.parquet")):
        graph = graphs.build_graph(train, 2, ITEMS)
        assert graph.rating.tolist() == train["rating"].to_list() == [1, 2, 3]
        assert graph.item.tolist() == train["item"].to_list() == [3, 0, 1]


@given(histories, st.data())
def test_queries_see_whole_past_or_its_beginning(histories, data):
    graph = graphs.build_graph(train_of(histories), USERS, ITEMS)
    user = data.draw(st.lists(st.integers(0, USERS - 1), max_size=6))
    length = [data.draw(st.integers(0, len(histories[u]))) for u in user]
    whole = graphs.queries(graph, np.array(user, np.uint32))
    begun = graphs.queries(graph, np.array(user, np.uint32), np.array(length, np.uint32))
    assert np.array_equal(whole.past.toarray(), dense(histories)[user])
    assert np.array_equal(
        begun.past.toarray(), dense([histories[u][:n] for u, n in zip(user, length, strict=True)])
    )
    assert begun.past.has_sorted_indices
    assert begun.user.tolist() == whole.user.tolist() == user


@given(histories, st.data())
def test_shared_items_are_rated_by_both(histories, data):
    graph = graphs.build_graph(train_of(histories), USERS, ITEMS)
    wanted = graphs.queries(graph, np.arange(USERS))
    pairs = data.draw(st.lists(st.tuples(*[st.integers(0, USERS - 1)] * 2), max_size=5))
    query, neighbour = np.array(pairs, int).reshape(-1, 2).T
    both = graphs.shared_items(wanted, graph, query, neighbour)
    items = [{i for i, _ in mine} for mine in histories]
    rows = np.split(both.indices, both.indptr[1:-1]) if pairs else []
    assert [set(row.tolist()) for row in rows] == [items[u] & items[v] for u, v in pairs]
