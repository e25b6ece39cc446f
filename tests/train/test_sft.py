"""SFT: what is trained on, token by token, and how batches look."""

import polars as pl
import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from r2rec.base.errors import R2RecError
from r2rec.config.slices import SftSlice
from r2rec.llm import chat, load
from r2rec.train.sft import _arguments as sft_arguments
from r2rec.train.sft import sft_examples, sft_traces, unmasked
from tests.small import choices, typed, workspace
from tests.train.tiny_trainers import sft_trainer

THOUGHT = "Step 1: The user liked A.\nStep 2: So B, then C."
ANSWER = "Ranking: B > A > C"
PROMPT = "Rank the candidates.\n- A: one\n- B: two\n- C: three"


def test_steps_of_similar_length_have_less_padding(tmp_path):
    """`sft.group_by_length` is the trainer's own sampler, over lengths of the examples."""
    lengths = [20, 200] * 16
    examples = [{"input_ids": [5] * n, "labels": [5] * n} for n in lengths]
    wasted = {}
    for strategy in ("random", "group_by_length"):
        trainer = sft_trainer(tmp_path, examples, train_sampling_strategy=strategy, seed=1)
        wasted[strategy] = 0
        for batch in trainer.get_train_dataloader():
            rows, longest = batch["input_ids"].shape
            wasted[strategy] += rows * longest - int((batch["labels"] != -100).sum())
    assert wasted["group_by_length"] < 0.3 * wasted["random"]


@pytest.mark.parametrize(("grouped", "strategy"), [(True, "group_by_length"), (False, "random")])
def test_grouping_by_length_is_a_choice(tmp_path, grouped, strategy):
    given = choices(SftSlice, f"sft.group_by_length={grouped}")
    args = sft_arguments(given, workspace(tmp_path), None, 100)
    assert args.train_sampling_strategy == strategy


def traces(n, tasks=("ranking",), accepted=True, thought=THOUGHT):
    rows = []
    for k in range(n):
        row = {
            "task": tasks[k % len(tasks)],
            "prompt": f"{PROMPT} {k}",
            "thought": thought,
            "answer": ANSWER,
            "accepted": accepted,
        }
        rows.append(row)
    return pl.DataFrame(rows, schema_overrides={"thought": pl.String})


def trained_on(tokenizer, examples, folder):
    """(context, what the loss is on) as texts, of each example as SFTTrainer prepares it."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    args = SFTConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        packing=False,
        max_length=2048,
        per_device_train_batch_size=2,
        dataloader_pin_memory=False,
    )
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        data_collator=unmasked(tokenizer.pad_token_id),
    )
    pairs = []
    for batch in trainer.get_train_dataloader():
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            is_learned = labels != -100
            assert (labels[is_learned] == ids[is_learned]).all()
            first = int(is_learned.nonzero()[0])
            last = int(is_learned.nonzero()[-1])
            assert is_learned[first : last + 1].all()
            pairs.append((tokenizer.decode(ids[:first]), tokenizer.decode(ids[first : last + 1])))
    return sorted(pairs)


TEMPLATES = {
    # what opens the model's turn; what it learns before the thought, between it and the answer; end
    "tiny.jinja": ("<|assistant|>", "<think>\n", "\n</think>\n", "<|end|>"),
    "qwen3_training.jinja": (
        "<|im_start|>assistant\n",
        "<think>\n",
        "\n</think>\n\n",
        "<|im_end|>\n",
    ),
    "deepseek_r1_distill_training.jinja": (
        "<｜Assistant｜><think>\n",
        "",
        "\n</think>\n",
        "<｜end▁of▁sentence｜>",
    ),
    "llama3_training.jinja": (
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<think>\n",
        "\n</think>\n",
        "<|eot_id|>",
    ),
}


def model_with(template):
    return typed("model=tiny", f"model.chat_template={template}").model


def examples_of(table, samples, template="tiny.jinja"):
    """The tokenizer, and all examples of these traces."""
    model = model_with(template)
    tokenizer = load.tokenizer(model, None)
    return tokenizer, sft_examples(sft_traces(table, samples), tokenizer, model)[0]


@pytest.mark.parametrize("template", TEMPLATES)
def test_loss_is_on_thought_answer_and_end_of_turn(tmp_path, template):
    """And on nothing else; what stands before it is what a rollout goes on from."""
    tokenizer, examples = examples_of(traces(2), 2, template)
    turn, before, between, end = TEMPLATES[template]
    pairs = trained_on(tokenizer, examples, tmp_path)
    assert len(pairs) == 2
    for k, (context, learned) in enumerate(pairs):
        assert learned == before + THOUGHT + between + ANSWER + end
        assert context == chat.rendered_conversation(tokenizer, f"{PROMPT} {k}", True)
        assert context.endswith(turn)


@pytest.mark.parametrize("template", ["tiny.jinja", "deepseek_r1_distill.jinja"])
def test_loss_without_a_thought_is_on_answer_and_end_of_turn(tmp_path, template):
    """R1's templates open a thought all the same: it is closed here as in rollouts and ranking."""
    tokenizer, examples = examples_of(traces(1, thought=None), 1, template)
    ((context, learned),) = trained_on(tokenizer, examples, tmp_path)
    assert learned == ANSWER + ("<|end|>" if template == "tiny.jinja" else "<｜end▁of▁sentence｜>")
    assert context == chat.rendered_conversation(tokenizer, f"{PROMPT} 0", False)


@pytest.mark.parametrize(("samples", "expected"), [(4, 4), (5, 5), (20, 8)])
def test_each_kind_of_task_gets_its_share(samples, expected):
    table = pl.concat([traces(8, ("ranking", "rating")), traces(3, accepted=False)])
    taken = sft_traces(table, samples)
    assert len(taken) == expected
    kinds = [int(prompt.split()[-1]) % 2 for prompt, _, _ in taken]
    assert kinds == sorted(kinds)
    assert kinds.count(0) == min(4, (samples + 1) // 2)


def test_traces_that_do_not_fit_are_left_out_with_a_note():
    model = model_with("tiny.jinja")
    tokenizer, fair = examples_of(traces(2), 2)
    long = traces(1, thought=THOUGHT * 200)
    spelled = traces(1, thought="So <|end|> it is.")
    taken = [row for table in (traces(2), long, spelled) for row in sft_traces(table, 2)]
    examples, notes = sft_examples(taken, tokenizer, model)
    assert examples == fair
    assert notes == [
        "1 traces longer than model.max_length were left out",
        "1 traces that spell a control token of this model were left out",
    ]
    model.max_length = 10
    with pytest.raises(R2RecError, match=r"no trace fits into model\.max_length=10 tokens; raise"):
        sft_examples(taken, tokenizer, model)


def test_labels_that_do_not_read_as_their_trace_are_refused(monkeypatch):
    """Whatever a template does to thought and answer, nothing else is taught."""
    model = model_with("tiny.jinja")
    tokenizer = load.tokenizer(model, None)
    monkeypatch.setattr("r2rec.llm.turns.reply", lambda *_: f"{ANSWER}<|end|>")
    with pytest.raises(
        R2RecError, match=r"^sft would teach 'Ranking: B > A > C'\.\.\. in the place"
    ):
        sft_examples(sft_traces(traces(1), 1), tokenizer, model)


def test_batch_has_positions_for_a_mask_and_can_be_pinned():
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
