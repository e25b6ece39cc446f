"""Coverage-guided fuzzing of everything that reads foreign bytes. Needs `pip install atheris`.

    python experiments/trust/fuzz.py TARGET -max_total_time=120 -timeout=20 -rss_limit_mb=2048

Targets: ml_1m, ml_100k, movielens, amazon, csv, events, recbole, answer, audit, config, reply,
template, commands. Only R2RecError may come up. Any other error stops the fuzzer, as does an input
that takes 20 s or 2 GB; the input is kept as crash-*.
"""

import gzip
import io
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
os.environ.setdefault("POLARS_MAX_THREADS", "1")
with atheris.instrument_imports(include=["r2rec"]):
    from r2rec import config
    from r2rec.base.errors import R2RecError
    from r2rec.commands import COMMANDS
    from r2rec.config.place import CONF
    from r2rec.data import amazon, movielens, own
    from r2rec.data.interactions import index
    from r2rec.execution.rules import checked_config
    from r2rec.llm.completions import believed, read_completion
    from r2rec.prompts.answer import parse_ranking, parse_rating, thought_steps
    from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
    from r2rec.prompts.own_templates import render_own
    from r2rec.thoughts.audit import RULES, audit

from samples import (  # noqa: E402 beside this file
    AMAZON,
    CSV,
    EVENTS,
    ML_1M,
    ML_100K,
    MOVIELENS,
    ODD_BYTES,
    OVERRIDE_PREFIXES,
    OVERRIDE_VALUES,
    OWN_NAMES,
    PIECES,
    RECBOLE,
    REPLY,
    RUN_FILES,
    SMALL,
    TEMPLATE_PIECES,
)

Data = atheris.FuzzedDataProvider
Target = Callable[[Data], None]

SHARED_MEMORY = Path("/dev/shm")
FOLDER = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
MAX_FILE_BYTES = 200_000
MAX_CHANGES = 4  # of one file
MAX_MESSAGE = 2000  # characters of an error message
MAX_CANDIDATES = 26
MAX_OVERRIDES = 3


def damaged(data: Data, content: bytes) -> bytes:
    """The content with some parts replaced, repeated, removed or moved."""
    for _ in range(data.ConsumeIntInRange(0, MAX_CHANGES)):
        begin, end = sorted(data.ConsumeIntInRange(0, len(content)) for _ in range(2))
        odd = ODD_BYTES[data.ConsumeIntInRange(0, len(ODD_BYTES) - 1)]
        choices = (odd, data.ConsumeBytes(8), content[begin:end] * 2, b"", content)
        replacement = choices[data.ConsumeIntInRange(0, len(choices) - 1)]
        content = content[:begin] + replacement + content[end:]
        content = content[:MAX_FILE_BYTES]
    return content


def reader_target(
    read: Callable[..., Any],
    files: Mapping[str, bytes],
    category: str | None = None,
    **params: str,
) -> Target:
    """Reads damaged files.

    Args:
        read: A reader of `r2rec.data`.
        files: Name -> sound content.
        category: Of Amazon Reviews, whose files may also be packed.
        params: Further ones of the reader.
    """

    def target(data: Data) -> None:
        for name, content in files.items():
            content = damaged(data, content)
            if category and data.ConsumeBool():
                content = gzip.compress(content, 1)
                if data.ConsumeBool():
                    content = damaged(data, content)
            (FOLDER / name).write_bytes(content)
        try:
            index(read(FOLDER, category, **params))
        except R2RecError as error:
            check_line(error)

    return target


def check_line(error: Exception) -> None:
    """Raise AssertionError where a message is no line, or a very long one."""
    message = str(error)
    if "\n" in message or len(message) > MAX_MESSAGE:
        raise AssertionError(message) from error


def random_text(data: Data) -> str:
    """A text of pieces that mean something to the parsers, and of random ones."""
    words = []
    while data.remaining_bytes():
        number = data.ConsumeIntInRange(0, len(PIECES) + 3)
        if number < len(PIECES):
            words.append(PIECES[number])
        else:
            words.append(data.ConsumeUnicode(6))
    return " ".join(words)


def answer_target(data: Data) -> None:
    """Parses texts as answers."""
    n_candidates = data.ConsumeIntInRange(0, MAX_CANDIDATES)
    reasoned = data.ConsumeBool()
    text = random_text(data)
    answer = parse_ranking(text, n_candidates, reasoned)
    assert len(set(answer.labels)) == len(answer.labels)
    assert set(answer.labels) <= set(LABELS[:n_candidates])
    assert answer.valid == bool(answer.labels) == (answer.problem is None)
    assert parse_rating(text, reasoned) in (None, 1, 2, 3, 4, 5)
    thought_steps(text)


def random_item(data: Data) -> Item:
    if data.ConsumeBool():
        title = PIECES[data.ConsumeIntInRange(0, len(PIECES) - 1)]
    else:
        title = data.ConsumeUnicode(8)
    return Item(title, (data.ConsumeUnicode(4), "Crime"))


def audit_target(data: Data) -> None:
    """Audits texts as traces of random cases."""
    item1 = random_item(data)
    item2 = random_item(data)
    chain = Chain(item1, 5, 4, 3, item2, data.ConsumeIntInRange(1, 5))
    case: RatingCase | RankingCase
    if data.ConsumeBool():
        case = RatingCase(data.ConsumeUnicode(5), chain)
        truth = str(data.ConsumeIntInRange(1, 5))
    else:
        n_candidates = data.ConsumeIntInRange(1, 4)
        candidates = tuple(random_item(data) for _ in range(n_candidates))
        case = RankingCase(None, candidates[:1], (chain,), candidates)
        truth = LABELS[data.ConsumeIntInRange(0, n_candidates - 1)]
    text = random_text(data)
    middle = len(text) // 2
    reasons = audit(case, text[:middle], text[middle:], truth)
    assert all(reason.partition(":")[0] in RULES for reason in reasons)


def config_target() -> Target:
    """Applies overrides, valid and invalid ones, to the configuration of `+experiment=smoke`."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from r2rec.report.labels import flat

    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        base = compose("config", ["+experiment=smoke"])  # once: composing is slow
    keys = sorted(key.lstrip(".") for key in flat(OmegaConf.to_container(base), ""))
    parser = OverridesParser.create()

    def target(data: Data) -> None:
        overrides = []
        for _ in range(data.ConsumeIntInRange(1, MAX_OVERRIDES)):
            overrides.append(random_override(data, keys))
        try:
            cfg = base.copy()
            ConfigLoaderImpl._apply_overrides_to_config(parser.parse_overrides(overrides), cfg)
            checked_config(cfg)
            OmegaConf.to_container(cfg, resolve=True)
        except (R2RecError, HydraException, OmegaConfBaseException):
            pass
        except Exception as error:
            # An error of OmegaConf's own; `__main__` reports it in one line.
            if "reference_type=Optional" in str(error):
                return
            print("overrides:", overrides)
            raise

    return target


def random_override(data: Data, keys: list[str]) -> str:
    """A key, rarely misspelt, with an odd value or a random text."""
    key = keys[data.ConsumeIntInRange(0, len(keys) - 1)]
    if data.ConsumeIntInRange(0, 9) == 0:
        key += data.ConsumeUnicodeNoSurrogates(3)
    number = data.ConsumeIntInRange(0, len(OVERRIDE_VALUES))
    if number < len(OVERRIDE_VALUES):
        value = OVERRIDE_VALUES[number]
    else:
        value = data.ConsumeUnicodeNoSurrogates(10)
    prefix = OVERRIDE_PREFIXES[data.ConsumeIntInRange(0, len(OVERRIDE_PREFIXES) - 1)]
    return f"{prefix}{key}={value}"


def reply_target(data: Data) -> None:
    """Reads a damaged reply of an endpoint; whatever it says, no answer costs nothing."""
    try:
        completion = read_completion(damaged(data, REPLY))
    except ValueError as error:
        check_line(error)
        return
    completion.text.encode()
    for count in (completion.prompt_tokens, completion.completion_tokens):
        assert 1 <= believed(count, completion.text, 100) <= len(completion.text) * 4 + 100


def template_target(data: Data) -> None:
    """Renders a template made of pieces that mean something, and of random ones."""
    parts = []
    while data.remaining_bytes():
        number = data.ConsumeIntInRange(0, len(TEMPLATE_PIECES) + 2)
        known = number < len(TEMPLATE_PIECES)
        parts.append(TEMPLATE_PIECES[number] if known else data.ConsumeUnicodeNoSurrogates(6))
    file = FOLDER / "mine.j2"
    file.write_text("".join(parts), encoding="utf-8")
    try:
        render_own(str(file), {"case": {"history": ["a", "b"]}, "labels": LABELS})
    except R2RecError as error:
        check_line(error)


def commands_target() -> Target:
    """Commands on a run whose files are damaged."""
    import r2rec
    from r2rec.base.jobs import imported

    run = str(FOLDER / "runs" / "one")
    made = r2rec.run([*SMALL, f"artefacts={FOLDER}/store", f"hydra.run.dir={run}"])
    sound = {name: (made.folder / name).read_bytes() for name in RUN_FILES}
    calls = (
        ("runs", "--in", str(FOLDER / "runs")),
        ("show", run),
        ("show", run, "--user", "0"),
        ("show", run, "--json"),
        ("compare", run),
        ("compare", run, run, "--every"),
    )

    def target(data: Data) -> None:
        for name, content in sound.items():
            (made.folder / name).write_bytes(damaged(data, content))
        command, *words = calls[data.ConsumeIntInRange(0, len(calls) - 1)]
        try:
            with redirect_stdout(io.StringIO()):
                imported(COMMANDS[command].run)(words)
        except R2RecError as error:
            check_line(error)

    return target


TARGETS: dict[str, Callable[[], Target]] = {
    "ml_1m": lambda: reader_target(movielens.read_ml_1m, ML_1M),
    "ml_100k": lambda: reader_target(movielens.read_ml_100k, ML_100K),
    "movielens": lambda: reader_target(movielens.read_movielens, MOVIELENS),
    "csv": lambda: reader_target(own.read_csv, CSV, **OWN_NAMES),
    "events": lambda: reader_target(own.read_csv, EVENTS, **OWN_NAMES),
    "recbole": lambda: reader_target(own.read_recbole, RECBOLE),
    "amazon": lambda: reader_target(amazon.read_amazon, AMAZON, "Toys"),
    "answer": lambda: answer_target,
    "audit": lambda: audit_target,
    "config": config_target,
    "reply": lambda: reply_target,
    "template": lambda: template_target,
    "commands": commands_target,
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]()
    atheris.Setup(sys.argv, lambda content: target(Data(content)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
