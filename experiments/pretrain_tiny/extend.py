"""A copy of the closed-chain backbone whose tokenizer has the words of evidence prompts.

    python experiments/pretrain_tiny/extend.py --out FOLDER

Words that evidence prompts share and that the tokenizer cuts into pieces become one token each;
so do all numbers of two digits. A new token begins as the mean of its pieces. Numbers are cut from
their end, as `r2rec.pretrain.tokenizer` does now. FOLDER is what `model.tiny.start` takes.

Added tokens, as `<think>`, stay behind all others: their ids are counted on when the tokenizer is
read, whatever its file says. (The shipped weights were once made without this care; "85" and
`<think>` had one id up to the eighth leg.)
"""

import argparse
import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from r2rec.pretrain.tokenizer import PIECES
from r2rec.pretrain.weighed import weighed_example
from r2rec.pretrain.worlds import DOMAINS

PROMPTS = 150  # that words are looked for in
COMMON = 0.1  # share of them that a word must be in
DATA_TEXT = re.compile(r'"[^"]*"|\[[^\]]*\]|User:.*')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default=str(files("r2rec.llm") / "weights/tiny_closed"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.weights)
    model = AutoModelForCausalLM.from_pretrained(args.weights)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = PIECES
    pieces_of_new, moved = extend(state)
    tokenizer.save_pretrained(args.out)
    (args.out / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False))
    model.resize_token_embeddings(len(tokenizer) + len(pieces_of_new), mean_resizing=False)
    embeddings = model.get_input_embeddings().weight.data
    before = embeddings.clone()
    for token, old in moved.items():
        embeddings[token] = before[old]
    for token, pieces in pieces_of_new.items():
        embeddings[token] = embeddings[pieces].mean(dim=0)
    model.save_pretrained(args.out)
    print(f"{len(pieces_of_new)} tokens more: {args.out}")


def extend(state: dict[str, Any]) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Add entries and merges to a tokenizer's state.

    Returns:
        The id of each new entry, with the ids of the entries that it is made of; and the new id of
        each added token that is no entry of the model, with its old one.
    """
    model = state["model"]
    vocabulary = model["vocab"]
    made_of: dict[int, list[int]] = {}
    for word in [*common_words(state), *(f"{number:02d}" for number in range(100))]:
        tokenizer = Tokenizer.from_str(json.dumps(state))
        first, *others = (token.value for token in tokenizer.model.tokenize(word))
        pieces = [vocabulary[first]]
        for other in others:
            pieces.append(vocabulary[other])
            joined = first + other
            if joined not in vocabulary:
                vocabulary[joined] = len(vocabulary)
                model["merges"].append([first, other])
                made_of[vocabulary[joined]] = list(pieces)
            first = joined
    behind = [token for token in state["added_tokens"] if token["content"] not in vocabulary]
    moved = {}
    for new, token in enumerate(behind, len(vocabulary)):
        moved[new] = token["id"]
        token["id"] = new
    return made_of, moved


def common_words(state: dict[str, Any]) -> list[str]:
    """Pieces of text that many evidence prompts have, outside of what data fills in."""
    tokenizer = Tokenizer.from_str(json.dumps(state))
    rng = np.random.default_rng(0)
    prompts: Counter[str] = Counter()
    for n in range(PROMPTS):
        example = weighed_example(DOMAINS[n % len(DOMAINS)], rng)
        text = DATA_TEXT.sub("", f"{example.prompt}\n{example.completion}")
        normal = tokenizer.normalizer.normalize_str(text)
        prompts.update({piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)})
    common = [word for word, count in prompts.most_common() if count >= COMMON * PROMPTS]
    return sorted(common)  # equally common words have no order of their own


if __name__ == "__main__":
    main()
