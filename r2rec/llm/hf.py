"""Generation engine `hf`: transformers' generate on batches of prompts of similar length."""

from typing import Any

from omegaconf import DictConfig


def generate(model: Any, tokenizer: Any, prompts: list[list[int]], generation: DictConfig, seed: int) -> list[str]:
    """Completions of tokenised prompts, in their order, without special tokens.

    Args:
        prompts: Token ids, the longest first in work so that memory is short at once or never.
        generation: Group `generation`; temperature 0 is greedy.
    """
    import torch
    from tqdm import tqdm

    torch.manual_seed(seed)
    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    completions = [""] * len(prompts)
    sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if generation.temperature > 0:
        sampling = {"do_sample": True, "temperature": generation.temperature, "top_p": generation.top_p, "top_k": 0}
    for start in tqdm(range(0, len(order), generation.batch_size), desc="rank", leave=False, disable=None):
        batch = order[start : start + generation.batch_size]
        inputs = tokenizer.pad({"input_ids": [prompts[i] for i in batch]}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=generation.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                **sampling,
            )
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(batch, texts, strict=True):
            completions[i] = text
    return completions
