"""The config tree: every file in it composes, and what cannot work is refused in a line that says
what to change.
"""

import re
from dataclasses import fields

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r2rec.base.errors import R2RecError
from r2rec.config import Rl, Sft
from r2rec.config.place import CONF
from r2rec.execution import hardware_rules, model_rules, rules
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from r2rec.report.labels import flat
from tests.config.together import ALLOWED, REFUSED
from tests.small import composition

EXPERIMENTS = sorted(path.stem for path in CONF.glob("experiment/*.yaml"))
MEMBERS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "variant", "launcher", "sweeper")
    and path.stem != "same"
)
VARIANTS = sorted(path.stem for path in CONF.glob("variant/*.yaml"))
GROUPS = sorted({member.partition("=")[0] for member in MEMBERS})
LONG = ["generation.max_new_tokens=1536"]
NEEDS = {
    "dataset=amazon": ["dataset.category=Office_Products"],
    "reward=none": ["rl=off"],
    "generation=openai": ["evaluation.arms=[base]"],
    "sft=paper": ["chain_sampler=closed"],
    "model=deepseek_r1_distill_llama_8b": ["hardware=gpu", "rl=off", *LONG],
    "model=qwen3_0_6b": ["rl=off", *LONG],
    "model=qwen3_4b": ["hardware=gpu", "rl=off", *LONG],
    "model=smollm3_3b": ["hardware=gpu", "rl=off", *LONG],
    "baseline=counter_fitted": ["chain_sampler=evidence"],
}


NO_GROUPS = {"train_on", "fusion", "witness", "counters", "roots", "forecast", "seeds"}


def test_the_folders_are_the_groups_of_the_schema() -> None:
    groups = {key for key, value in composition().items() if OmegaConf.is_dict(value)}
    assert set(GROUPS) == groups - NO_GROUPS
    assert EXPERIMENTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_compose_under_their_own_name(name: str) -> None:
    cfg = composition(f"+experiment={name}")
    checked_config(cfg)
    assert cfg.name == name
    assert (
        f"+experiment={name}" in (CONF / "experiment" / f"{name}.yaml").read_text()
    )  # how to run it


@pytest.mark.parametrize("member", MEMBERS)
def test_members_compose_and_are_named_after_their_file(
    member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hardware_rules, model_rules, rules):  # as if every extra were installed
        monkeypatch.setattr(module, "find_spec", lambda name: object())
    cfg = composition(member, *NEEDS.get(member, []))
    checked_config(cfg)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    group, name = member.split("=")
    if member != "dataset=amazon":  # that one is named after its category
        assert cfg[group].name == name


def test_an_engine_that_is_not_installed_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    with pytest.raises(R2RecError, match=r"generation=vllm needs pip install 'r2rec\[vllm\]'"):
        checked_config(composition("generation=vllm"))
    checked_config(composition("generation=vllm", "until=sft"))


def test_variants_change_one_thing_and_the_ablation_has_them_all() -> None:
    full = flat(OmegaConf.to_container(composition("+experiment=ablation")), "")
    swept = yaml.safe_load((CONF / "experiment" / "ablation.yaml").read_text())["hydra"]["sweeper"][
        "params"
    ]["+variant"]
    assert sorted(swept.split(",")) == VARIANTS
    for name in VARIANTS:
        cfg = composition("+experiment=ablation", f"+variant={name}")
        checked_config(cfg)
        changed = {
            key
            for key, value in flat(OmegaConf.to_container(cfg), "").items()
            if full.get(key) != value
        }
        assert len({key.split(".")[1] for key in changed}) == (name != "full"), (name, changed)
        checked_config(
            composition("+experiment=ablation", f"+variant={name}", "sft=paper", "rl=paper")
        )


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_refuses_unknown_members(group: str) -> None:
    with pytest.raises(HydraException, match=rf"(?s)'{group}/nope'.*Available options"):
        composition(f"{group}=nope")


def test_members_of_sft_and_rl_are_the_papers_by_default() -> None:
    """Section 4.1.2: what a dataclass says is what `paper` runs."""
    cfg = composition("+experiment=paper")
    assert (cfg.sft.samples, cfg.sft.epochs, cfg.sft.learning_rate) == (500, 10, 5e-5)
    assert (cfg.rl.samples, cfg.rl.epochs, cfg.rl.learning_rate) == (500, 1, 5e-6)
    assert (cfg.evaluation.users, cfg.evaluation.negatives) == (1000, 19)
    assert {name: part.weight for name, part in cfg.reward.parts.items()} == {
        "step": 1.0,
        "ranking": 2.0,
    }


SECTION = re.compile(r"#.*(\b(3|4)\.\d|\bA\.\d|\bours\b)")


@pytest.mark.parametrize("name", ["experiment/paper", "sft/paper", "rl/paper"])
def test_each_line_of_the_papers_setting_says_whose_it_is(name: str) -> None:
    """A section of the paper, or that the decision is ours."""
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    values = [line for line in lines if re.match(r"\s*(- override )?[\w/]+: \S", line)]
    told = [line for line in values if not line.startswith("name:")]
    assert len(told) > 5
    assert [line for line in told if not SECTION.search(line)] == []


@pytest.mark.parametrize(("group", "kind"), [("sft", Sft), ("rl", Rl)])
def test_no_number_of_the_papers_training_is_a_silent_default(group: str, kind: type) -> None:
    said = yaml.safe_load((CONF / group / "paper.yaml").read_text())
    assert set(said) == {spec.name for spec in fields(kind)} - {"enabled", "params"}


def test_the_papers_setting_reads_like_its_section() -> None:
    """4.1.2, in its order."""
    cfg = composition("+experiment=paper")
    config = checked_config(cfg)
    assert config.model.path == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
    for writes in (cfg.generation, cfg.rl, cfg.teacher.generation):
        assert (writes.temperature, writes.top_p) == (0.6, 0.9)
    assert (cfg.prompt.profile, cfg.prompt.history, cfg.chain_sampler.per_user) == (True, 5, 5)
    assert cfg.evaluation.negatives + 1 == 20
    assert (cfg.sft.samples, cfg.sft.epochs, cfg.sft.learning_rate) == (500, 10, 5e-5)
    assert (cfg.rl.samples, cfg.rl.epochs, cfg.rl.learning_rate) == (500, 1, 5e-6)
    # 3.2 and 3.3: a language model writes the triplets' thoughts, each about one chain's rating
    assert (cfg.chain_sampler.name, cfg.sft.task, cfg.prompt.prose) == (
        *("closed", "chain_rating"),
        True,
    )
    assert config.teacher.generation is not None
    assert {job.name: job.inputs for job in plan(config)}["rl"]["sft"] == "sft"


def test_one_seed_reaches_the_world() -> None:
    assert composition("seed=7").dataset.params.seed == 7


MISSPELT = [
    "sedd=1",
    "dataset.rot=/x",
    "evaluation.user=3",
    "rl.group=4",
    "sft.sample=3",
    "model.lora.rank=4",
    "reward.parts.step.wieght=1",
    "hardware.process=2",
]


WRONG = [
    "seed=x",
    "seed=1.5",
    "seed=null",
    "until=[chain]",
    "force=split",
    "rl.enabled=perhaps",
    "sft.epochs=many",
    "evaluation.users=ten",
    "evaluation.arms=sft",
    "model.lora=none",
    "dataset.params=3",
    "reward.parts.step.weight=x",
    "logger.report_to=wandb",
    "hardware.threads=all",
]


@pytest.mark.parametrize(
    ("override", "message"),
    [*((word, "Could not|not in") for word in MISSPELT), *((word, None) for word in WRONG)],
)
def test_misspelt_keys_and_wrong_types_do_not_compose(override: str, message: str | None) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException), match=message):
        composition(override)


@pytest.mark.parametrize("dataset", ["ml_1m", "ml_100k", "amazon_office"])
def test_smoke_is_for_any_data_set(dataset: str) -> None:
    checked_config(composition("+experiment=smoke", f"dataset={dataset}", "dataset.root=FOLDER"))


@pytest.mark.parametrize("overrides", REFUSED)
def test_impossible_combinations_are_refused_in_one_line(
    overrides: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = composition(*overrides.split())
    with pytest.raises(R2RecError, match=REFUSED[overrides]) as caught:
        checked_config(cfg)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("overrides", ALLOWED)
def test_what_a_part_left_out_would_need_is_not_asked_for(overrides: str) -> None:
    checked_config(composition(*overrides.split()))
