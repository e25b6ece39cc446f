"""The model card of an adapter, as the Hub reads it: what it was made of and from, what is known of it, its limits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r2rec.base.store import MANIFEST

CARD = "README.md"
LONGEST = 2**16  # characters of somebody's card that are read
WHAT = {
    "sft": "LoRA on reasoning traces about interaction chains (supervised fine-tuning)",
    "rl": "LoRA trained with GRPO to reason over interaction chains and rank candidates",
    "adapt": "LoRA on closed questions about a user and candidate items",
}
LIMITS = """\
It learned to rank items of the data above for users with several likes, from prompts of the form that r2rec writes;
other prompts, other languages and other kinds of items are untested. Recommenders repeat the biases of the ratings
they learn from: popular items and frequent tastes are served better. The numbers above are of training. They say
nothing of held-out users: rank with it to know."""


def write_card(
    folder: Path, stage: str, cfg: DictConfig, inputs: Mapping[str, Path], facts: Mapping[str, Any]
) -> None:
    """README.md: YAML that the Hub indexes, then data, configuration, training figures and limits in words.

    Args:
        cfg: The choices of the stage; only what made the adapter is told, never where things lie.
        inputs: Folders of the stage's artefacts; what `prepare` and `split` say of themselves is told.
    """
    prepare, split = (_manifest(inputs[name]) for name in ("prepare", "split"))
    data = prepare.get("inputs", {}).get("config", {}).get("dataset", {}).get("name", "unknown")
    base = backbone_name(cfg.model)
    front = {
        "library_name": "peft",
        **(
            {"base_model": base} if base != cfg.model.name else {}
        ),  # the Hub refuses what is no id of its own
        "pipeline_tag": "text-generation",
        "tags": ["r2rec", "lora", "recommendation"],
        "r2rec": {"stage": stage, "dataset": data, "seed": cfg.seed},
    }
    own = (
        {"adapt": cfg.baseline.adapt}
        if stage == "adapt"
        else {stage: cfg[stage], "lora": cfg.model.lora}
    )
    choices = own | {"prompt": cfg.prompt, "max_length": cfg.model.max_length}
    words = [
        f"---\n{OmegaConf.to_yaml(OmegaConf.create(front))}---\n",
        f"# {cfg.baseline.name if stage == 'adapt' else 'R2Rec'}: `{stage}` on {data}\n",
        f"{WHAT[stage]}. Backbone: `{base}`. Made by r2rec, after the paper R2Rec.\n",
        "## Use\n\n```\npython -m r2rec model=<backbone> model.adapter=<this repository or folder> "
        f"{'baseline=' + cfg.baseline.name if stage == 'adapt' else 'sft=off rl=off'} until=rank\n```\n",
        f"## Data\n\n{data}{_told(prepare)}; training part{_told(split)}. No held-out rating was learned from.\n",
        f"## Configuration\n\n```yaml\n{OmegaConf.to_yaml(OmegaConf.create(choices))}```\n",
        f"## Training figures\n\n{_table(facts)}\n",
        f"## Limits\n\n{LIMITS}\n",
    ]
    (folder / CARD).write_text("\n".join(words), encoding="utf-8")


def about(adapter: str | None) -> dict[str, str]:
    """What the card in a local folder says of its making: stage, dataset, seed; nothing where there is no such card."""
    if adapter is None or not (file := Path(adapter) / CARD).is_file():
        return {}
    import yaml

    try:
        with file.open(encoding="utf-8") as stream:
            front = stream.read(LONGEST).split("---\n")[1]
        said = yaml.safe_load(front)[
            "r2rec"
        ]  # plain: OmegaConf would put variables of the environment into it
        return {name: _word(said[name]) for name in ("stage", "dataset", "seed")}
    except Exception:  # somebody else's card
        return {}


def _word(said: Any) -> str:
    """A text or a number on one line, at most 60 characters; ValueError for anything else."""
    if not isinstance(said, (str, int)):
        raise ValueError("neither text nor number")
    return " ".join(str(said)[:60].split())


def backbone_name(base: DictConfig) -> str:
    """A backbone's hub id where it has one, else its name."""
    return (
        base.name
        if base.path is None or base.path.startswith("r2rec:") or Path(base.path).is_dir()
        else base.path
    )


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    return json.loads(file.read_text()) if file.is_file() else {}


def _told(manifest: dict[str, Any]) -> str:
    counts = [
        f"{v:,} {k.replace('_', ' ')}"
        for k, v in manifest.get("facts", {}).items()
        if type(v) is int
    ]
    return f" ({', '.join(counts)})" if counts else ""


def _table(facts: Mapping[str, Any]) -> str:
    rows = [
        f"| {k.replace('_', ' ')} | {v} |" for k, v in facts.items() if isinstance(v, (int, float))
    ]
    return "\n".join(["| | |", "|-|-|", *rows, *(f"\n{note}" for note in facts.get("notes", []))])
