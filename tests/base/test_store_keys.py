"""An artefact's key: equal exactly when what it was made from is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base import store

KEY = "0123456789abcdef"


def key_of(stage, version, config, parents, raw):
    inputs = {"version": version, "config": config, "parents": parents, "raw": raw}
    return store.key_of(stage, inputs)


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
)
names = st.text(max_size=2)
inputs = st.tuples(
    names,
    st.integers(1, 3),
    st.dictionaries(names, values, max_size=3),
    st.dictionaries(names, names, max_size=2),
    st.dictionaries(names, names, max_size=2),
)


def plain(value):
    """Text in which only the order of dicts is lost: 1, 1.0, True and "1" stay apart."""
    if isinstance(value, dict):
        return "{" + repr(sorted((k, plain(v)) for k, v in value.items())) + "}"
    return repr([plain(v) for v in value]) if isinstance(value, list | tuple) else repr(value)


@given(inputs, inputs)
def test_keys_are_equal_exactly_when_the_inputs_are(a, b):
    assert (key_of(*a) == key_of(*b)) == (plain(a) == plain(b))


@given(inputs, st.randoms())
def test_the_order_of_a_table_does_not_enter_the_key(a, random):
    def shuffled(value):
        if isinstance(value, dict):
            return {k: shuffled(value[k]) for k in random.sample(list(value), len(value))}
        return [shuffled(v) for v in value] if isinstance(value, list) else value

    assert key_of(*a) == key_of(*map(shuffled, a))


def test_every_single_change_gives_another_key():
    base = ("split", 1, {"a": {"b": 1}, "c": [1, 2]}, {"prepare": KEY}, {"r.dat": "00"})
    changed = [
        base,
        ("chain", *base[1:]),
        ("split", 2, *base[2:]),
        *(
            (*base[:2], config, *base[3:])
            for config in (
                {},
                {"a": {"b": 2}, "c": [1, 2]},
                {"a": {"b": 1.0}, "c": [1, 2]},
                {"a": {"b": True}, "c": [1, 2]},
                {"a": {"b": "1"}, "c": [1, 2]},
                {"a": {"b": None}, "c": [1, 2]},
                {"a": {"b": 1}, "c": [2, 1]},
            )
        ),
        *(
            (*base[:3], parents, base[4])
            for parents in ({}, {"prepare": KEY[::-1]}, {"split": KEY})
        ),
        *((*base[:4], raw) for raw in ({}, {"r.dat": "01"}, {"s.dat": "00"})),
        (*base[:3], base[4], base[3]),
    ]
    assert len({key_of(*c) for c in changed}) == len(changed)


def test_a_key_is_the_same_in_every_process_and_on_every_day():
    assert key_of("split", 1, {"é": 0.1}, {"prepare": KEY}, {}) == "88b853a76fc6511b"


def test_a_value_without_equality_has_no_key():
    with pytest.raises(ValueError):
        key_of("split", 1, {"a": float("nan")}, {}, {})
