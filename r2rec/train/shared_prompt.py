"""GRPO that reads each prompt once: all rollouts of a group share it.

A ranking prompt is three times as long as its answer, and TRL reads it again for every rollout, in
the policy and in the reference. Here the rows of a batch that have the same prompt attend to one
copy of its keys and values, and the gradients of all rows add up in that copy. The numbers are the
same, from fewer tokens.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from r2rec.compat import trl as hooks
from r2rec.compat.transformers import adapter_merged
from r2rec.llm import speculative
from r2rec.llm.drafts import Draft
from r2rec.llm.hf import choosing, leaving_chosen
from r2rec.llm.sharing import sharing

PromptIds = tuple[int, ...]  # token ids
IGNORED = -100  # a label that the loss skips


def share_prompts(trainer: Any, expected: Mapping[PromptIds, list[int]]) -> None:
    """Have a GRPOTrainer read each prompt once where it can, and as TRL does elsewhere.

    Its rollouts then depend on the seed, the step and their place in the batch: not on how many
    processes share the batch, nor on what was drawn before a resumed step.

    Args:
        expected: Tokens that rollouts of a prompt may be close to: makes writing them faster, and
            changes nothing else.
    """

    def write_merged(model: Any, *inputs: Any, **options: Any) -> Any:
        if not hooks.has_whole_weights(trainer):
            return write(model, *inputs, **options)
        with adapter_merged(model):
            return write(model, *inputs, **options)

    def write(
        model: Any, usual: hooks.Method, input_ids: Tensor, attention_mask: Tensor, **options: Any
    ) -> Any:
        choose = choosing(trainer.temperature, trainer.top_p)
        numbers = _uniform_numbers(trainer, len(input_ids))
        rows = zip(input_ids, attention_mask.bool(), strict=True)
        prompts = [tuple(ids[seen].tolist()) for ids, seen in rows]
        drafts = [Draft(expected.get(prompt, []), prompt) for prompt in prompts]
        has_draft = any(prompt in expected for prompt in prompts)
        is_whole = hooks.has_whole_weights(trainer)
        if is_whole and has_draft and speculative.can_draft(model, input_ids):
            ends = trainer.generation_config.eos_token_id
            new = speculative.write(model, input_ids, attention_mask, drafts, choose, numbers, ends)
            padded = speculative.rectangle(new, input_ids, trainer.generation_config.pad_token_id)
            return torch.cat([input_ids, padded], 1)
        with sharing(model, input_ids, attention_mask) as cache:
            return usual(
                input_ids=input_ids,
                attention_mask=attention_mask,
                logits_processor=[leaving_chosen(choose, numbers)],
                **cache,
                **options,
            )

    def read(
        model: Any, input_ids: Tensor, attention_mask: Tensor, completion_length: int, rows: int
    ) -> tuple[Tensor, Tensor] | None:
        if hooks.calls_once(trainer):
            return None
        return _read_shared(
            trainer.accelerator, model, input_ids, attention_mask, completion_length, rows
        )

    hooks.replace_rollouts(trainer, write_merged)
    hooks.replace_log_probabilities(trainer, read)


def _uniform_numbers(trainer: Any, rows: int) -> Tensor:
    """Numbers in [0, 1) for each token [rows, most new tokens] of this process's rows.

    Every process draws the numbers of all processes from one seed, and takes its own.
    """
    seed = (trainer.args.seed << 20) + trainer.state.global_step
    generator = torch.Generator().manual_seed(seed)
    accelerator = trainer.accelerator
    by_token = []
    for _ in range(trainer.max_completion_length):
        of_all = torch.rand(accelerator.num_processes, rows, generator=generator)
        by_token.append(of_all[accelerator.process_index])
    return torch.stack(by_token, 1).to(accelerator.device)


def _read_shared(
    accelerator: Any,
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    completion_length: int,
    rows: int,
) -> tuple[Tensor, Tensor] | None:
    """Log-probabilities and entropies [n, completion_length]; None where no rows share a prompt.

    Args:
        input_ids: [n, prompt + completion], as is `attention_mask`.
        rows: At most so many rows are read at once.
    """
    # The prompt's last token predicts the first of the completion, so it is read with that.
    last = input_ids.shape[1] - completion_length - 1
    prompts = torch.cat([input_ids[:, : last + 1], attention_mask[:, : last + 1]], 1)
    n_distinct = len(torch.unique(prompts, dim=0))
    if n_distinct == len(prompts) or last < 1:
        return None
    log_probs = []
    entropies = []
    all_rows = torch.arange(len(prompts), device=prompts.device)
    for chunk in torch.split(all_rows, rows):
        _, prompt_index = torch.unique(prompts[chunk], dim=0, return_inverse=True)
        with accelerator.autocast():
            scores = _read_chunk(model, input_ids[chunk], attention_mask[chunk], last, prompt_index)
        log_probs.append(scores[0])
        entropies.append(scores[1])
    return torch.cat(log_probs), torch.cat(entropies)


def _read_chunk(
    model: Any, ids: Tensor, mask: Tensor, last: int, prompt_index: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of rows whose prompts are read once each.

    Args:
        last: Index of the prompts' last token.
        prompt_index: [rows] which distinct prompt each row has.
    """
    n_prompts = int(prompt_index.max()) + 1
    first_rows = [(prompt_index == n).nonzero()[0, 0] for n in range(n_prompts)]
    first = torch.stack(first_rows)
    labels = ids[:, last:].masked_fill(mask[:, last:] == 0, IGNORED)
    labels[:, 0] = IGNORED
    cache = DynamicCache(config=model.config)
    model(
        input_ids=ids[first, :last],
        attention_mask=mask[first, :last],
        past_key_values=cache,
        logits_to_keep=1,
    )
    cache.batch_select_indices(prompt_index)
    return hooks.fused_log_probabilities(
        model, labels, input_ids=ids[:, last:], attention_mask=mask, past_key_values=cache
    )
