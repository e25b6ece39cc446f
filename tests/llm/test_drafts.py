"""Guesses at what comes next."""

from hypothesis import given
from hypothesis import strategies as st

from r2rec.llm.drafts import LONGEST, Draft

TOKENS = st.lists(st.integers(0, 5), max_size=60)


def passes(draft, text, most=1000):
    """How many passes write `text`, and the longest guess; every guess is followed as it is by
    `speculative.write`: its right tokens and one more."""
    count = 0
    place = 0
    longest = 0
    while place < len(text):
        guess = draft.ahead(most)
        longest = max(longest, len(guess))
        right = 0
        while right < len(guess) and text[place + right : place + right + 1] == [guess[right]]:
            right += 1
        new = text[place : place + right + 1]
        draft.follow(new)
        place += len(new)
        count += 1
    return count, longest


def test_expected_text_is_guessed_in_long_pieces():
    text = [n % 7 for n in range(330)]
    assert passes(Draft(text, [9, 9]), text) == (330 // (LONGEST + 1), LONGEST)


def test_nothing_is_guessed_where_nothing_is_known():
    assert Draft([], [1, 2, 3]).ahead(10) == []


def test_text_that_repeats_its_prompt_is_found_there():
    quoted = list(range(100, 200))
    draft = Draft([], [1, 2, *quoted, 3])
    count, _ = passes(draft, [7, *quoted])
    assert count < 15


def test_deviation_is_left_behind():
    text = list(range(200))
    other = [*text[:50], 999, *text[51:]]
    alike, _ = passes(Draft(text, []), text)
    apart, _ = passes(Draft(text, []), other)
    assert alike <= apart <= alike + 1


def test_other_words_for_the_same_cost_a_pass_or_two_each():
    text = list(range(300))
    other = [1000 + token if token % 30 == 29 else token for token in text]
    count, _ = passes(Draft(text, []), other)
    assert count <= 3 * 10


def test_a_word_that_stands_elsewhere_too_is_no_place_to_go_on():
    text = [*range(100), 500, *range(200, 300)]
    other = [*text[:50], 500, *text[51:]]
    alike, _ = passes(Draft(text, []), text)
    apart, _ = passes(Draft(text, []), other)
    assert apart <= alike + 1


def test_no_more_is_guessed_than_asked_for():
    assert Draft([1, 2, 3], []).ahead(2) == [1, 2]
    assert Draft([1, 2, 3], []).ahead(0) == []


@given(expected=TOKENS, prompt=TOKENS, text=TOKENS)
def test_any_text_can_be_followed(expected, prompt, text):
    count, longest = passes(Draft(expected, prompt), text)
    assert count <= len(text)
    assert longest <= LONGEST
