"""The licence of every pinned package, as it says itself: Markdown on the standard output.

python experiments/trust/licences.py >experiments/trust/licences.md
"""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def licence(name: str) -> str:
    """What a package's metadata tells: an SPDX expression, else its classifiers, else the first line of its text."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return "(not installed here)"
    if expression := told.get("License-Expression"):
        return expression
    classes = [
        c.rpartition(" :: ")[2]
        for c in told.get_all("Classifier", [])
        if c.startswith("License :: ")
    ]
    first = (told.get("License") or "").strip().split("\n")[0]
    return ", ".join(c for c in classes if c != "OSI Approved") or first[:60] or "(none told)"


if __name__ == "__main__":
    print("| package | version | licence |\n| --- | --- | --- |")
    torch = re.findall(r"^(TORCH) +:= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pins = (
        re.findall(r"^([\w.-]+)==(\S+) \\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
        + torch
    )
    for name, version in sorted((name.lower(), version) for name, version in pins):
        print(f"| {name} | {version} | {licence(name).replace('|', '/')} |")
