"""Rows of results, and texts that must not do anything on a page, for tests."""

from typing import Any

import polars as pl

from r2rec.report import records

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "</title><meta http-equiv=refresh content='0;url=//x.test'>",
    "\"><img src=//x.test onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "--><!-- ]]> &lt;b&gt; &#60;i>",
    "javascript:alert(1) $x$ \x00 \u202e \ud800",
]

LOG = pl.DataFrame(
    {
        "step": [1, 2, 3],
        "reward": [1.0, None, 2.0],
        "reward_std": [0.1, None, 0.2],
        "rewards/steps/mean": [0.5, None, 0.6],
        "kl": [0.0, 0.1, float("nan")],
        "loss": [1.0, 0.5, 0.2],
    }
)


def record(
    method: str, dataset: str = "ml_1m", value: float = 0.4, variant: str | None = None
) -> dict[str, Any]:
    metrics = dict.fromkeys(records.METRICS, value)
    ends = {name: [value - 0.03, value + 0.03] for name in records.METRICS}
    arm = {
        "method": method,
        "variant": variant or method,
        "dataset": dataset,
        "train_dataset": dataset,
        "seed": 0,
    }
    return {**arm, "n_users": 1000, **metrics, "valid_ratio": 1.0, "ci95": ends}
