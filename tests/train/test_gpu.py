"""What only a GPU can say: `pytest -m gpu`. On other machines these tests are skipped."""

import pytest
import torch

from r2rec.compat import trl as hooks
from r2rec.llm import hf, load
from r2rec.train.memory import activation_bytes
from tests.small import go, typed
from tests.train.tiny_trainers import adapted, first_kl, grpo_trainer, tokenizer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_policy_and_reference_start_equal(tmp_path, checkpointing):
    """32 layers: rounding adds up."""
    deep = adapted(
        len(tokenizer()),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=32,
        num_attention_heads=8,
        initializer_range=0.1,
    )
    trainer = grpo_trainer(
        tmp_path,
        deep.cuda(),
        use_cpu=False,
        bf16=True,
        activation_checkpointing=checkpointing,
        max_steps=1,
    )
    hooks.use_one_gpu(trainer.args)
    assert abs(first_kl(trainer, tokens=500)) < 1e-6


def test_gpu_writes_what_the_cpu_writes():
    config = typed("model=tiny", "generation.temperature=0", "generation.max_new_tokens=24")
    words = load.tokenizer(config.model, None)
    prompts = [words.encode(f"Rank {n} candidates.\n- A: one\n- B: two") for n in range(4)] * 2
    model = load.weights(config.model, None)
    texts = []
    for device in ("cpu", "cuda"):
        written = hf.generate(model.to(device), words, prompts, config.generation, [0] * 8)
        texts.append([completion.text for completion in written])
    assert texts[0] == texts[1]


def test_activations_take_about_what_is_estimated():
    """The choice of checkpointing rests on it."""
    model = typed("model=llama_135m_random").model
    settings = load.settings_of(model, None)
    decoder = load.imagined(model.architecture, torch.bfloat16).cuda()
    decoder.requires_grad_(False)
    decoder.enable_input_require_grads()
    tokens = 8192
    ids = torch.randint(5, 4000, (8, tokens // 8), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss = decoder(ids, use_cache=False).logits.float().logsumexp(-1).mean()
    loss.backward()
    taken = torch.cuda.max_memory_allocated() - before
    assert 0.4 < taken / (tokens * activation_bytes(settings)) < 1.6


def test_whole_method_runs(tmp_path):
    done = go(tmp_path / "store", "hardware=gpu")
    assert {"sft", "rl", "rank R2Rec"} <= done.made()
    assert abs(done.table("rl", "log")["kl"].drop_nulls()[0]) < 1e-6
    assert done.table("rl", "log")["memory_gb"].max() > 0
