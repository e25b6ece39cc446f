"""Adam on large tables: the same where a batch touches a row, and rest where none does."""

import copy

import numpy as np
import pytest
import torch

from r2rec.baselines import optimise
from r2rec.baselines.optimise import Optimizers, adam
from r2rec.config import Fit
from tests.baselines.small import GRAPH, SEQUENCE, data

FIT = Fit(negatives=5, learning_rate=0.01)


def step(model, optimizer, batch, seed=0):
    draw = torch.Generator().manual_seed(seed)
    model(batch, "softmax", 5, draw).backward()
    optimizer.step()
    optimizer.zero_grad()


def fresh(kind):
    torch.manual_seed(0)
    model = kind(data(), dim=8).eval()  # without dropout
    return model, next(iter(model.batches(4, np.random.default_rng(0))))


@pytest.mark.parametrize("kind", SEQUENCE)
def test_the_first_step_is_that_of_dense_adam(kind, monkeypatch):
    model, batch = fresh(kind)
    dense = copy.deepcopy(model).train(False)
    step(dense, adam(dense, FIT), batch)
    monkeypatch.setattr(optimise, "SPARSE_ABOVE", 10)
    optimizer = adam(model, FIT)
    assert isinstance(optimizer, Optimizers)
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer, batch)
    changed = 0
    for name, value in model.state_dict().items():
        # A step is 0.01; where a gradient is almost 0, the two add eps at different places.
        torch.testing.assert_close(value, dense.state_dict()[name], rtol=0, atol=1e-3)
        changed += int((value != before[name]).any())
    assert changed > 1


def test_rows_that_no_batch_touches_rest(monkeypatch):
    monkeypatch.setattr(optimise, "SPARSE_ABOVE", 10)
    model, batch = fresh(SEQUENCE[0])
    optimizer = adam(model, FIT)
    step(model, optimizer, batch)
    before = model.items.weight.detach().clone()
    (users, items), draw = batch, torch.Generator().manual_seed(1)
    few = (users[:1], items[:1, :3])
    drawn = torch.randint(model.pad, (5,), generator=draw)
    step(model, optimizer, few, seed=1)
    moved = (model.items.weight != before).any(1)
    touched = {*few[1].flatten().tolist(), *drawn.tolist()} - {model.pad}
    assert set(moved.nonzero().flatten().tolist()) <= touched
    assert moved.any()


def test_an_interrupted_training_goes_on_with_its_momentum(monkeypatch):
    monkeypatch.setattr(optimise, "SPARSE_ABOVE", 10)
    model, batch = fresh(SEQUENCE[0])
    optimizer = adam(model, FIT)
    step(model, optimizer, batch)
    again = copy.deepcopy(model)
    resumed = adam(again, FIT)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((model, optimizer), (again, resumed)):
        step(one, its, batch)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name], rtol=0, atol=0)


@pytest.mark.parametrize("spec", [Fit(negatives=0), Fit(negatives=5, weight_decay=0.1)])
def test_what_touches_all_rows_is_dense(spec, monkeypatch):
    monkeypatch.setattr(optimise, "SPARSE_ABOVE", 10)
    for kind in (*SEQUENCE, *GRAPH):
        assert isinstance(adam(fresh(kind)[0], spec), torch.optim.Adam)


def test_small_tables_are_dense():
    for kind in SEQUENCE:
        model, _ = fresh(kind)
        assert isinstance(adam(model, FIT), torch.optim.Adam)
        assert not model.items.sparse
