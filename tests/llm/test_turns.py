"""Chat templates of models in use: rendered, learnt, read back; one rendering for all stages.

The texts are published ones: TRL ships most, `templates` has the others.
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.config import Hardware
from r2rec.llm import chat, soundness, turns
from r2rec.llm.engine import Question, Setup, Written, on_tokens
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.dialects import THOUGHT_TOKENS, in_dialect, own_turn
from r2rec.train.sft import IGNORED, sft_examples
from tests.small import typed

HERE = Path(__file__).parent / "templates"
PROMPT = "Rank the candidates.\n- A: Heat\n- B: Fargo"
THOUGHT = "Step 1: The user liked A.\nStep 2: So Ranking: A > B? No, B first."
ANSWER = "Ranking: B > A"
CONTROL = """
<s> </s> <pad> <bos> <eos> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] <|begin_of_text|>
<|eot_id|> <|start_header_id|> <|end_header_id|> <|im_start|> <|im_end|> <|endoftext|>
<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜> <start_of_turn>
<end_of_turn> <|system|> <|user|> <|assistant|> <|return|> <|call|> <|constrain|>
<turn|> <|turn> <|think|>
""".split()

# template -> how the model's turn begins with a thought and without, and what it learns to write
# before the thought, between it and the answer, and at the end
CHATML = "<|im_start|>assistant\n"
EMPTY = "<think>\n\n</think>\n\n"
ROUNDS = {
    "deepseek_r1_distill": (
        *("<｜Assistant｜><think>\n", f"<｜Assistant｜>{EMPTY}"),
        *("", "\n</think>\n", "<｜end▁of▁sentence｜>"),
    ),
    "deepseek_r1_distill_training": (
        *("<｜Assistant｜><think>\n", f"<｜Assistant｜>{EMPTY}"),
        *("", "\n</think>\n", "<｜end▁of▁sentence｜>"),
    ),
    "qwen3": (CHATML, CHATML + EMPTY, "<think>\n", "\n</think>\n\n", "<|im_end|>\n"),
    "qwen3_training": (CHATML, CHATML + EMPTY, "<think>\n", "\n</think>\n\n", "<|im_end|>\n"),
    "qwen3_5_think": (
        *(f"{CHATML}<think>\n", CHATML + EMPTY),
        *("", "\n</think>\n\n", "<|im_end|>\n"),
    ),
    "smollm2": (CHATML, CHATML, "<think>\n", "\n</think>\n", "<|im_end|>\n"),
    "qwen2_5": (CHATML, CHATML, "<think>\n", "\n</think>\n", "<|im_end|>\n"),
    "smollm3": (
        *(CHATML, f"{CHATML}<think>\n\n</think>\n"),
        *("<think>\n", "\n</think>\n", "<|im_end|>\n"),
    ),
    "gptoss": (
        *("<|start|>assistant", "<|start|>assistant<|channel|>final<|message|>"),
        "<|channel|>analysis<|message|>",
        *("<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    ),
    "magistral": ("[/INST]", "[/INST]", "[THINK]", "[/THINK]", "</s>"),
    "llama2": ("[/INST]", "[/INST]", " <think>\n", "\n</think>\n", " </s>"),
    "llama3_1": (
        *["<|start_header_id|>assistant<|end_header_id|>\n\n"] * 2,
        *("<think>\n", "\n</think>\n", "<|eot_id|>"),
    ),
    "gemma2": (*["<start_of_turn>model\n"] * 2, "<think>\n", "\n</think>\n", "<end_of_turn>\n"),
    "gemma3": (*["<start_of_turn>model\n"] * 2, "<think>\n", "\n</think>\n", "<end_of_turn>\n"),
    "gemma4_v5": (
        *["<|turn>model\n"] * 2,
        *("<|channel>thought\n", "\n<channel|>", "<turn|>\n"),
    ),
    "phi3": (*["<|assistant|>\n"] * 2, "<think>\n", "\n</think>\n", "<|end|>\n</s>"),
}


@cache
def tokenizer(template: str, *, special: bool = True, eos: str = "</s>"):
    """Every byte a token, all control tokens known; marks of thoughts special or not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(CONTROL)
    (bpe.add_special_tokens if special else bpe.add_tokens)(list(THOUGHT_TOKENS))
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token=eos,
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )
    path = HERE / f"{template}.jinja"
    if not path.is_file():
        path = Path(str(files("trl"))) / "chat_templates" / f"{template}.jinja"
    made.chat_template = path.read_text(encoding="utf-8")
    return made


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("template", ROUNDS)
def test_a_thought_is_rendered_learnt_and_read(template: str, special: bool) -> None:
    made = tokenizer(template, special=special)
    begin, _, before, between, end = ROUNDS[template]
    text = chat.rendered_conversation(made, PROMPT, reasoning=True)
    assert text.endswith(begin)
    prompt, reply = turns.learnt(made, PROMPT, THOUGHT, ANSWER)
    assert prompt == chat.encode(made, PROMPT, reasoning=True)  # what a rollout goes on from
    assert made.decode(reply) == f"{before}{THOUGHT}{between}{ANSWER}{end}"
    read = turns.text_of(made, reply, turns.end_tokens(made))
    assert turns.says(read, THOUGHT, ANSWER)
    assert parse_ranking(read, 2, reasoned=True).labels == ("B", "A")


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("template", ROUNDS)
def test_without_reasoning_all_stages_have_one_rendering(template: str, special: bool) -> None:
    made = tokenizer(template, special=special)
    _, begin, *_, end = ROUNDS[template]
    text = chat.rendered_conversation(made, PROMPT, reasoning=False)
    assert text.endswith(begin)
    prompt, reply = turns.learnt(made, PROMPT, None, ANSWER)
    assert prompt == chat.encode(made, PROMPT, reasoning=False)
    assert made.decode(reply).strip() == f"{ANSWER}{end}".strip()
    read = turns.text_of(made, reply, turns.end_tokens(made))
    assert read.strip() == ANSWER
    assert parse_ranking(read, 2, reasoned=False).labels == ("B", "A")


@pytest.mark.parametrize("thought", [THOUGHT, None])
@pytest.mark.parametrize("template", ["deepseek_r1_distill", "deepseek_r1_distill_training"])
def test_sft_rollouts_and_ranking_go_on_from_one_text(template: str, thought: str | None) -> None:
    """What SFT hides from the loss is what GRPO's rollouts and a ranking model continue."""
    made = tokenizer(template)
    model = replace(typed("model=tiny").model, max_length=4096)
    (example,), _ = sft_examples([(PROMPT, thought, ANSWER)], made, model)
    pairs = zip(example["input_ids"], example["labels"], strict=True)
    hidden = [token for token, label in pairs if label == IGNORED]
    ranked: list[list[int]] = []

    def generate(prompts: Any, seeds: Any, labels: Any, expected: Any) -> list[Written]:
        ranked.extend(prompts)
        return [Written(ANSWER, 1)] * len(prompts)

    spec = typed("generation=hf").generation
    setup = Setup(spec, model, Hardware(name="cpu"), reasoning=thought is not None)
    engine = on_tokens(setup, made, generate, lambda prompts, options: [])
    question = chat.user_turn(PROMPT)  # as a row of GRPO's prompts has it
    engine.write([Question(question)], 0)
    assert ranked == [hidden] == [chat.encode(made, question, thought is not None)]
    assert made.decode(hidden).count("<think>") == 1
    assert made.decode(hidden).endswith("<think>\n" if thought else EMPTY)


@pytest.mark.parametrize("template", ROUNDS)
def test_a_model_stops_where_it_learnt_to(template: str) -> None:
    """Not only at its tokenizer's end of text: Gemma, Phi and Llama 3 call another token that."""
    made = tokenizer(template, eos="</s>" if "</s>" in ROUNDS[template][-1] else "<|endoftext|>")
    end = made.convert_tokens_to_ids(ROUNDS[template][-1].split()[0])
    ends = turns.end_tokens(made, None)
    assert ends[0] == end
    assert made.eos_token_id in ends
    _, reply = turns.learnt(made, PROMPT, THOUGHT, ANSWER)
    assert end in reply
    invented = made.encode("Ranking: A > B", add_special_tokens=False)
    assert turns.text_of(made, reply + invented, ends) == turns.text_of(made, reply, ends)


@pytest.mark.parametrize("template", ROUNDS)
def test_templates_in_use_pass_the_check_at_load(template: str) -> None:
    made = tokenizer(template)
    for reasoning in (False, True):
        soundness._check_template("x", made, reasoning)


def test_ends_are_those_of_tokenizer_template_and_generation_config() -> None:
    from transformers import GenerationConfig

    made = tokenizer("qwen3", eos="<|endoftext|>")
    ids = made.convert_tokens_to_ids
    config = GenerationConfig(eos_token_id=[ids("<|eot_id|>"), ids("<|endoftext|>")])
    named = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>"]
    assert turns.end_tokens(made, config) == ids(named)
    assert turns.end_tokens(made, GenerationConfig(eos_token_id=ids("</s>"))) == ids(
        [*named[:2], "</s>"]
    )


@pytest.mark.parametrize("template", ["smollm3", "gptoss"])
def test_a_template_that_tells_the_date_says_the_same_every_day(template: str) -> None:
    text = chat.rendered_conversation(tokenizer(template), PROMPT, reasoning=True)
    assert "2024" in text


@pytest.mark.parametrize("template", ["gemma2", "gemma3", "llama2", "qwen3"])
def test_instructions_reach_every_model(template: str) -> None:
    """Gemma 2 refuses the role "system": its user says it."""
    messages = [{"role": "system", "content": "Be brief."}, *chat.user_turn(PROMPT)]
    text = chat.rendered_conversation(tokenizer(template), messages, reasoning=False)
    assert text.index("Be brief.") < text.index(PROMPT)


def test_a_closed_thought_is_refused_where_one_is_asked_for() -> None:
    made = tokenizer("smollm3")
    made = type(made)(tokenizer_object=made.backend_tokenizer, eos_token="</s>")
    made.chat_template = "{{ messages[0].content }}<|assistant|><think></think>"
    assert chat.rendered_conversation(made, PROMPT, reasoning=False).endswith("</think>")
    with pytest.raises(R2RecError, match=r"closes the thought .* use prompt=no_reasoning"):
        chat.rendered_conversation(made, PROMPT, reasoning=True)


calm = st.text().filter(lambda text: own_turn(text) == text)


@pytest.mark.parametrize("template", ["gptoss", "magistral", "gemma4_v5", "qwen3"])
@settings(max_examples=40)
@given(thought=calm, answer=calm)
def test_every_dialect_reads_back_what_it_writes(template: str, thought: str, answer: str) -> None:
    text = f"<think>\n{thought}\n</think>\n{answer}"
    marks = chat.dialect(tokenizer(template))
    if own_turn(text) == text:
        assert own_turn(in_dialect(text, marks)) == text
