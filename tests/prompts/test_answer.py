"""The answer parser: inverse of the renderer, strict on real outputs, closed to data texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.prompts.answer import (
    parse_ranking,
    parse_rating,
    render_completion,
    render_ranking,
    render_rating,
    split_thought,
    thought_steps,
)
from r2rec.prompts.cases import LABELS
from r2rec.prompts.dialects import own_turn

TWENTY = LABELS[:20]
NONE, THOUGHT = "none found", "unfinished thought"
ORDER = " > ".join(TWENTY)

prefixes = st.permutations(TWENTY).flatmap(lambda p: st.integers(1, 20).map(lambda n: tuple(p[:n])))
# not even a control token: hypothesis finds those in the source
calm = st.text().filter(lambda t: own_turn(t) == t)
prose = st.text(max_size=60).filter(lambda t: "</think>" not in t and own_turn(t) == t)
FRAGMENTS = (
    "Ranking:~Answer: ~**Final answer:** ~\n~\n1. ~\n- ~ > ~, ~|~A~B~T~Z~I think~Heat~ ~"
    '<think>~</think>~(~"~[~`~*~А~\u200b~\u200f~\0'
)
hostile = st.lists(st.sampled_from(FRAGMENTS.split("~")), max_size=30).map("".join)
titles = hostile.map(
    lambda t: t.replace("\n", " ").replace("think>", "")
)  # one line, as prompts show them

# What a model might write after its thought -> the labels read, or why none were.
OUTPUTS = [
    # the asked form, and close to it
    ("Ranking: B > A > C", "BAC"),
    (f"Ranking: {ORDER}", TWENTY),
    ("ranking:B>A>C", "BAC"),
    ("RANKING :  B  >  A", "BA"),
    ("Ranking: C", "C"),
    ("Ranking: C.", "C"),
    ("Ranking: B > A\r\n", "BA"),
    ("Ranking：B > A", "BA"),
    ("Answer: B, A, C", "BAC"),
    ("Final answer: B; A; C", "BAC"),
    ("Final Ranking: B | A | C", "BAC"),
    ("Ranking: B A C", "BAC"),
    ("Ranking: I A", "IA"),
    ("Final answer: Ranking: B > A", "BA"),
    # markdown, JSON, tags
    ("**Ranking:** B > A > C", "BAC"),
    ("**Ranking**: **B** > **A**", "BA"),
    ("### Ranking:\n\nB > A > C", "BAC"),
    ("**Final Answer:**\n**B > A > C.**", "BAC"),
    ("- **Ranking:** `B` > `A`", "BA"),
    ("__Ranking:__ (B) > (A)", "BA"),
    ("Ranking: “B”, 'A', \"C\"", "BAC"),
    ('Ranking: ["C","A"]', "CA"),
    ('{"ranking": ["C", "A", "B"]}', "CAB"),
    ('```json\n{\n  "ranking": [\n    "C",\n    "A"\n  ]\n}\n```', "CA"),
    ("Ranking:\n```\nB > A\n```", "BA"),
    ("<answer>Ranking: B > A</answer>", "BA"),
    ("Ranking: B > A<|eot_id|>", "BA"),
    ("Ranking: B >\nA >\nC", "BAC"),
    # one label per line
    ("Ranking:\n1. C\n2. A: some title", "CA"),
    ("Ranking: 1. C\n2. A", "CA"),
    ("**Ranking:**\n\n1) **C**\n2) **A** Heat\n\nHope this helps!", "CA"),
    ("Final answer:\n- C\n- A (Heat)\n", "CA"),
    ("Ranking:\n* C\n* A", "CA"),
    ("Ranking:\nC\nA\nI hope so", "CA"),
    ("Ranking:\n1. **C**: Heat\n   - a crime film > B\n2. **A** - Alien\n   1. Ridley", "CA"),
    ("Ranking:\n1. C\n- crime\n2. A\n\nReasons:\n1. B is weak", "CA"),
    ("Ranking:\n1. C: Ranking: T > S\n2. A: Final Answer: T", "CA"),
    ("Ranking:\n1. A Bug's Life\n2. B", NONE),
    ("Ranking:\n1. C\n2. A Bug's Life", "unknown label A Bug's Life"),
    ("Ranking:\n1. C\n2. E.T. the Extra-Terrestrial", "unknown label E.T"),
    ("Ranking:\n1. C\n2. Heat: a film", "unknown label Heat"),
    ("Ranking: 1. C, 2. A", NONE),
    # prose around
    ("Based on this, the final ranking: B > A. I hope this helps", "BA"),
    ("Ranking: C > A because she likes crime", "CA"),
    ("Ranking: C > A, I hope this helps", "CA"),
    ("Ranking: B, C, I hope this helps", "BC"),
    ("Ranking: B > A\n\nNote: the answer: hard to say", "BA"),
    ("Here is the ranking:\n\nI sorted them by genre.\n\nB > A > C", "BAC"),
    ("I sorted them by genre.\nB > A > C", "BAC"),
    ("Ranking: A good choice is B", NONE),
    ("Ranking: I think A", NONE),
    ("Answer: C, I think", NONE),
    ("The best one is B.", NONE),
    ("B", NONE),
    ("", NONE),
    ("Ranking:", NONE),
    ("Ranking: Heat > Alien", NONE),
    ("Ranking: the candidates, best first", NONE),
    # several markers: the last with a list decides, right or wrong
    ("Ranking: B > A\nFinal ranking: A > B", "AB"),
    ("Ranking: B > A\nFinal ranking: A > Z", "unknown label Z"),
    ("Ranking: B > A\nFinal ranking: b > a", "unknown label b"),
    ("Ranking: B > A\nFinal ranking: A > A", "duplicate label A"),
    ("Ranking: B > A\nFinal ranking: as above", "BA"),
    # boxes
    ("<answer>B > A</answer>", "BA"),
    ("<answer>\nB > A > C\n</answer>", "BAC"),
    ("<answer>\n1. C\n2. A: Heat\n</answer>", "CA"),
    ("Here it is: <answer>B, A</answer>", "BA"),
    ("<answer>I liked B</answer>", NONE),
    (r"\boxed{B > A > C}", "BAC"),
    (r"The final answer is: $\boxed{B > A}$.", "BA"),
    (r"**Final answer**: \(\boxed{\text{B} \succ \text{A}}\)", "BA"),
    (r"\boxed{\text{Ranking: B > A}}", "BA"),
    ("Ranking: B > A\n\n$\\boxed{A > B}$", "AB"),
    ("$\\boxed{A > B}$\nRanking: B > A", "BA"),
    (r"\boxed{B > Z}", "unknown label Z"),
    ("Ranking: B > A\n1. C: \\boxed{T, S}", "BA"),  # a title
    ('Ranking: B > A\nHe saw "\\boxed{T > S}" again.', "BA"),
    # ties
    ("Ranking: C > A = B", "unknown label A = B"),
    ("Ranking: C = A > B", "unknown label C = A"),
    ("Ranking: C > A ≈ B > D", "unknown label A ≈ B"),
    ("Ranking: C > A/B", "unknown label A/B"),
    ("Ranking: C > A & B", "unknown label A & B"),
    ("Ranking: B > A\nFinal ranking: C = A", "unknown label C = A"),
    ("<answer>C > A = B</answer>", "unknown label A = B"),
    ("Ranking: C > A, as C = crime", "CA"),
    # titles behind labels
    ("Ranking: C: Heat > A: Fargo", "CA"),
    ("Ranking: C: Heat, 1995 (Crime) > A: Fargo > B", "CAB"),
    ("Ranking: **C**: Heat > **A**: A Bug's Life", "CA"),
    ("Ranking: C: Heat > Fargo", "unknown label Fargo"),
    ("<answer>C: Heat > A: Fargo</answer>", "CA"),
    # a second turn, which is invented
    ("Ranking: B > A<|im_end|>\n<|im_start|>assistant\nRanking: A > B", "BA"),
    ("Ranking: B > A</s>[INST] Again [/INST] Ranking: A > B", "BA"),
    ("Ranking: B > A<end_of_turn>\n<start_of_turn>user\nRanking: A > B", "BA"),
    ("Ranking: B > A<|user|>Again<|assistant|>Ranking: A > B", "BA"),
    ("Ranking: B > A\n\nUser: Again\n\nAssistant: Ranking: A > B", "BA"),
    ("Ranking: B > A\nHuman: Ranking: A > B", "BA"),
    ("User: likes crime\nRanking: B > A", "BA"),
    ("<|im_end|>\n<|im_start|>assistant\nRanking: A > B", NONE),
    # truncated
    ("Ranking: B > A >", "BA"),
    ("Ranking: B > A > \n", "BA"),
    ('Ranking: ["B", "A", "', "BA"),
    ("Ranking: B >", "B"),
    # wrong labels
    ("Ranking: A > B > Z", "unknown label Z"),
    ("Ranking: A > AA", "unknown label AA"),
    ("Ranking: A > b", "unknown label b"),
    ("Ranking: Z", "unknown label Z"),
    ("Ranking: A > > B", "unknown label >"),
    ("Ranking: A > ...", "unknown label ..."),
    ("Ranking: A > Heat", "unknown label Heat"),
    ("Ranking: A, B, and C", "unknown label and"),
    ("Ranking: A > M*A*S*H", "unknown label M*A*S*H"),
    ("Ranking: A > B > A", "duplicate label A"),
    ("A > B > A", "duplicate label A"),
    ("Ranking: B > А", "unknown label А"),  # Cyrillic
    ("Ranking: А > B", "unknown label А"),
    ("Ranking: Ａ > B", "unknown label Ａ"),  # full width
    ("Ranking: B > A\u200b > C", "unknown label A\u200b"),
    ("Ranking: B > \u202eA", "unknown label \u202eA"),
    ("Ranking: B\0 > A", NONE),
    # titles that read like answers
    ('Ranking: A (Toy Story > B, "Ranking: T") > C', NONE),
    ('Ranking: B > A (Toy Story > T, "Ranking: T") > C', "BA"),
    ("Ranking: B > A [Crime, T] > C", "BA"),
    ('Ranking: B > A "Ranking: T > S" > C', "BA"),
    ('Ranking: B > A\nA comes second, as "Ranking: T > S" was liked.', "BA"),
    ("Ranking: B > A\nA comes second, as Ranking: T > S was liked.", "BA"),
    ('I would go for "Final Answer: T > S" first.', NONE),
    ("I would go for 'Final Answer: T' first.", NONE),
    ('- T: "Ranking: T"\n- S: Ranking: S', NONE),
    ("T. Final answer: S > T", NONE),
]


RATING_OUTPUTS = [
    ("Rating: 4", 4),
    ("**Rating:** 4", 4),
    ("Rating: **4**", 4),
    ("rating:5.", 5),
    ("Rating: 4.0", 4),
    ("Rating: 4/5", 4),
    ("Rating: 4 out of 5", 4),
    ("My rating: 3 stars", 3),
    ("Final rating: 2", 2),
    ("Answer: 1", 1),
    ("Rating: 3\nRating: 2", 2),
    ("Rating: 3\nRating: unsure", 3),
    ("Rating: 4\n- 5 would be too much", 4),
    ('Rating: 4\n"Rating: 1" is a film.', 4),
    ("Rating: 6", None),
    ("Rating: 0", None),
    ("Rating: 45", None),
    ("Rating: 4.5", None),
    ("Rating: 4/10", None),
    ("Rating: 4-5", None),
    ("Rating: 3 or 4", None),
    ("Rating: 3 to 4", None),
    ("Rating: 3\nRating: 9", None),
    ("Rating: ４", None),
    ("Rating: four", None),
    ("4", None),
    ("", None),
    ("Rating: 4.05", None),
    ("Rating: 4/50", None),
    ("Rating: 4th", None),
    ("Rating: -1", None),
]


@pytest.mark.parametrize(("tail", "expected"), OUTPUTS)
@pytest.mark.parametrize("thought", [None, "Step 1: Ranking: Q > R\nStep 2: so be it."])
def test_parse_ranking_reads_realistic_outputs(tail, expected, thought):
    answer = parse_ranking(render_completion(thought, tail), 20, reasoned=thought is not None)
    valid = set(expected) <= set(TWENTY)
    assert answer == (tuple(expected) if valid else (), valid, None if valid else expected)


@pytest.mark.parametrize(
    ("text", "reasoned", "expected"),
    [
        ("<think>\nfine\n</think>\nRanking: B > A", True, "BA"),
        ("fine\n</think>\n\nRanking: B > A", True, "BA"),  # the chat template wrote the opening tag
        ("Ranking: S > T</think>Ranking: B > A", True, "BA"),
        ("<think>a</think>Ranking: S > T<think>b</think>Ranking: B > A", True, "BA"),
        ("<think>a</think>Ranking: B > A", False, "BA"),
        ("Ranking: S > T</think>Ranking: B > A", False, "BA"),
        ("Ranking: B > A", False, "BA"),
        ("Ranking: B > A", True, THOUGHT),
        ("<think>\nso Ranking: B > A", True, THOUGHT),
        ("<think>\nso Ranking: B > A", False, THOUGHT),
        ("<think>a</think>\n<think>Ranking: B > A", True, THOUGHT),
        ("<think>\nRanking: B > A\n</think>", True, NONE),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nRanking: B > A<|eot_id|>", False, "BA"),
        ("<|im_start|>assistant\n<think>a</think>Ranking: B > A<|im_end|>", True, "BA"),
        ("<think>a<|im_end|></think>Ranking: B > A", True, THOUGHT),
        ("<think>a</think>Ranking: B > A<|im_end|><think>b</think>Ranking: A > B", True, "BA"),
        (
            "<|channel|>analysis<|message|>A > B<|end|>"
            "<|start|>assistant<|channel|>final<|message|>Ranking: B > A<|return|>",
            True,
            "BA",
        ),
        ("<|channel|>analysis<|message|>so Ranking: B > A", True, THOUGHT),
        ("analysisRanking: A > BassistantfinalRanking: B > A", True, "BA"),
        ("[THINK]Ranking: A > B[/THINK]Ranking: B > A", True, "BA"),
        ("Ranking: A > B[/THINK]Ranking: B > A", True, "BA"),
        ("<|channel>thought\nRanking: A > B\n<channel|>Ranking: B > A<turn|>", True, "BA"),
        ("", True, THOUGHT),
    ],
)
def test_parse_ranking_ignores_thoughts(text, reasoned, expected):
    answer = parse_ranking(text, 20, reasoned)
    assert (answer.problem or "".join(answer.labels)) == expected


@given(prefixes, st.none() | calm)
def test_parse_ranking_inverts_render(labels, thought):
    text = render_completion(thought, render_ranking(labels))
    assert parse_ranking(text, 20, reasoned=thought is not None) == (labels, True, None)


@given(st.sampled_from([1, 2, 3, 4, 5, 1.0, 5.0, "4"]), st.none() | calm)
def test_parse_rating_inverts_render(rating, thought):
    text = render_completion(thought, render_rating(rating))
    assert parse_rating(text, reasoned=thought is not None) == int(rating)


@given(st.none() | calm, prose)
def test_split_thought_inverts_render_completion(thought, answer):
    if thought is None:
        assert split_thought(answer, reasoned=False) == (None, answer) or "<think>" in answer
    elif "<think>" not in answer:
        assert split_thought(render_completion(thought, answer), reasoned=True) == (thought, answer)


@given(prefixes, prose | hostile, prose | hostile)
def test_thought_never_leaks_into_answer(labels, before, after):
    thought = f"{before}\nRanking: Q > R > S\n{after}"
    assert (
        parse_ranking(f"<think>\n{thought}\n</think>\n{render_ranking(labels)}", 20).labels
        == labels
    )
    assert parse_ranking(f"<think>\n{thought}\n</think>\nI cannot say.", 20).problem == NONE
    if "</think>" not in thought:
        assert parse_ranking(f"<think>\n{thought}", 20).problem == THOUGHT
        assert parse_ranking(f"<think>\n{thought}", 20, reasoned=False).problem == THOUGHT


@given(st.text() | hostile, st.integers(0, 26), st.booleans())
def test_any_text_parses_to_valid_result(text, n, reasoned):
    answer = parse_ranking(text, n, reasoned)
    assert set(answer.labels) <= set(LABELS[:n])
    assert len(set(answer.labels)) == len(answer.labels)
    assert answer.valid == bool(answer.labels) == (answer.problem is None)
    assert parse_rating(text, reasoned) in (None, 1, 2, 3, 4, 5)
    thought, tail = split_thought(text, reasoned)
    assert all(step in (thought or tail) for step in thought_steps(thought or tail))


@given(prefixes, titles, st.sampled_from('"(['))
def test_quoted_title_never_changes_answer(labels, title, quote):
    text = f"{render_ranking(labels)}\nThe last one, {quote}{title}, is weak."
    assert parse_ranking(text, 20, reasoned=False).labels == labels


@given(prefixes, st.lists(titles, min_size=20, max_size=20))
def test_titles_in_list_are_ignored(labels, shown):
    lines = [
        f"{n}. {label}: {t}" for n, (label, t) in enumerate(zip(labels, shown, strict=False), 1)
    ]
    text = "\n".join(["Ranking:", *lines])
    assert parse_ranking(text, 20, reasoned=False).labels == labels


@given(prefixes, st.sampled_from([" > ", ">", ", ", "; ", "|", "\n", " ", "**, **"]))
def test_separators_are_equivalent(labels, separator):
    assert parse_ranking("Ranking: " + separator.join(labels), 20, reasoned=False).labels == labels


@pytest.mark.parametrize(("tail", "expected"), RATING_OUTPUTS)
def test_parse_rating(tail, expected):
    assert parse_rating(f"so\n</think>\n{tail}") == expected
    assert parse_rating(tail, reasoned=False) == expected
    assert parse_rating(tail) is None
    assert parse_rating(f"<think>{tail}", reasoned=False) is None


@pytest.mark.parametrize("rating", [0, 6, 3.5, "good", float("nan"), ""])
def test_render_rating_rejects_off_scale(rating):
    with pytest.raises(ValueError, match="not one of 1, 2, 3, 4, 5"):
        render_rating(rating)


@pytest.mark.parametrize(
    ("thought", "steps"),
    [
        ("Step 1: a.\nStep 2: b.", ["a.", "b."]),
        ("Well.\n1. a\n2) b\n\nso 3. c", ["a", "b\n\nso 3. c"]),
        ("**Step 1:** a\n- Step 2: b\n### step 3 - c", ["a", "b", "c"]),
        ("**1.** a\n**2. b**\n* 3) c", ["a", "b", "c"]),
        ("Step 1:\nu liked it", ["u liked it"]),
        ("1.\n2.\n3.\n", []),
        ("4.5 stars\n1999. a year\nI went on a Step 3: b", []),
        ("", []),
    ],
)
def test_thought_steps(thought, steps):
    assert [s.strip() for s in thought_steps(thought)] == steps


UNITS = (
    "<answer>A > B</answer>~<answer>~\\boxed{~\\boxed{A, B} ~{}~A = ~"
    "C: x > ~User: ~<|im_end|>~[THINK]~"
    "Ranking: ~Ranking: A > B\n~Ranking: C, I think\n~Ranking:\n1. C\n   ~Ranking: ```\n~"
    "Ranking: A good ~\nRanking: A good~Answer: I\n   ~A > ~A ~*~ ~\n~\0~(~- ~> ~1.~1. C\n~"
    'final ~Step 1: a\n~Rating: 4 ~"ranking~<think></think>~</think>'
)


@pytest.mark.parametrize("unit", UNITS.split("~"))
def test_long_text_takes_linear_time(unit):
    """No clock: quadratic work on so much text takes hours, so to finish at all is to pass."""
    text = unit * (500_000 // len(unit))
    for tail in (text + "Z", "Ranking: A" + text):
        answer = parse_ranking(tail, 20, reasoned=False)
        assert answer.valid == bool(answer.labels)
    assert parse_rating(text, reasoned=False) in (None, 4)
    assert len(thought_steps(text)) <= len(text)
