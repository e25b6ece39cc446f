"""Each pattern of the audit's lexicon: what it matches, and what it must not match."""

import re

import pytest

from r2rec.thoughts import lexicon, reading, teacher

# pattern -> what it must find whole, and what it must find nothing in; both separated by "|"
EXAMPLES = {
    "STEP_HEADING": ("Step 1:|**Step 2.|3.|4)|- step 12 –", "the step 1:|4.5|1999 a|Step one:"),
    "CLAUSE_END": (".|;|!|\n|but|whereas|Although", "4.5|button"),
    "MENTION": ("step 2|Chain #3|neighbour 1|steps 1, 3 and 4|chains 1-2", "the step|stepson 2"),
    "NUMBER_RANGE": ("1-5|2 to 4|2 – 4", "1, 5|1 and 5"),
    "POINTS_AHEAD": (
        "as we will see|what I'll later show|next step|later steps|explained below|as will be",
        "the step before|as I see it",
    ),
    "WAS_TOLD": (
        "correct answer|true rating|the answer must|ground truth|held-out|Ranking:|Final rating:|"
        "actually chose|next purchase was|as told|I was told|"
        "knowing the outcome|we know their true answer",
        "as told by step 1|a positive sign|we do not know the outcome",
    ),
    "FORETELLS": ("in the end they|In the end, the user|user later went on to", "they went on"),
    "PERSON": ("user|they|She", "neighbour|theyre"),
    "NOT_THE_USERS": ("neighbour|whether|If", "user|iffy"),
    "UNNAMED_ITEM": ("it|this one|that one|the next", "item|this movie"),
    "FIRST_ITEM": ("item 1|first movie|first one", "item 2|first of all"),
    "PREDICTS": ("expect|would|conclu|likely", "rated|liked"),
    "DENIAL": ("no|rather than|never|n't|n’t", "note|know"),
    "RATING": ("4|3.5|1", "1995|25-34|3rd|50%|#4|6"),
    "NOT_RATING": (
        "step 2|Chain #1|top 3|#4|item 2|above 3|2 genres|1 more point|3 =",
        "gave 4|3 stars|above 4",
    ),
    "RATES": ("gave|Rated|stars|user gives|they also give", "forgave|gives"),
    "COUNTS": ("average|sum|in all|score", "overall|assume"),
    "BOUND": ("at least 4|above 3|4 or more|1 and 5", "4 stars|1 and all"),
    "VERDICT_WORD": (
        "liked|enjoyed|loves|favourable|top marks|thrilled|adores|appreciated|above average|"
        "highly rated|rated it highly|indifferent|moderately|so-so|dislikes|lowest score|"
        "unimpressed|low rating|below-average",
        "like|rated|high",
    ),
    "DENIES_NEXT": ("not |n't really |never quite ", "not|another "),
    "LABEL": (
        "candidate B|candidate b|options C|(c)|B|A",
        "candidate a|candidate's|A comedy|B's|B-side",
    ),
    "LIST_POINT": ("(a)|(z)", "f(x)|(ab)"),
    "QUOTED": ('"Heat (1995)"|“Heat”', '"A"|Heat'),
    "GENRE": ("comedies|Sci-Fi|westerns|drama|musical", "opera|musical instruments|comedian"),
    "DECADE": ("1990s|the 90s|the ’80s", "1995|in 90s"),
    "YEAR": ("1995|2009|1899", "1990s|2195"),
}


def compiled(name: str) -> re.Pattern[str]:
    return re.compile(getattr(lexicon, name))


@pytest.mark.parametrize("name", EXAMPLES)
def test_pattern_matches_its_examples(name: str) -> None:
    pattern = compiled(name)
    wanted, unwanted = EXAMPLES[name]
    for text in wanted.split("|"):
        match = pattern.search(text)
        assert match, text
        assert match[0] == text
    for text in unwanted.split("|"):
        assert not pattern.search(text), text


@pytest.mark.parametrize(
    ("text", "group"),
    [("liked", "like"), ("would like", "like"), ("average", "neutral"), ("hated", "dislike")],
)
def test_verdict_word_names_its_group(text: str, group: str) -> None:
    match = lexicon.VERDICT_WORD.search(text)
    assert match
    assert match.lastgroup == group


def test_name_stands_in_the_middle_of_a_sentence() -> None:
    for text, name in (
        ("They gave Titanic a 5", "Titanic"),
        ("and rated Wizard of Oz 4", "Wizard of Oz"),
    ):
        match = lexicon.NAME.search(text)
        assert match
        assert match[1] == name
    assert not lexicon.NAME.search("Titanic was liked")


def test_every_pattern_has_examples() -> None:
    patterns = {name for name, value in vars(lexicon).items() if isinstance(value, re.Pattern)}
    assert patterns <= {*EXAMPLES, "NAME"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The second Neighbor", "The neighbour 2"),
        ("in the first chain", "in the chain 1"),
        ("the second candidate", "candidate B"),
        ("the 3rd candidate", "candidate C"),
        ("candidate #4", "candidate D"),
        ("the 40th candidate", "candidate 40"),
        ("the first candidate is C", "the first candidate is C"),
        ("a similar viewer", "a neighbour"),
        ("the target user", "the user"),
        ("the other book, with the first", "item 2, item 2"),
        ("4 out of 5, on a scale from 1 to 5", "4, on a scale from "),
        ("gave a four.", "gave a 4."),
        ("three stars", "3 stars"),
    ],
)
def test_wordings_are_made_one(text: str, expected: str) -> None:
    assert reading._in_known_words(text) == expected


@pytest.mark.parametrize(
    "line", ["Ranking: B > A", "**Final ranking:** B, A", "> Rating: 4", "Answer：B"]
)
def test_answer_line(line: str) -> None:
    assert teacher._ANSWER_LINE.match(line)
    assert not teacher._ANSWER_LINE.search(f"Step 1: the {line}")
