"""Trainers on a model of a few thousand weights, for tests."""

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from r2rec.compat import trl as hooks
from r2rec.llm import load
from r2rec.train.sft import unmasked
from r2rec.train.shared_prompt import share_prompts
from tests.small import typed


def tokenizer():
    return load.tokenizer(typed("model=tiny").model, None)


def llama(vocabulary, seed=0, **sizes):
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            **{
                "vocab_size": vocabulary,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "pad_token_id": 0,
                **sizes,
            }
        )
    )


def adapted(vocabulary, **sizes):
    """With an adapter whose weights are not zero."""
    model = llama(vocabulary, **sizes)
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, config)


def lengths(completions, **_):
    """A reward that differs between rollouts."""
    return [len(messages[-1]["content"]) / 100 for messages in completions]


def grpo_trainer(folder, model=None, **given):
    """On four prompts, two rollouts each, with a reference adapter."""
    words = tokenizer()
    args = GRPOConfig(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "num_generations": 2,
            "temperature": 0.7,
            "per_device_train_batch_size": 4,
            "max_completion_length": 6,
            "num_train_epochs": 1,
            "beta": 0.04,
            "logging_steps": 1,
            "report_to": [],
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            "activation_checkpointing": False,
            **given,
        }
    )
    prompts = [[{"role": "user", "content": text}] for text in "abcd"]
    return GRPOTrainer(
        model=model or adapted(len(words)),
        reward_funcs=lengths,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=words,
    )


def first_kl(trainer, tokens):
    """KL of a trainer's one step to its reference, with prompts of so many different tokens."""
    share_prompts(trainer, {})
    hooks.replace_prompt_tokens(
        trainer,
        lambda prompt: [5 + 7 * k * ord(prompt[0]["content"]) % 4000 for k in range(tokens)],
    )
    trainer.train()
    (kl,) = [row["kl"] for row in trainer.state.log_history if "kl" in row]
    return kl


def sft_trainer(folder, examples=None, **given):
    """Eight steps of two short sequences each, unless there are other examples."""
    words = tokenizer()
    args = SFTConfig(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": 2,
            "num_train_epochs": 2,
            "learning_rate": 1e-2,
            "save_steps": 100,
            "logging_steps": 1,
            "report_to": [],
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            "activation_checkpointing": False,
            **given,
        }
    )
    sequences = [[5 + k, 6, 7 + k, 8] for k in range(8)]
    examples = examples or [{"input_ids": s, "labels": s} for s in sequences]
    return SFTTrainer(
        model=adapted(len(words)),
        args=args,
        train_dataset=Dataset.from_list(examples),
        processing_class=words,
        data_collator=unmasked(words.pad_token_id),
    )
