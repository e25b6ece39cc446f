"""Sequence models: states depend on earlier items alone, and scores are those of a full pass."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r2rec.baselines.ratings import train_ratings
from r2rec.baselines.sasrec import SASRec
from tests.baselines.small import ITEMS, SEQUENCE, USERS, data, table

every = pytest.mark.parametrize("kind", SEQUENCE)


def made(kind, **params):
    torch.manual_seed(0)
    return kind(data(), dim=8, length=10, dropout=0.0, **params).eval()


@every
@given(changed=st.integers(1, 8), seed=st.integers(0, 50))
def test_states_are_causal(kind, changed, seed):
    model = made(kind)
    draw = torch.Generator().manual_seed(seed)
    items = torch.randint(ITEMS, (3, 9), generator=draw)
    users = torch.arange(3)
    other = items.clone()
    other[:, changed:] = torch.randint(ITEMS, other[:, changed:].shape, generator=draw)
    one = model.states(users, items)
    two = model.states(users, other)
    torch.testing.assert_close(one[:, :changed], two[:, :changed])
    if not torch.equal(items[:, changed], other[:, changed]):
        assert not torch.allclose(one[:, changed], two[:, changed])


@every
def test_padding_changes_nothing(kind):
    model = made(kind)
    users = torch.arange(3)
    items = torch.randint(ITEMS, (3, 6))
    padded = torch.cat([items, torch.full((3, 4), ITEMS)], 1)
    torch.testing.assert_close(model.states(users, padded)[:, :6], model.states(users, items))


@every
def test_scores_come_from_the_last_state(kind):
    """One user at a time, all items scored, then looked up: as slow as can be."""
    model = made(kind)
    loaded = data()
    users = np.arange(USERS)
    candidates = np.random.default_rng(0).integers(0, ITEMS, (USERS, 5))
    for user, scored in zip(users, model.scores(users, candidates), strict=True):
        items = loaded.item[loaded.start[user] : loaded.start[user + 1]][-10:]
        if not len(items):
            assert (scored == 0).all()
            continue
        state = model.states(torch.tensor([user]), torch.from_numpy(items)[None])[0, -1]
        full = model.targets.weight[:ITEMS] @ state
        expected = full[candidates[user]].detach().numpy()
        np.testing.assert_allclose(scored, expected, rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 100), length=st.integers(1, 20), size=st.integers(1, 9))
def test_epoch_reads_one_window_of_each_user(seed, length, size):
    loaded = train_ratings(table(seed), USERS, ITEMS)
    model = SASRec(loaded, dim=4, length=length, blocks=1)
    seen = []
    for users, items in model.batches(size, np.random.default_rng(seed)):
        assert len(users) <= size
        assert items.shape[1] <= length + 1
        for user, row in zip(users.tolist(), items.tolist(), strict=True):
            window = [i for i in row if i != ITEMS]
            whole = loaded.item[loaded.start[user] : loaded.start[user + 1]].tolist()
            assert len(window) == min(len(whole), length + 1)
            assert row == window + [ITEMS] * (len(row) - len(window))
            starts = range(len(whole))
            assert window in [whole[start : start + len(window)] for start in starts]
            seen.append(user)
    assert sorted(seen) == np.flatnonzero(np.diff(loaded.start) > 1).tolist()


@every
def test_loss_over_all_items_is_a_mean(kind):
    model = made(kind)
    batch = next(iter(model.batches(4, np.random.default_rng(0))))
    users, items = batch
    expected = []
    for user, row in zip(users, items, strict=True):
        real = row[row != ITEMS]
        logits = model.states(user[None], real[None, :-1])[0] @ model.targets.weight[:ITEMS].T
        expected += torch.nn.functional.cross_entropy(logits, real[1:], reduction="none").tolist()
    got = model(batch, "softmax", 0, torch.Generator())
    assert got.item() == pytest.approx(np.mean(expected), rel=1e-5)
    drawn = model(batch, "softmax", 20_000, torch.Generator().manual_seed(0))
    assert drawn.item() == pytest.approx(got.item(), abs=0.05)
