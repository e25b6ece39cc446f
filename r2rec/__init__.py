"""R2Rec: reason over interaction chains, then recommend.

    import r2rec

    run = r2rec.run(["baseline=popularity"])   # as `r2rec baseline=popularity` does
    run = r2rec.load("outputs/run/TIME")       # or a part of the folder's name, or "last"
    run.metrics                                # a Polars frame, a row per method
    run.rankings                               # a row per method and user
    run.case("18").prompt                      # what language models were asked for user 18
    r2rec.compare(run, "other run")            # paired differences

`r2rec/pipeline.py` is the method as a table; start reading there.
"""

__version__ = "0.2.0"

from r2rec.api import compare, load, plot_differences, run, runs
from r2rec.base.errors import R2RecError
from r2rec.results.load import Run

__all__ = [
    "R2RecError",
    "Run",
    "__version__",
    "compare",
    "load",
    "plot_differences",
    "run",
    "runs",
]
