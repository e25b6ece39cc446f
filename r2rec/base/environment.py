"""Which keys of a configuration may read the environment (`${oc.env:NAME}`), and what of it.

Names and texts are printed and stored, so they could tell what is nobody's business. Folders and
addresses differ between machines, so they may come from there.
"""

import os
import re
from typing import Any

from omegaconf import Node, OmegaConf
from omegaconf.resolvers import oc

from r2rec.base.errors import R2RecError
from r2rec.base.provenance import SECRET_NAME
from r2rec.config.run import Config

KEYS = re.compile(
    r"artefacts|roots\..+|(dataset|train_on)\.root|(.+\.)?model\.(path|adapter|tiny\.start)"
    r"|prompt\.template|(.+\.)?endpoint\.base_url|hydra\..+"
)
_MISSING = object()


def guard_environment() -> None:
    """Put `read` in the place of OmegaConf's own resolver."""
    OmegaConf.register_new_resolver("oc.env", read, replace=True)


def read(name: str, default: Any = _MISSING, *, _node_: Node) -> str | None:
    """The value of an environment variable, for the key that holds the interpolation.

    Raises:
        R2RecError: The key may not read the environment, the name is that of a secret, or there is
            neither such a variable nor a default.
    """
    if OmegaConf.get_type(_node_._get_root()) is not Config:  # of another program
        return oc.env(name) if default is _MISSING else oc.env(name, default)
    key = str(_node_._get_full_key(None))
    if not KEYS.fullmatch(key):
        raise R2RecError(
            f"{key} cannot be read from the environment: only folders, model.path, "
            "prompt.template and endpoint.base_url can; write the value itself"
        )
    if SECRET_NAME.search(name):
        raise R2RecError(
            f"{key} asks for the environment variable {name}, which is named like a secret: "
            "configurations are stored and printed"
        )
    if name in os.environ:
        return os.environ[name]
    if default is _MISSING:
        raise R2RecError(f"{key} asks for the environment variable {name}, which is not set")
    return None if default is None else str(default)
