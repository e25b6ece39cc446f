"""Print the names of all packages that the project and its tests need, without versions."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
lines = project["dependencies"] + project["optional-dependencies"]["dev"]
names = {re.match(r"[\w.-]+", line)[0] for line in lines} - {"torch"}
print(*sorted(names))
