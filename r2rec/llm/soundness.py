"""Whether a backbone can be used as it is: known in under a second, before anything is trained.

A tokenizer that is not the model's, a template that loses the prompt, a context that is too short,
weights that are not there: libraries go on with all of these, and only the results tell.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.compat import transformers as upstream
from r2rec.config import Model
from r2rec.llm import chat, turns
from r2rec.llm.adapters import named
from r2rec.prompts.answer import render_ranking

INDEX = "model.safetensors.index.json"
PROMPT = 'Rank the candidates.\n- A: "Heat (1995)", Crime, 4 of 5\n- B: "Fargo", Comedy'
THOUGHT = "Step 1: The user likes crime.\nStep 2: So B, then A."
ANSWER = render_ranking("BA")
SCALED = ("linear", "dynamic", "yarn")  # rotations whose factor is not in max_position_embeddings
PACKAGES = {
    "bitsandbytes": "bitsandbytes",
    "gptq": "gptqmodel",
    "awq": "gptqmodel",
    "aqlm": "aqlm",
    "compressed-tensors": "compressed_tensors",
    "eetq": "eetq",
    "hqq": "hqq",
    "torchao": "torchao",
}
"""Method of quantisation -> the package that transformers unpacks it with."""
NOT_FOR_TEXT = ("mtp.", "visual.", "vision_", "audio_", "multi_modal_projector.", "inv_freq")
"""Parts of names of weights that a language model may leave in its file."""


def check_settings(model: Model, settings: Any) -> None:
    """Refuse a context that the model does not have, and weights that cannot be unpacked here.

    Args:
        settings: The model's config in transformers.

    Raises:
        R2RecError: `model.max_length` is above what the model reads, or the package that its
            quantisation needs is not installed.
    """
    method = upstream.quantisation(settings)
    if method is not None and not upstream.unpacks(method):
        raise R2RecError(
            f"model.path={model.path} is quantised ({method}), which this release of transformers "
            "does not know: give weights that are not quantised"
        )
    package = PACKAGES.get(str(method))
    if package and find_spec(package) is None:
        raise R2RecError(
            f"model.path={model.path} is quantised ({method}) and needs "
            f"pip install {package.replace('_', '-')}, or give weights that are not quantised"
        )
    longest = context_length(settings.get_text_config())
    if longest is not None and model.max_length > longest:
        raise R2RecError(
            f"model.max_length={model.max_length}, but model.path={model.path} reads {longest} "
            f"tokens, prompt and answer together: give model.max_length={longest} or less"
        )


def context_length(settings: Any) -> int | None:
    """Tokens that a model reads, with the scaling of its positions; None where it has no limit."""
    longest = getattr(settings, "max_position_embeddings", None)
    if not isinstance(longest, int) or longest < 1:
        return None
    rotation = getattr(settings, "rope_parameters", None) or {}
    factor = rotation.get("factor")
    if rotation.get("rope_type") in SCALED and factor:
        original = rotation.get("original_max_position_embeddings") or longest
        return max(longest, int(original * factor))
    return longest


def check_tokenizer(model: Model, tokenizer: Any, settings: Any) -> None:
    """Refuse a tokenizer, or its chat template, that does not fit the model or this project.

    Raises:
        R2RecError: Texts do not come back from it, it has tokens that the model has no embedding
            for or none to end with, or its chat template is of no use.
    """
    where = f"model.path={model.path}"
    _check_ids(where, tokenizer)
    _check_round_trip(where, tokenizer)
    if tokenizer.eos_token is None:
        raise R2RecError(
            f"{where}: its tokenizer has no end-of-text token; "
            'name one in tokenizer_config.json, "eos_token"'
        )
    for reasoning in (False, True):
        _check_template(where, tokenizer, reasoning)
    _check_embeddings(where, tokenizer, settings.get_text_config())


def _check_ids(where: str, tokenizer: Any) -> None:
    """Refuse an added token with the id of another entry: where one is written, both are read."""
    added = {token_id: token.content for token_id, token in tokenizer.added_tokens_decoder.items()}
    for entry, token_id in tokenizer.get_vocab().items():
        token = added.get(token_id, entry)
        if token != entry:
            raise R2RecError(
                f"{where}: its tokenizer has one id, {token_id}, for {entry!r} and {token!r}; "
                "number the entries of tokenizer.json without gaps"
            )


def _check_round_trip(where: str, tokenizer: Any) -> None:
    """Refuse a tokenizer that loses letters, spaces or line ends; it may add white space around."""
    text = f"{PROMPT}\n{THOUGHT}\n{ANSWER}"
    ids = tokenizer.encode(text, add_special_tokens=False)
    back = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    back = back.strip()
    if back != text:
        differ = [a != b for a, b in zip(text, back, strict=False)]
        first = differ.index(True) if any(differ) else len(differ)
        shown = slice(max(0, first - 10), first + 20)
        raise R2RecError(
            f"{where}: its tokenizer reads {text[shown]!r} as {back[shown]!r}: "
            "it is not this model's; check tokenizer.json and tokenizer_config.json"
        )


def _check_template(where: str, tokenizer: Any, reasoning: bool) -> None:
    """Refuse a template that loses the prompt, or whose replies cannot be read back."""
    other = "name another template with model.chat_template=FILE"
    begun = chat.templated(tokenizer, chat.user_turn(PROMPT), reasoning, begin=True)
    if PROMPT not in begun:
        raise R2RecError(f"{where}: its chat template leaves the prompt out; {other}")
    if reasoning and chat.closes_thought(begun, chat.dialect(tokenizer)):
        return  # a model that does not think; refused where a thought is asked for
    thought = THOUGHT if reasoning else None
    text = chat.rendered_conversation(tokenizer, PROMPT, reasoning)
    turn = turns.reply(tokenizer, PROMPT, text, thought, ANSWER)
    if not turns.says(turn, thought, ANSWER):
        raise R2RecError(f"{where}: its chat template makes {turn[:40]!r} of a reply; {other}")
    conversation = chat.user_turn(PROMPT) + chat.assistant_turn(None, ANSWER)
    whole = chat.templated(tokenizer, conversation, reasoning)
    ended = chat.templated(tokenizer, chat.user_turn(PROMPT), reasoning)
    header = whole.removeprefix(ended).partition(ANSWER)[0].strip()
    if header and begun == ended:
        raise R2RecError(
            f"{where}: its chat template writes {header[:40]!r} before a reply, but not when one "
            f"is asked for; {other}"
        )


def _check_embeddings(where: str, tokenizer: Any, settings: Any) -> None:
    """Refuse tokens without an embedding; special ones that nothing writes may be there."""
    rows = getattr(settings, "vocab_size", None)
    if rows is None:
        return
    vocabulary = tokenizer.get_vocab()
    written = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    for reasoning in (False, True):
        text = chat.templated(tokenizer, chat.user_turn(PROMPT), reasoning, begin=True)
        written.update(tokenizer.encode(text, add_special_tokens=False))
    added = tokenizer.added_tokens_decoder.items()
    unwritten = {token_id for token_id, token in added if token.special} - written
    beyond = sorted(
        (token_id, token)
        for token, token_id in vocabulary.items()
        if token_id >= rows and token_id not in unwritten
    )
    if beyond:
        raise R2RecError(
            f"{where}: its tokenizer has {len(beyond)} tokens that the model has no embedding for "
            f"({rows} rows), {named([token for _, token in beyond])}: "
            "resize the embeddings, or remove the tokens"
        )


def check_shards(folder: Path) -> None:
    """Refuse a folder that lacks files which its index names.

    Raises:
        R2RecError: A file is missing, or the index cannot be read.
    """
    index = folder / INDEX
    if not index.is_file():
        return
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise R2RecError(f"cannot load model {folder}: {INDEX} cannot be read") from error
    missing = sorted(shard for shard in shards if not (folder / str(shard)).is_file())
    if missing:
        raise R2RecError(
            f"cannot load model {folder}: {len(missing)} of {len(shards)} files of weights are "
            f"missing, {named(missing)}: copy or download them again"
        )


def check_weights(source: str, report: Mapping[str, Iterable[Any]]) -> None:
    """Refuse a backbone some of whose weights were not found, or had no place.

    Args:
        report: The loading info of transformers. Weights that are tied to others, and so need not
            be in the file, are not missing in it.

    Raises:
        R2RecError: Which weights, and how many.
    """
    missing = sorted(map(str, report["missing_keys"]))
    if missing:
        raise R2RecError(
            f"cannot load model {source}: {len(missing)} weights are missing from its files and "
            f"would be random, {named(missing)}"
        )
    mismatched = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if mismatched:
        raise R2RecError(
            f"cannot load model {source}: {len(mismatched)} weights have other shapes than "
            f"config.json says, {named(mismatched)}"
        )
    unexpected = []
    for key in sorted(map(str, report["unexpected_keys"])):
        if not any(part in key for part in NOT_FOR_TEXT):
            unexpected.append(key)
    if unexpected:
        raise R2RecError(
            f"cannot load model {source}: its config.json has no place for {len(unexpected)} "
            f"weights in its files, {named(unexpected)}"
        )
