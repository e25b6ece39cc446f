"""Names for readers."""

from hypothesis import given
from hypothesis import strategies as st

from r2rec.report.naming import PUBLISHED, SIZES, arm_names, variant_text
from r2rec.report.records import published_rows


def arm(method: str, variant: str = "", trained: str = "toy") -> dict[str, str]:
    return {"method": method, "variant": variant, "dataset": "toy", "train_dataset": trained}


def test_an_arm_is_called_by_as_little_as_sets_it_apart() -> None:
    arms = [
        arm("popularity"),
        arm("R2Rec without RL", "sft"),
        arm("R2Rec", "sft+rl"),
        arm("R2Rec", "sft+rl, noise=flip"),
        arm("R2Rec", "rl"),
        arm("R2Rec", "sft+rl", "ml_1m"),
    ]
    assert arm_names(arms) == [
        "popularity",
        "R2Rec without RL",
        "R2Rec, after SFT and RL",
        "R2Rec, noise=flip",
        "R2Rec, after RL alone",
        "R2Rec, trained on ml_1m",
    ]
    assert arm_names([arm("R2Rec", "sft+rl"), arm("R2Rec", "sft+rl, noise=flip")]) == [
        "R2Rec",
        "R2Rec, noise=flip",
    ]
    assert variant_text("sft, a=1, b=2") == "after SFT, a=1, b=2"


texts = st.sampled_from(["", "sft", "rl", "sft+rl", "sft, a=1", "sft, a=2", "rl, a=1"])


@given(st.sets(st.tuples(st.sampled_from("ab"), texts, st.sampled_from(["toy", "ml_1m"]))))
def test_no_two_arms_have_one_name(arms: set[tuple[str, str, str]]) -> None:
    names = arm_names([arm(*one) for one in sorted(arms)])
    assert len(set(names)) == len(arms)


def test_every_row_of_the_paper_has_a_name_in_words() -> None:
    rows = published_rows("ml_1m")
    for row in rows:
        assert ":" not in PUBLISHED.get(row["method"], row["method"])
    assert set(SIZES) - {"R2Rec", *PUBLISHED} <= {row["method"] for row in rows}
