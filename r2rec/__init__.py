"""R2Rec: reason over interaction chains, then recommend.

`r2rec/pipeline.py` is the method as a table; start reading there.
"""

__version__ = "0.2.0"
