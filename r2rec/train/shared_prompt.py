"""GRPO that reads each prompt once: the rollouts of a group share it, and most of their tokens are its.

A ranking prompt is three times as long as its answer, and TRL reads it again for every rollout, in the policy and in
the reference. Here the rows of a batch that have the same prompt attend to one copy of its keys and values; the
gradient adds up in that copy. Same numbers, fewer tokens.
"""

from typing import Any

import torch
from transformers import DynamicCache
from trl import GRPOTrainer

from r2rec.llm.hf import drawing
from r2rec.llm.sharing import sharing


class SharedPromptGRPO(GRPOTrainer):
    """`GRPOTrainer` that reads a prompt once where it can, and as TRL does elsewhere.

    Its rollouts depend on the seed, the step and their place in the batch: not on how many processes share that, nor
    on what was drawn before a resumed step.
    """

    def _generate_single_turn(self, *args: Any, **others: Any) -> Any:
        """Token ids of the rollouts, as TRL's, drawn by our own chance where a model here writes them."""
        if self.use_vllm:
            return super()._generate_single_turn(*args, **others)
        plain = {
            "do_sample": False,
            "temperature": None,
            "top_p": None,
            "top_k": None,
        }  # of greedy decoding
        self.generation_config.update(**plain)
        model = self.accelerator.unwrap_model(self.model_wrapped)
        own, usual = model.__dict__.get("generate"), model.generate  # FSDP's own, where it has one
        draw = drawing(self.temperature, self.top_p, self._chance())

        def shared(input_ids: torch.Tensor, attention_mask: torch.Tensor, **words: Any) -> Any:
            with sharing(model, input_ids, attention_mask) as cache:
                return usual(
                    input_ids=input_ids,
                    attention_mask=attention_mask,
                    logits_processor=[draw],
                    **cache,
                    **words,
                )

        model.generate = shared
        try:
            return super()._generate_single_turn(*args, **others)
        finally:
            del model.generate  # the instance's; the class's is back
            if own is not None:
                model.generate = own

    def _chance(self) -> Any:
        """A number for each of this process's rows at each token; every process draws all rows', from one seed."""
        draw = torch.Generator().manual_seed((self.args.seed << 20) + self.state.global_step)
        own, n = self.accelerator.process_index, self.accelerator.num_processes

        def chance(rows: int) -> torch.Tensor:
            return torch.rand(n, rows, generator=draw)[own].to(self.accelerator.device)

        return chance

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **others: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Log-probabilities and entropies [n, logits_to_keep] of the completions in rows [n, prompt + completion]."""
        last = (
            input_ids.shape[1] - logits_to_keep - 1
        )  # place of the prompt's last token, which answers begin from
        prompts = torch.cat([input_ids[:, : last + 1], attention_mask[:, : last + 1]], 1)
        alone = len(prompts.unique(dim=0)) == len(prompts)
        if (
            alone
            or last < 1
            or any(v is not None and v is not False for v in others.values())
            or not self._whole(model)
        ):
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                **others,
            )
        logps, entropies = [], []
        for rows in torch.arange(len(prompts), device=prompts.device).split(
            batch_size or len(prompts)
        ):
            ids, mask = input_ids[rows], attention_mask[rows]
            _, owner = prompts[rows].unique(dim=0, return_inverse=True)
            first = torch.stack([(owner == n).nonzero()[0, 0] for n in range(int(owner.max()) + 1)])
            labels = ids[:, last:].masked_fill(mask[:, last:] == 0, -100)
            labels[:, 0] = -100
            cache = DynamicCache(config=model.config)
            with self.accelerator.autocast():
                model(input_ids=ids[first, :last], attention_mask=mask[first, :last], past_key_values=cache,
                      logits_to_keep=1)  # fmt: skip
                cache.batch_select_indices(owner)
                read = model(input_ids=ids[:, last:], attention_mask=mask, past_key_values=cache, labels=labels,
                             fused_lm_head=True)  # fmt: skip
            logps.append(read.log_probs)
            entropies.append(read.entropy)
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    def _whole(self, model: Any) -> bool:
        """Whether the model may be called twice for one backward, and keeps what it read."""
        forgets = torch.is_grad_enabled() and getattr(model, "is_gradient_checkpointing", False)
        return not forgets and self.accelerator.unwrap_model(model) is model
