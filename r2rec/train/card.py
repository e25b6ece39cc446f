"""The model card of an adapter, README.md as the Hub reads it.

It says what the adapter was made from and how, what its training measured, and its limits.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2rec.base.store import MANIFEST
from r2rec.config import Model

CARD = "README.md"
MAX_CHARACTERS_READ = 2**16  # of a card, which anybody may have written
MAX_WORD = 60  # characters of a word that a card says about itself
USE = """\
```
python -m r2rec model=<backbone> model.adapter=<this repository or folder> {methods} until=rank
```
"""
LIMITS = """\
It learned to rank items of the data above for users with several likes, from prompts of the form
that r2rec writes; other prompts, other languages and other kinds of items are untested.
Recommenders repeat the biases of the ratings they learn from: popular items and frequent tastes are
served better. The numbers above are of training. They say nothing of held-out users: rank with it
to know.
"""


def write_card(
    folder: Path,
    *,
    stage: str,
    title: str,
    method: str,
    choices: Mapping[str, Any],
    inputs: Mapping[str, Path],
    facts: Mapping[str, Any],
    base: Model,
    seed: int,
) -> None:
    """Write README.md: front matter that the Hub indexes, then sections in words.

    Args:
        folder: The artefact with the adapter.
        stage: The stage that trained it; "adapt" and "adapt_cases" are a baseline's.
        title: What that stage does, in words.
        method: What results call a model with this adapter; else a baseline's name.
        choices: Plain nested values, shown as YAML. They must name no local folder.
        inputs: Folders of the stage's artefacts. The manifests of `prepare` and `split` are read.
        facts: What the stage returned; numbers and notes are shown.
    """
    prepare = _manifest(inputs["prepare"])
    split = _manifest(inputs["split"])
    data = _dataset_name(prepare)
    backbone = backbone_name(base)
    if stage in ("adapt", "adapt_cases"):
        methods = f"baseline={method}"
    else:
        methods = "sft=off rl=off"
    sections = [
        f"---\n{_yaml(_front_matter(stage, data, base, seed))}---\n",
        f"# {method}: `{stage}` on {data}\n",
        f"{title}. Backbone: `{backbone}`. Made by r2rec, after the paper R2Rec.\n",
        f"## Use\n\n{USE.format(methods=methods)}",
        f"## Data\n\n{data}{_counts(prepare)}; training part{_counts(split)}. "
        "No held-out rating was learned from.\n",
        f"## Configuration\n\n```yaml\n{_yaml(choices)}```\n",
        f"## Training figures\n\n{_table(facts)}\n",
        f"## Limits\n\n{LIMITS}",
    ]
    (folder / CARD).write_text("\n".join(sections), encoding="utf-8")


def about(adapter: str | None) -> dict[str, str]:
    """What the card in a local folder says about the adapter: stage, dataset and seed.

    Empty for a hub id, and where there is no card or one that r2rec did not write. A card is
    somebody else's text: it is read as plain YAML, and nothing in it is resolved or imported.
    """
    if adapter is None:
        return {}
    file = Path(adapter) / CARD
    if not file.is_file():
        return {}
    import yaml

    words = {}
    try:
        with file.open(encoding="utf-8") as stream:
            front = stream.read(MAX_CHARACTERS_READ).split("---\n")[1]
        entries = yaml.safe_load(front)["r2rec"]
        for name in ("stage", "dataset", "seed"):
            words[name] = _word(entries[name])
    except Exception:  # any other front matter, or none
        return {}
    return words


def backbone_name(base: Model) -> str:
    """A backbone's hub id if it has one, else its name in conf/model."""
    if base.path is None or base.path.startswith("r2rec:") or Path(base.path).exists():
        return base.name
    return base.path


def _front_matter(stage: str, data: str, base: Model, seed: int) -> dict[str, Any]:
    """What the Hub indexes, and under `r2rec` what `about` reads."""
    front: dict[str, Any] = {"library_name": "peft"}
    backbone = backbone_name(base)
    if backbone != base.name:
        front["base_model"] = backbone  # the Hub refuses anything but one of its ids
    front["pipeline_tag"] = "text-generation"
    front["tags"] = ["r2rec", "lora", "recommendation"]
    front["r2rec"] = {"stage": stage, "dataset": data, "seed": seed}
    return front


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return text


def _word(value: Any) -> str:
    """A text or a number on one line, shortened.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, (str, int)):
        raise ValueError("neither text nor number")
    return " ".join(str(value)[:MAX_WORD].split())


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.is_file():
        return {}
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return manifest


def _dataset_name(prepare: Mapping[str, Any]) -> str:
    """The data set's name, as the manifest of a `prepare` artefact has it."""
    choices = prepare.get("inputs", {}).get("config", {})  # a `PrepareSlice`
    name: str = choices.get("name", "unknown")
    return name


def _counts(manifest: Mapping[str, Any]) -> str:
    """The counts among an artefact's facts, for example " (60 users, 80 items)"."""
    counts = []
    for name, value in manifest.get("facts", {}).items():
        if type(value) is int:
            counts.append(f"{value:,} {name.replace('_', ' ')}")
    if not counts:
        return ""
    return f" ({', '.join(counts)})"


def _table(facts: Mapping[str, Any]) -> str:
    """The numbers among the facts as a markdown table, then the notes."""
    lines = ["| | |", "|-|-|"]
    for name, value in facts.items():
        if isinstance(value, (int, float)):
            lines.append(f"| {name.replace('_', ' ')} | {value} |")
    for note in facts.get("notes", []):
        lines.append(f"\n{note}")
    return "\n".join(lines)
