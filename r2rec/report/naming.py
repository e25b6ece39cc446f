"""Names for readers: of our arms, of their variants, and of the paper's rows.

Files keep the names that programs read, such as "R2Rec" with variant "sft+rl".
"""

from collections.abc import Mapping, Sequence
from typing import Any

VARIANTS = {
    "base": "as pretrained",
    "sft": "after SFT",
    "rl": "after RL alone",
    "sft+rl": "after SFT and RL",
}
PUBLISHED = {  # rows of Table 2
    "prompt:full": "backbone, full prompt",
    "prompt:no_reasoning": "backbone, no thought",
    "prompt:no_chain": "backbone, no chains",
    "stage:no_rl": "R2Rec without RL",
    "stage:no_sft": "R2Rec without SFT",
}
OUR_BACKBONE = "8B parameters"  # DeepSeek-R1-Distill-Llama-8B, section 4.1.2
SIZES = {  # of the language models behind published rows; others have none
    "R2Rec": OUR_BACKBONE,
    **dict.fromkeys(PUBLISHED, OUR_BACKBONE),
    "GPT-4o-mini": "size not disclosed",
    "o4-mini": "size not disclosed",
    "ChatRec": "size not stated",
    "TALLRec": "size not stated",
    "LLaRA": "size not stated",
}

Row = Mapping[str, Any]


def variant_text(variant: str) -> str:
    """A variant in words: "sft, noise=flip" is "after SFT, noise=flip"."""
    first, *rest = variant.split(", ")
    return ", ".join([VARIANTS.get(first, first), *rest])


def arm_names(rows: Sequence[Row]) -> list[str]:
    """The shortest name of each arm that no other arm on its data set has.

    That is its method, then its setting, then the whole of its variant; the data set that it was
    trained on where that is another one.

    Args:
        rows: Each with method, variant, dataset and train_dataset.
    """
    named = [[_name(row, detail) for detail in range(3)] for row in rows]
    names = []
    for row, choices in zip(rows, named, strict=True):
        rivals = [
            other
            for other_row, other in zip(rows, named, strict=True)
            if other is not choices and other_row["dataset"] == row["dataset"]
        ]
        unique = [
            name
            for detail, name in enumerate(choices)
            if all(name != other[detail] for other in rivals)
        ]
        names.append(next(iter(unique), choices[-1]))
    return names


def _name(row: Row, detail: int) -> str:
    """An arm's name: 0 its method, 1 with its setting, 2 with all of its variant."""
    stages, _, setting = row["variant"].partition(", ")
    words = [row["method"]]
    if detail == 1:
        words.append(setting)
    elif detail == 2:
        words += [variant_text(stages) if stages else "", setting]
    if row["train_dataset"] != row["dataset"]:
        words.append(f"trained on {row['train_dataset']}")
    return ", ".join(filter(None, words))
