"""Measure r2rec on a GPU; measure.sh calls this with the name of a part.

Each part is a list of lines, each line a run of r2rec, or of pytest. What a line has measured is
kept as soon as it ends. A line that is there already is not run again.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORK = ROOT / ".gpu"
RECORDED = HERE / "results"
LIMIT = float(os.environ.get("LIMIT", "570"))  # seconds of a part


class Line(NamedTuple):
    """One thing that is measured.

    Attributes:
        name: What the results call it.
        words: Overrides of r2rec; of the part `tests`, arguments of pytest.
        needs: A path below .gpu/ without which the line is left out.
    """

    name: str
    words: tuple[str, ...]
    needs: str | None = None


def steps(model: str, group: int, *words: str) -> Line:
    """Steps of SFT and GRPO of an architecture with random weights, at a group size."""
    return Line(
        f"steps {model} group {group}",
        (
            "+experiment=throughput",
            f"model={model}",
            f"rl.group_size={group}",
            "rl.max_new_tokens=512",
            "until=rl",
            *words,
        ),
    )


def ranking(model: str, batch: int, users: int, engine: str = "hf") -> Line:
    """Ranking by an architecture with random weights, with so many prompts at once."""
    return Line(
        f"ranking {model} {engine} batch {batch}",
        (
            "+experiment=throughput",
            f"model={model}",
            f"generation={engine}",
            f"generation.batch_size={batch}",
            "generation.max_new_tokens=512",
            f"evaluation.users={users}",
            "evaluation.arms=[base]",
            "sft=off",
            "rl=off",
            "until=rank",
        ),
    )


EVIDENCE = (
    "+experiment=evidence",
    "hydra.mode=RUN",
    "baseline=none",
    "dataset=ml_1m",
    "dataset.root=.gpu/ratings",
    "hardware=gpu",
    "generation.batch_size=256",
)
SMOLLM2 = ("model=smollm2", "model.path=.gpu/smollm2.gguf", "prompt=llm", "hardware=gpu")
# warnings of that machine's releases are no errors, and its pytest may be older
TESTS = ("-m", "gpu", "-n", "0", "-q", "-W", "default", "-o", "minversion=7", "tests/train")
PARTS: Mapping[str, tuple[Line, ...]] = {
    "install": (),
    "tests": (Line("tests", TESTS),),
    "large": (
        steps("llama_8b_random", 8),
        steps("llama_8b_random", 16, "sft=off"),
    ),
    "small": (
        steps("qwen2_1_5b_random", 8),
        steps("qwen2_1_5b_random", 16, "sft=off"),
        steps("qwen2_0_5b_random", 8),
        steps("llama_135m_random", 8),
        steps("llama_135m_random", 16, "sft=off"),
    ),
    "rank": (
        ranking("llama_8b_random", 32, 64),
        ranking("llama_8b_random", 128, 256),
        ranking("qwen2_0_5b_random", 64, 128),
        ranking("qwen2_0_5b_random", 256, 512),
        ranking("qwen2_0_5b_random", 256, 512, engine="paged"),
    ),
    "toy": (Line("toy run", ("hardware=gpu",)),),
    "ratings": (Line("evidence chains", EVIDENCE, needs="ratings"),),
    "smollm2": (
        Line(
            "smollm2 steps",
            (*SMOLLM2, "sft.samples=96", "rl.samples=16", "until=rl"),
            needs="smollm2.gguf",
        ),
        Line(
            "smollm2 ranking",
            (*SMOLLM2, "sft=off", "rl=off", "evaluation.users=64", "generation.batch_size=64"),
            needs="smollm2.gguf",
        ),
    ),
}
"""What is measured, by the part that does it. A part fits into ten minutes."""

SMALLEST = (
    "hardware=cpu",
    "hardware.threads=1",
    "evaluation.users=2",
    "evaluation.resamples=100",
    "generation.batch_size=2",
    "generation.max_new_tokens=8",
)
SHRUNK = (
    "model.architecture.hidden_size=64",
    "model.architecture.intermediate_size=128",
    "model.architecture.num_hidden_layers=2",
    "model.architecture.num_attention_heads=4",
    "model.architecture.num_key_value_heads=2",
    "model.architecture.vocab_size=4096",
)


def rehearsed(words: Sequence[str]) -> list[str]:
    """The overrides of a line at the smallest size, for a machine without a GPU."""
    smallest = [word for word in words if word != "hardware=gpu"] + list(SMALLEST)
    if "sft=off" not in words:
        smallest += ["sft.samples=4", "sft.epochs=1", "sft.batch_size=2", "sft.micro_batch_size=2"]
    if "rl=off" not in words:
        smallest += [
            "rl.samples=2",
            "rl.group_size=2",
            "rl.prompts_per_step=1",
            "rl.micro_batch_size=2",
            "rl.max_new_tokens=8",
        ]
    if any(word.endswith("_random") for word in words):
        smallest += SHRUNK
    return smallest


def main(part: str) -> int:
    """Run the lines of a part that are not recorded yet; 0 if all are there afterwards."""
    rehearsal = os.environ.get("REHEARSE") == "1" or not _has_gpu()
    results = Results(part, rehearsal)
    print(f"{part}{', a rehearsal on the CPU' if rehearsal else ''}: {machine()['device']}")
    if part == "install":
        results.add("machine", machine())
    begin = time.monotonic()
    for number, line in enumerate(PARTS[part], 1):
        print(f"\n[{number} of {len(PARTS[part])}] {line.name}")
        left = LIMIT - (time.monotonic() - begin)
        if line.needs and not (WORK / line.needs).exists():
            print(f"left out: .gpu/{line.needs} is not here (experiments/gpu/collect.sh)")
        elif line.name in results.lines:
            print("recorded before")
        elif left < 1 or not measure(line, results, rehearsal, left):
            print(f"not done: {part} goes on here when it is called again")
            return 1
    return 0


def measure(line: Line, results: "Results", rehearsal: bool, seconds: float) -> bool:
    """Run a line, at most so long, and record what it measured; False if it did not end well."""
    folder = results.work / "runs" / line.name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", *line.words]
    if line.name != "tests":
        words = rehearsed(line.words) if rehearsal else list(line.words)
        places = [f"artefacts={results.work / 'artefacts'}", f"hydra.run.dir={folder}"]
        command = [sys.executable, "-m", "r2rec", *words, *places]
    begin = time.monotonic()
    status, printed = run(command, seconds)
    if status:
        return False
    record: dict[str, Any] = {
        "command": shlex.join(["python", *command[1:]]).replace(f"{ROOT}/", ""),
        "seconds": round(time.monotonic() - begin, 1),
        "device": machine()["device"],
    }
    if line.name == "tests":
        record["summary"] = printed[-1] if printed else ""
    else:
        record["stages"] = stages(folder)
    results.add(line.name, record)
    print(json.dumps(record, indent=1))
    return True


def run(command: Sequence[str], seconds: float) -> tuple[int, list[str]]:
    """Exit status and lines of a command, which are also printed; after so long it is ended."""
    printed = []
    with subprocess.Popen(
        ["timeout", str(int(max(1, seconds))), *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        for text in running.stdout:
            print(text, end="")
            if text.strip():
                printed.append(text.strip())
    return running.returncode, printed


def stages(folder: Path) -> dict[str, dict[str, Any]]:
    """What the stages of a run took: seconds, memory, and of training each step's parts."""
    import r2rec

    taken = {}
    for name, row in r2rec.load(folder).manifest["stages"].items():
        arms = {f"{name} {arm}": facts for arm, facts in row.get("arms", {}).items()}
        for stage, facts in (arms or {name: row}).items():
            taken[stage] = _numbers(facts) | steps_of(Path(facts["path"]))
    return taken


def _numbers(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if isinstance(value, (int, float))}


def steps_of(artefact: Path) -> dict[str, float]:
    """Medians over the steps of a training without the first; {} for other stages."""
    if not (artefact / "log.parquet").is_file():
        return {}
    from r2rec.report.forecast import measured_steps

    log = measured_steps(artefact)
    wanted = [name for name in log.columns if name.startswith(("seconds", "memory_gb"))]
    others = [name for name in ("kl", "reward", "loss") if name in log.columns]
    medians = log.select(wanted + others).median().row(0, named=True)
    return {f"step {name}": round(value, 5) for name, value in medians.items() if value is not None}


class Results:
    """The results of a part: a JSON file that is whole after every line."""

    def __init__(self, part: str, rehearsal: bool) -> None:
        self.part = part
        self.work = WORK / "rehearsal" if rehearsal else WORK / "measured"
        self.folders = [self.work]
        if not rehearsal:
            self.folders.append(Path(os.environ.get("OUT") or RECORDED))
        self.lines: dict[str, Any] = {}
        for folder in [self.work] if rehearsal else [RECORDED, self.work]:
            path = folder / f"{part}.json"
            if path.is_file():
                self.lines |= json.loads(path.read_text(encoding="utf-8"))
        self.write()

    def add(self, name: str, record: Mapping[str, Any]) -> None:
        self.lines[name] = record
        self.write()

    def write(self) -> None:
        text = json.dumps(self.lines, indent=1) + "\n"
        for folder in self.folders if self.lines else ():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.part}.json").write_text(text, encoding="utf-8")


def machine() -> dict[str, Any]:
    """The device, and the releases of what computes."""
    from importlib.metadata import version

    import torch

    device = "CPU"
    if _has_gpu():
        properties = torch.cuda.get_device_properties(0)
        device = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
    names = ("torch", "transformers", "trl", "peft", "accelerate", "polars")
    return {
        "device": device,
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in names},
    }


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PARTS:
        sys.exit(f"usage: bash experiments/gpu/measure.sh PART, one of {', '.join(PARTS)}")
    sys.exit(main(sys.argv[1]))
