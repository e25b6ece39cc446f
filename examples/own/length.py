"""A diagnostic: the length of right and of wrong answers."""

from numpy.random import Generator

from r2rec.evaluate.diagnostics import DiagnosedArm, Diagnosis


def length(arm: DiagnosedArm, rng: Generator) -> Diagnosis:
    """A row for right and one for wrong answers: how many, and their mean length."""
    lengths: dict[str, list[int]] = {"right": [], "wrong": []}
    for reply, positive in zip(arm.replies, arm.positive, strict=True):
        is_right = reply.order[:1] == (positive,)
        lengths["right" if is_right else "wrong"].append(len(reply.text))
    rows = []
    for name, found in lengths.items():
        mean = sum(found) / len(found) if found else None
        rows.append({"answers": name, "how many": len(found), "characters": mean})
    return Diagnosis(rows, {"share right": len(lengths["right"]) / len(arm.replies)})
