"""Batches of SFT: what a trainer can pin, and what a model reads without a mask."""

import torch

from r2rec.train.sft import unmasked


def test_a_batch_can_be_pinned_and_has_positions_for_a_mask():
    rows = [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
        {"input_ids": [8, 9], "labels": [-100, 9]},
    ]
    batch = unmasked(0)(rows)
    assert batch["position_ids"].tolist() == [[0, 1, 2]] * 2
    assert "attention_mask" not in batch
    assert [
        name for name, held in batch.items() if torch.is_tensor(held) and not held.is_contiguous()
    ] == []
