"""Where the configuration groups lie."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
CONF = (
    PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
)  # wheel; checkout
