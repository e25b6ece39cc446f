"""The tiny backbone's own tokenizer."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np

from r2rec.config import TinySpec
from r2rec.pretrain.levels import LEVELS, WEIGHED
from r2rec.pretrain.naming import WORDS
from r2rec.pretrain.worlds import world_examples
from r2rec.prompts.render import clean

SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
# Plain added tokens: special ones would be stripped before a reward sees them.
THOUGHT_TAGS = ("<think>", "</think>")
# BPE merges nothing across these pieces, so that names, decades and numbers are read as units.
PIECES = "|".join(
    [
        r" ?(?:Liked|Chain|Step|[Nn]eighbour) \d{1,2}",  # " Chain 2"
        r" ?[A-Za-z]+",  # " watched"
        r" ?\d{3}0s",  # " 1950s"
        r" ?\d{1,2}(?=(?:\d\d)*(?!\d))",  # " 17"; of 1783 first " 17", then "83"
        r" ?[^\sA-Za-z\d]+(?:[ \n]+[^\sA-Za-z\d]+)*",  # '] "', ";\n-"
        r"\n",
        r"\s",
    ]
)
PARTS = ("Liked", "Chain", "Step", "neighbour", "Neighbour")  # of prompts and thoughts, numbered
PART_OF_A_LETTER = "\ufffd"  # the text of a byte that is no letter by itself
CORPUS_WORLDS = 20
PROMPTS_PER_CORPUS_WORLD = 20
# How often the corpus repeats what should become one token.
PART_REPEATS = 50
NUMBER_REPEATS = 50
WORD_REPEATS = 8


def make_tokenizer(spec: TinySpec, rng: np.random.Generator) -> Any:
    """A byte-level BPE of `spec.vocabulary` entries, trained on prompts of random worlds."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_trained_bpe(spec, rng),
        pad_token=SPECIAL_TOKENS[0],
        eos_token=SPECIAL_TOKENS[1],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS[2:])})
    template = files("r2rec.llm").joinpath("templates/tiny.jinja")
    tokenizer.chat_template = template.read_text()
    return tokenizer


def title_pieces(tokenizer: Any) -> list[str]:
    """The texts of a tokenizer's entries that stand in a title as they are."""
    entries = [[entry] for entry in range(len(tokenizer))]
    pieces = []
    for text in tokenizer.batch_decode(entries):
        if clean(f"a{text}b") == f"a{text}b" and PART_OF_A_LETTER not in text:
            pieces.append(text)
    return pieces


def _trained_bpe(spec: TinySpec, rng: np.random.Generator) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    # An attribute then has the same tokens at the start of its list and later in it.
    bpe.normalizer = normalizers.Replace("[", "[ ")
    pieces = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary - len(THOUGHT_TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(spec.chains, rng), trainer)
    bpe.add_tokens(list(THOUGHT_TAGS))
    return bpe


def _corpus(chains: str, rng: np.random.Generator) -> Iterator[str]:
    """Prompts and completions of whole tasks, then words, parts and numbers that need a token."""
    level = WEIGHED if chains == "evidence" else LEVELS[-1]._replace(change=0)
    for _ in range(CORPUS_WORLDS):
        for example in world_examples(rng, level, PROMPTS_PER_CORPUS_WORLD):
            yield example.prompt
            yield example.completion
    for word in WORDS:
        text = f" {word.capitalize()}" * 4
        yield from [text] * WORD_REPEATS
    for part in PARTS:
        for number in range(1, 21):
            yield from [f" {part} {number}"] * PART_REPEATS
    for number in range(100):
        yield from [f" {number}"] * NUMBER_REPEATS
