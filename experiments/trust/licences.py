"""The licence of every pinned package, from its own metadata, as a Markdown table.

python experiments/trust/licences.py >experiments/trust/licences.md
"""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LENGTH = 60  # of a licence that is taken from a free text
CLASSIFIER = "License :: "

# In requirements.lock: "numpy==2.4.6 \"
PIN = re.compile(r"^([\w.-]+)==(\S+) \\$", re.MULTILINE)
# In the Makefile: "TORCH  := 2.13.0"
TORCH_PIN = re.compile(r"^(TORCH) +:= (\S+)$", re.MULTILINE)


def licence(package: str) -> str:
    """An SPDX expression if the package has one, else its classifiers, else a line of its text."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return "(not installed here)"
    expression = told.get("License-Expression")
    if expression:
        return expression
    names = []
    for classifier in told.get_all("Classifier", []):
        name = classifier.rpartition(" :: ")[2]
        if classifier.startswith(CLASSIFIER) and name != "OSI Approved":
            names.append(name)
    if names:
        return ", ".join(names)
    first_line = (told.get("License") or "").strip().split("\n")[0]
    return first_line[:MAX_LENGTH] or "(none told)"


def pins() -> list[tuple[str, str]]:
    """(package, version) of all pinned packages, sorted."""
    locked = PIN.findall((ROOT / "requirements.lock").read_text())
    torch = TORCH_PIN.findall((ROOT / "Makefile").read_text())
    return sorted((name.lower(), version) for name, version in locked + torch)


def main() -> None:
    print("| package | version | licence |")
    print("| --- | --- | --- |")
    for name, version in pins():
        print(f"| {name} | {version} | {licence(name).replace('|', '/')} |")


if __name__ == "__main__":
    main()
