"""Stage `regress`: the weights by which a counter adds up its numbers (`counter`).

They are those of a conditional logit: the probability of a candidate is the softmax over the scores
of all that are shown, and the weights make the positives of training targets most likely, up to a
penalty on their squares. The targets are the first of those that SFT learns from.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import get_method
from scipy.optimize import minimize
from scipy.special import log_softmax

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.chains import witness
from r2rec.chains.chain import weighed
from r2rec.chains.graph import FloatArray, IntArray
from r2rec.config import Prompt
from r2rec.config.slices import RegressSlice
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.tasks.targets import for_sft
from r2rec.tasks.training import load_source, ranking_tasks, targets
from r2rec.tuned.counter import Numbers

WEIGHTS = "weights.json"
MOST_STEPS = 1000  # of L-BFGS; a few dozen are usual
LEAST_DEVIATION = 1e-9  # a number that varies less is the same everywhere


def regress(choices: RegressSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write weights.json: name of a number -> its weight.

    Returns:
        How many targets decided, their mean log-loss, and the weights per standard deviation.

    Raises:
        R2RecError: There is no target to learn from.
    """
    samples = choices.count.samples or 0
    choices = weighed(choices, inputs)
    source = load_source(inputs["prepare"], inputs["split"])
    chosen = for_sft(targets(source, choices), samples)
    rng = seeds.generator(choices.seed, "regress")
    tasks = ranking_tasks(source, chosen, choices, rng, witness.out_of_fold(inputs))
    if not tasks:
        raise R2RecError(
            "regress: no like in the train split has enough ratings before it to learn from; "
            "give more data, or lower evaluation.min_history"
        )
    cases = [task.case for task in tasks if isinstance(task.case, RankingCase)]
    numbers = numbers_of(choices.target, choices.params, cases, choices.prompt)
    positive = np.array([LABELS.index(task.truth) for task in tasks])
    weights, loss = logit_weights(numbers, positive, choices.count.penalty)
    (work.folder / WEIGHTS).write_text(json.dumps(weights))
    notes = []
    if len(tasks) < samples:
        notes.append(f"only {len(tasks)} of count.samples={samples} targets to learn from")
    per_deviation = {name: weights[name] * float(numbers[name].std()) for name in weights}
    return {"targets": len(tasks), "loss": loss, "weights": per_deviation, "notes": notes}


def numbers_of(
    target: str, params: Mapping[str, Any], cases: Sequence[RankingCase], prompt: Prompt
) -> Numbers:
    """The numbers by which a counter ranks the candidates of these cases.

    Args:
        target: Dotted path of the counter, `(cases, prompt, **params) -> numbers`.

    Raises:
        R2RecError: A case has no evidence, or the numbers are not one for each candidate.
    """
    if not all(case.evidence for case in cases):
        raise R2RecError(
            f"{target} counts evidence chains, and a user has none: "
            "add chain_sampler=evidence prompt=evidence"
        )
    numbers: Numbers = get_method(target)(cases, prompt, **params)
    shape = (len(cases), len(cases[0].candidates))
    for name, values in numbers.items():
        if np.shape(values) != shape or not np.isfinite(values).all():
            raise R2RecError(
                f"{target}: {name} should be finite numbers, one for each of {shape[1]} candidates "
                f"of {shape[0]} cases; it has the shape {np.shape(values)}"
            )
    return numbers


def scores(numbers: Numbers, fitted: Path | None) -> FloatArray:
    """[n, k] the weighted sums of the numbers.

    Args:
        fitted: A `regress` artefact; None: all weights are 1.
    """
    weights = dict.fromkeys(numbers, 1.0)
    if fitted is not None:
        weights = json.loads((fitted / WEIGHTS).read_text())
    total = np.zeros(next(iter(numbers.values())).shape)
    for name, values in numbers.items():
        total += weights[name] * values
    return total


def logit_weights(
    numbers: Numbers, positive: IntArray, penalty: float
) -> tuple[dict[str, float], float]:
    """The weights of a conditional logit, and the mean log-loss of the positives under them.

    Args:
        positive: [n] the column of the positive.
        penalty: Of half the squared weights per standard deviation, against the summed log-loss.

    A number that is the same everywhere gets the weight 0. Its mean needs no care: what is added to
    all candidates alike changes no probability.
    """
    stacked = np.stack(list(numbers.values()), axis=2)
    deviation = stacked.std(axis=(0, 1))
    varies = deviation > LEAST_DEVIATION
    deviation = np.where(varies, deviation, 1.0)
    scaled = stacked / deviation
    row = np.arange(len(positive))
    of_positive = scaled[row, positive].sum(axis=0)

    def loss_and_slope(weights: FloatArray) -> tuple[float, FloatArray]:
        log_shares = log_softmax(scaled @ weights, axis=1)
        expected = np.einsum("nk,nkf->f", np.exp(log_shares), scaled)
        loss = -log_shares[row, positive].sum() + penalty / 2 * weights @ weights
        return float(loss), expected - of_positive + penalty * weights

    start = np.zeros(stacked.shape[2])
    found = minimize(
        loss_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS}
    )
    best: FloatArray = found.x
    log_loss = -log_softmax(scaled @ best, axis=1)[row, positive].mean()
    raw = np.where(varies, best / deviation, 0.0)
    return dict(zip(numbers, raw.tolist(), strict=True)), float(log_loss)
