"""Draw differences.csv, the paired differences that README.md tells, as differences.svg.

python experiments/evidence/picture.py
"""

from pathlib import Path

import polars as pl

from r2rec.results.plots import differences_picture

HERE = Path(__file__).parent


def main() -> None:
    """Draw the picture beside its table."""
    differences = pl.read_csv(HERE / "differences.csv")
    differences_picture(differences).save(HERE / "differences.svg")


if __name__ == "__main__":
    main()
