"""The one error a user can cause, and how errors are told."""


class R2RecError(Exception):
    """A mistake outside the code, told in one line: what is wrong, where, and what to do.

    `python -m r2rec` prints it as `error: ...` and exits with status 2, without a traceback.
    """


def one_line(error: Exception) -> str:
    """A message on one line; Hydra's and OmegaConf's with the cause they keep behind it, and without their advice."""
    if isinstance(error, R2RecError):
        return " ".join(str(error).split())
    if override := getattr(
        error, "override", None
    ):  # of Hydra's parser, which says where its grammar gave up
        from r2rec.base.provenance import scrubbed

        told = " ".join(scrubbed(override).split())
        name = told.partition("=")[0]
        return f"cannot read the override {told}: put the value in quotes, e.g. \"{name}='...'\""
    texts = [str(error), str(error.__cause__ or "")]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    noise = (
        "To append to your config",
        "reference_type",
        "object_type",
        "Config search path",
        "provider=",
    )
    kept = dict.fromkeys(line for line in lines if line and not line.startswith(noise))
    return "; ".join(kept)
