"""R2Rec: reason over interaction chains, then recommend. `r2rec/pipeline.py` is the table of contents."""

__version__ = "0.1.0"
