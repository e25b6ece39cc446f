"""Backbones that people have: they load right, or not at all and with one line that says why."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_method
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from r2rec.base.errors import R2RecError
from r2rec.config import Model
from r2rec.llm import chat, load, soundness, turns
from r2rec.llm.engine import Question, Setup
from tests.small import go, typed

TINY = Path(load.__file__).parent / "weights" / "tiny_closed"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the tiny backbone, to be tampered with."""
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def edit(path: Path, **changes: object) -> None:
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))


def model_in(folder: Path, **changes: object) -> Model:
    return replace(typed("model=tiny").model, path=str(folder), tiny=None, **changes)


def loaded(folder: Path, adapter: Path | None = None, **changes: object) -> tuple[Any, Any]:
    model = model_in(folder, **changes)
    return load.tokenizer(model, None), load.weights(model, None, adapter)


def template(folder: Path, text: str) -> None:
    (folder / "chat_template.jinja").write_text(text)


def other_class(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")


def lower_case(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}})
    )


def normalised(folder: Path, character: str, by: str) -> None:
    """As releases of transformers before 5.23 read some byte-level tokenizers from a folder."""
    path = folder / "tokenizer.json"
    change = {"type": "Replace", "pattern": {"String": character}, "content": by}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": change}))


def more_tokens(folder: Path, *, special: bool = False) -> None:
    words = AutoTokenizer.from_pretrained(TINY)
    words.add_tokens(["Chain 1", "<item_1>"], special_tokens=special)
    words.save_pretrained(folder)


def gap_in_ids(folder: Path) -> None:
    """Added tokens are counted on from the number of entries, wherever these end."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["z"] = len(vocabulary)
    path.write_text(json.dumps(tokenizer))


def weights_without(folder: Path, part: str) -> None:
    path = folder / "model.safetensors"
    kept = {name: weight for name, weight in load_file(path).items() if part not in name}
    save_file(kept, path, metadata={"format": "pt"})


def weights_with(folder: Path, **more: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | more, path, metadata={"format": "pt"})


def shard_missing(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(TINY)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="1MB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    shards[-1].unlink()


def quantised(folder: Path, method: str, **how: object) -> None:
    edit(folder / "config.json", quantization_config={"quant_method": method, **how})


GPT2 = {"model_type": "gpt2", "n_positions": 512, "n_embd": 32, "n_layer": 1, "n_head": 2}
HALF_TURN = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
)
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "tokenizer of another class": (other_class, "its tokenizer reads 'Rank the candidates.' as"),
    "tokenizer without capitals": (lower_case, "its tokenizer reads 'Rank the .*' as 'rank the"),
    "tokenizer without line ends": (
        lambda f: normalised(f, "\n", " "),
        r"reads 'andidates\.\\n- A: .*' as 'andidates\. - A: ",
    ),
    "tokenizer without spaces": (
        lambda f: normalised(f, " ", ""),
        r"its tokenizer reads 'Rank the .*' as 'Rankthecand",
    ),
    "two tokens with one id": (
        gap_in_ids,
        r"has one id, \d+, for 'z' and '<think>'; number the entries of tokenizer\.json without",
    ),
    "tokens without embeddings": (
        more_tokens,
        r"2 tokens that the model has no embedding for \(4096 rows\), Chain 1, <item_1>: resize",
    ),
    "neither padding nor end": (
        lambda f: edit(f / "tokenizer_config.json", pad_token=None, eos_token=None),
        'no end-of-text token; name one in tokenizer_config.json, "eos_token"',
    ),
    "template that refuses": (
        lambda f: template(f, "{{ raise_exception('roles must alternate') }}"),
        r"refuses a conversation \(user\): roles must alternate; name another template",
    ),
    "template with a mistake": (
        lambda f: template(f, "{% for m in messages %}"),
        r"refuses a conversation \(user\): Unexpected end of template",
    ),
    "template that loses the prompt": (
        lambda f: template(f, "{% if add_generation_prompt %}<|assistant|>{% endif %}"),
        "leaves the prompt out; name another",
    ),
    "template that begins no turn": (
        lambda f: template(f, HALF_TURN),
        r"writes '<\|assistant\|>' before a reply, but not when one is asked for",
    ),
    "template that does not exist": (
        lambda f: (f / "chat_template.jinja").unlink(),
        r"has no chat template; name one with model\.chat_template=FILE",
    ),
    "context that is too short": (
        lambda f: edit(f / "config.json", max_position_embeddings=512),
        r"model\.max_length=2560, but model\.path=\S+ reads 512 tokens, .* model\.max_length=512",
    ),
    "learnt positions": (
        lambda f: (f / "config.json").write_text(json.dumps(GPT2 | {"vocab_size": 4096})),
        r"model\.max_length=2560, but model\.path=\S+ reads 512 tokens",
    ),
    "weights that are missing": (
        lambda f: weights_without(f, "layers.2."),
        r"9 weights are missing from its files and would be random, model\.layers\.2\.",
    ),
    "head that is not tied": (
        lambda f: edit(f / "config.json", tie_word_embeddings=False),
        r"1 weights are missing .* would be random, lm_head\.weight",
    ),
    "weights of more layers": (
        lambda f: edit(f / "config.json", num_hidden_layers=3),
        r"its config\.json has no place for 9 weights in its files, model\.layers\.3\.",
    ),
    "biases that would be dropped": (
        lambda f: weights_with(f, **{"model.layers.0.self_attn.q_proj.bias": torch.zeros(96)}),
        r"has no place for 1 weights in its files, model\.layers\.0\.self_attn\.q_proj\.bias",
    ),
    "other shapes": (
        lambda f: edit(f / "config.json", intermediate_size=128),
        "cannot load model .*(mismatch|shape)",
    ),
    "a missing shard": (shard_missing, "cannot load model"),
    "bitsandbytes": (
        lambda f: quantised(f, "bitsandbytes", load_in_4bit=True),
        r"is quantised \(bitsandbytes\) and needs pip install bitsandbytes",
    ),
    "gptq": (
        lambda f: quantised(f, "gptq", bits=4, group_size=128),
        r"is quantised \(gptq\) and needs pip install gptqmodel",
    ),
    "compressed-tensors": (
        lambda f: quantised(f, "compressed-tensors", config_groups={}),
        "needs pip install compressed-tensors",
    ),
    "quantisation of no kind": (
        lambda f: quantised(f, "nope"),
        r"is quantised \(nope\), which this release of transformers does not know",
    ),
    "config that is a list": (
        lambda f: (f / "config.json").write_text("[]"),
        "cannot load model",
    ),
    "code of others": (
        lambda f: edit(
            f / "config.json", model_type="theirs", auto_map={"AutoConfig": "theirs.Config"}
        ),
        "cannot load model",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(tiny: Path, case: str) -> None:
    change, message = REFUSED[case]
    change(tiny)
    with pytest.raises(R2RecError, match=message) as caught:
        loaded(tiny)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tiny_closed", "tiny_evidence"])
def test_every_token_of_the_shipped_backbones_comes_back_as_it_was(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY.parent / name)
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    for number in range(2000):
        text = f'<think>\nStep 1: {number} ratings, "Alien ({number})"\n</think>\n'
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert turns.text_of(tokenizer, ids, []) == text


BEFORE_ANYTHING = [case for case in REFUSED if "weights" not in case and "head" not in case]
BEFORE_ANYTHING = [
    case for case in BEFORE_ANYTHING if case not in ("biases that would be dropped", "other shapes")
]


@pytest.mark.parametrize("case", BEFORE_ANYTHING)
def test_all_but_the_weights_is_checked_without_reading_them(
    tiny: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    REFUSED[case][0](tiny)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(R2RecError):
        load.check_model(model_in(tiny))


def test_the_check_takes_less_than_a_second() -> None:
    """After the imports, which every stage with a model needs; the best of three."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        load.check_model(model_in(TINY))
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 1


def test_a_run_refuses_a_model_before_it_makes_anything(tiny: Path, tmp_path: Path) -> None:
    template(tiny, "{{ raise_exception('no') }}")
    with pytest.raises(R2RecError, match="refuses a conversation"):
        go(tmp_path / "store", "model=tiny", f"model.path={tiny}", "until=rank")
    assert not list((tmp_path / "store").rglob("*.parquet"))


def no_padding(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", pad_token=None)


def own_template(folder: Path) -> None:
    template(folder, "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]")


def chatml(folder: Path) -> None:
    template(
        folder,
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}<|assistant|>",
    )


LOADED: dict[str, Callable[[Path], object]] = {
    "as it is": lambda f: None,
    "no padding": no_padding,
    "special tokens that nothing writes": lambda f: more_tokens(f, special=True),
    "scaled positions": lambda f: edit(
        f / "config.json",
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0},
    ),
    "heads for guessing ahead": lambda f: weights_with(f, **{"mtp.fc.weight": torch.zeros(2, 2)}),
    "a template without ends of turns": own_template,
    "a template that always opens a turn": chatml,
}


@pytest.mark.parametrize("case", LOADED)
def test_what_can_be_used_loads(tiny: Path, case: str) -> None:
    LOADED[case](tiny)
    words, model = loaded(tiny)
    assert words.pad_token_id is not None
    ids = torch.tensor([chat.encode(words, "Rank the candidates.", reasoning=False)])
    assert torch.isfinite(model(ids).logits).all()


def test_tied_weights_are_not_missing(tiny: Path) -> None:
    assert "lm_head.weight" not in load_file(tiny / "model.safetensors")
    _, model = loaded(tiny)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["tiny", "tiny_scratch", "llama_8b_random"])
def test_a_folder_brings_its_own_template(tiny: Path, name: str) -> None:
    own_template(tiny)
    given = typed(f"model={name}", f"model.path={tiny}").model
    text = chat.rendered_conversation(load.tokenizer(given, None), "hi", reasoning=False)
    assert text == "[user]hi[assistant]"
    named = typed(f"model={name}", f"model.path={tiny}", "model.chat_template=tiny.jinja").model
    text = chat.rendered_conversation(load.tokenizer(named, None), "hi", reasoning=False)
    assert text == "<|user|>hi<|assistant|>"


CONTEXTS = {
    4096: {},
    8192: {"rope_type": "linear", "factor": 2.0},
    16384: {"rope_type": "yarn", "factor": 4.0},
    131072: {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
}


@pytest.mark.parametrize("longest", CONTEXTS)
def test_context_length_counts_scaled_positions(longest: int) -> None:
    rope = {"rope_type": "default", "rope_theta": 10000.0} | CONTEXTS[longest]
    config = LlamaConfig(max_position_embeddings=4096, rope_parameters=rope)
    assert soundness.context_length(config) == longest


def test_context_length_of_models_without_rotation() -> None:
    llama = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5, "low_freq_factor": 1.0}
    llama |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    scaled = LlamaConfig(max_position_embeddings=131072, rope_parameters=llama)
    assert soundness.context_length(scaled) == 131072  # the factor is in it
    assert soundness.context_length(AutoConfig.for_model("gpt2", n_positions=512)) == 512
    assert soundness.context_length(AutoConfig.for_model("bloom")) is None


@pytest.mark.parametrize("name", ["hf", "paged"])
@pytest.mark.parametrize("constrained", [False, True])
def test_every_engine_stops_at_every_end(tiny: Path, name: str, constrained: bool) -> None:
    """The tokenizer calls another token its end; the template and the generation config know."""
    words = AutoTokenizer.from_pretrained(TINY)
    end = words.convert_tokens_to_ids("<|end|>")
    config = typed(
        "model=tiny",
        f"model.path={tiny}",
        f"generation={name}",
        f"generation.constrained={constrained}",
        "generation.temperature=0",
        "generation.max_new_tokens=160",
        "evaluation.arms=[base]",
    )
    prompt = "Rank the candidates.\n- A: Heat, Crime\n- B: Fargo, Comedy\nWrite: Ranking: B > A"
    asked = [Question(chat.user_turn(prompt), 2)]
    setup = Setup(config.generation, config.model, config.hardware, reasoning=True)
    expected = get_method(config.generation._target_)(setup).write(asked, 0)[0]
    edit(tiny / "tokenizer_config.json", eos_token="<|system|>")
    edit(tiny / "generation_config.json", eos_token_id=[2, end])
    given = get_method(config.generation._target_)(setup).write(asked, 0)[0]
    assert given.text == expected.text
    assert given.completion_tokens < 160


@pytest.mark.parametrize("always", [own_template, chatml])
def test_no_turn_is_learnt_after_the_reply(tiny: Path, always: Callable[[Path], None]) -> None:
    """Old templates of Llama 3 open the model's next turn whether or not one is asked for."""
    always(tiny)
    words = load.tokenizer(model_in(tiny), None)
    for thought in (None, "Step 1: b"):
        prompt, reply = turns.learnt(words, "Rank them.", thought, "Ranking: B > A")
        assert words.decode(reply).strip().endswith("Ranking: B > A<|end|>")
        assert prompt == chat.encode(words, "Rank them.", reasoning=thought is not None)


def test_sft_teaches_the_thought_that_a_template_drops(tiny: Path) -> None:
    template(
        tiny,
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|end|>' }}"
        "{% else %}{{ '<|' + m.role + '|>' + m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}",
    )
    words = load.tokenizer(model_in(tiny), None)
    prompt, reply = turns.learnt(words, "Rank them.", "Step 1: b", "Ranking: B > A")
    assert words.decode(prompt) == "<|user|>Rank them.<|assistant|><think>\n"
    assert words.decode(reply) == "Step 1: b\n</think>\nRanking: B > A<|end|>"
