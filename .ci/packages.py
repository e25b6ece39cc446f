"""Print the packages that the project and its tests need, without versions; or those of an extra.

python .ci/packages.py [EXTRA]
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
if sys.argv[1:]:
    print(*extras[sys.argv[1]])
else:
    lines = project["dependencies"] + extras["dev"]
    names = {re.match(r"[\w.-]+", line)[0] for line in lines} - {"torch"}
    print(*sorted(names))
