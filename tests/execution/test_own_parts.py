"""Parts from a folder beside one's project: examples run, mistakes are told at start."""

import re
import shlex
from itertools import count
from pathlib import Path

import pytest

import r2rec
from r2rec.base.errors import R2RecError
from tests.small import Done

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
COMMAND = "python -m r2rec --config-dir examples/own/conf +experiment=smoke "
COMMANDS = re.findall(rf"`{re.escape(COMMAND)}(.*?)`", (EXAMPLES / "README.md").read_text())
KINDS = ("prompt", "reward", "dataset", "chain_sampler", "teacher", "baseline", "diagnostic")
numbers = count()


def run(folder: Path, store: Path, *overrides: str) -> r2rec.Run:
    """What `r2rec.run` makes of a smoke run with a configuration folder of one's own."""
    words = [f"artefacts={store}", f"hydra.run.dir={store.parent / f'own-{next(numbers)}'}"]
    quiet: list[str] = []
    return r2rec.run(["+experiment=smoke", *words, *overrides], config_dir=folder, say=quiet.append)


def test_there_is_an_example_of_each_kind() -> None:
    assert [command.partition("=")[0] for command in COMMANDS] == list(KINDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_runs_as_its_readme_says(
    command: str, smoke: Done, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    group, _, member = shlex.split(command)[0].partition("=")
    made = run(EXAMPLES / "own" / "conf", store, *shlex.split(command))
    assert getattr(made.config, group).name == member
    assert {"random", "popularity"} <= set(made.metrics["method"])
    if group == "prompt":
        prompt = made.cases()[0].prompt
        assert prompt is not None
        assert prompt.startswith("Which movie next? Liked so far:")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for parts of one's own."""
    (tmp_path / "conf").mkdir()
    return tmp_path


def write(project: Path, group: str, settings: str, code: str) -> str:
    """A member of a group that names `part` of a new module; returns the module's name."""
    module = f"own_part_{next(numbers)}"
    (project / f"{module}.py").write_text(code)
    folder = project / "conf" / group
    folder.mkdir()
    (folder / "mine.yaml").write_text(f"name: mine\n{settings.replace('PART', f'{module}.part')}\n")
    return module


TARGET = "_target_: PART"
REWARD = "parts: {mine: {_target_: PART, weight: 1.0}}"
MISTAKES = {  # (group, YAML, code) -> what is said
    "reward, too few": (
        ("reward", REWARD, "def part(completions):\n    return [1.0]\n"),
        r"returned a list of 1 for 2 completions: it must return a number for each \(\S+\.py:1\)",
    ),
    "reward, no numbers": (
        ("reward", REWARD, "def part(completions):\n    return completions\n"),
        r"it must return a number for each completion \(\S+\.py:1\)",
    ),
    "reward, not finite": (
        ("reward", REWARD, "def part(completions):\n    return [float('nan')] * 2\n"),
        r"all must be finite",
    ),
    "reward, fails in a helper": (
        (
            "reward",
            REWARD,
            "def part(completions, positive):\n    return [help(t) for t in completions]\n\n\n"
            "def help(text):\n    return 1 / text.count('?')\n",
        ),
        r"reward.parts.mine._target_=own_part_\d+.part fails at \S+\.py:6: ZeroDivisionError",
    ),
    "baseline, one score": (
        ("baseline", TARGET, "def part(train, users, candidates, rng):\n    return users * 1.0\n"),
        r"returned a list of 3 for 3 users with 4 candidates each: it must return scores \[3, 4\]",
    ),
    "baseline, misspelt column": (
        ("baseline", TARGET, "def part(train, users, candidates, rng):\n    train['itm']\n"),
        r"baseline._target_=own_part_\d+.part fails at \S+\.py:2: ColumnNotFoundError",
    ),
    "model, without examples": (
        (
            "baseline",
            f"{TARGET}\nfit: {{epochs: 1}}",
            "import torch\n\n\nclass part(torch.nn.Module):\n"
            "    def __init__(self, data):\n        super().__init__()\n",
        ),
        r"returned a part without examples",
    ),
    "sampler, unsorted": (
        (
            "chain_sampler",
            TARGET,
            "import numpy as np\nfrom r2rec.chains.samplers import Chains\n\n\n"
            "def part(graph, queries, per_query, rng):\n"
            "    return Chains(*np.array([[2, 0], [0, 0], [1, 1], [1, 1]]))\n",
        ),
        r"returned chains of other queries than 0 to 2, in order \(\S+\.py:5\)",
    ),
    "sampler, a list": (
        ("chain_sampler", TARGET, "def part(graph, queries, per_query, rng):\n    return []\n"),
        r"it must return r2rec.chains.samplers.Chains",
    ),
    "teacher, texts alone": (
        (
            "teacher",
            TARGET,
            "def part(cases, answers, seed):\n    return ['I know.'] * len(cases)\n",
        ),
        r"for 2 cases: it must return a list with a pair of texts",
    ),
    "diagnostic, a dict": (
        ("diagnostic", TARGET, "def part(arm, rng):\n    return {'rows': len(arm.cases)}\n"),
        r"diagnostic._target_=own_part_\d+.part returned \{'rows': 3\}: it must return",
    ),
    "diagnostic, called otherwise": (
        ("diagnostic", TARGET, "def part(arm):\n    return None\n"),
        r"diagnostic._target_=own_part_\d+.part can't be called as a diagnostic is",
    ),
    "noise, another type": (
        ("noise", TARGET, "def part(train, n_users, n_items, rng):\n    return train.rows()\n"),
        r"it must return train ratings with the columns user \(UInt32\)",
    ),
    "reader, no table": (
        ("dataset", TARGET, "def part(root, category):\n    return [1, 2]\n"),
        r"dataset._target_=own_part_\d+.part returned a list: it must return a DataFrame",
    ),
    "reader, fails": (
        ("dataset", TARGET, "def part(root, category):\n    return {}['ratings']\n"),
        r"dataset._target_=own_part_\d+.part fails at \S+\.py:2: KeyError: 'ratings'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_the_function_and_its_line_before_anything_is_trained(
    name: str, project: Path, store: Path
) -> None:
    (group, settings, code), message = MISTAKES[name]
    write(project, group, settings, code)
    more = ["chain_sampler=closed"] if group != "chain_sampler" else []
    with pytest.raises(R2RecError, match=message) as caught:
        run(project / "conf", store, f"{group}=mine", *more)
    assert "\n" not in str(caught.value)


def test_an_error_in_own_code_during_a_stage_is_one_line_too(project: Path, store: Path) -> None:
    """The trial has four candidates, the run five."""
    code = (
        "def part(train, users, candidates, rng):\n"
        "    assert candidates.shape[1] == 4, 'too many'\n"
        "    return candidates * 1.0\n"
    )
    write(project, "baseline", TARGET, code)
    with pytest.raises(R2RecError, match=r"your own code fails at \S+\.py:2: AssertionError: too"):
        run(project / "conf", store, "baseline=mine")


def test_a_module_that_another_hides_is_told(project: Path, store: Path) -> None:
    (project / "colorsys.py").write_text("def part(train, users, candidates, rng): ...\n")
    (project / "conf" / "baseline").mkdir()
    settings = "name: mine\n_target_: colorsys.part\n"
    (project / "conf" / "baseline" / "mine.yaml").write_text(settings)
    with pytest.raises(R2RecError, match=r"hidden by \S+colorsys.py: give it another name"):
        run(project / "conf", store, "baseline=mine")


TEMPLATES = {
    "{% for item in case.candidates %}{{ item }}": "cannot be read: .*mine.j2:1: Unexpected end",
    "Hello.\n{{ nothing }}": r"cannot be rendered: \S+mine.j2:2: UndefinedError: 'nothing' is und",
    "Hello.": "does not show all candidates",
    "{% include 'gone.j2' %}": "cannot be rendered: .*gone.j2",
}


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_bad_template_is_told_at_start(text: str, project: Path, store: Path) -> None:
    file = project / "mine.j2"
    file.write_text(text)
    with pytest.raises(R2RecError, match=TEMPLATES[text]) as caught:
        run(project / "conf", store, f"prompt.template={file}")
    assert "\n" not in str(caught.value)
    with pytest.raises(R2RecError, match="there is no such file"):
        run(project / "conf", store, "prompt.template=gone.j2")


def test_an_edited_template_or_one_that_it_includes_changes_the_key(
    project: Path, smoke: Done, store: Path
) -> None:
    whole = "{% include 'head.j2' %}\n{% include 'ranking.j2' %}\n"
    (project / "mine.j2").write_text(whole)
    words = ("chain_sampler=closed", "prompt.template=mine.j2", "until=think")

    def key() -> str:
        made = run(project / "conf", store, *words)
        return str(made.manifest["stages"]["think"]["key"])

    (project / "head.j2").write_text("Dear model,")
    first = key()
    assert key() == first != smoke.stages["think"]["key"]
    (project / "head.j2").write_text("Dear machine,")
    assert key() != first
    moved = project / "elsewhere"
    moved.mkdir()
    for name in ("mine.j2", "head.j2"):
        (project / name).rename(moved / name)
    (moved / "head.j2").write_text("Dear model,")
    words = (*words[:1], f"prompt.template={moved / 'mine.j2'}", *words[2:])
    assert key() == first
