"""Coverage-guided fuzzing of everything that reads foreign bytes. Needs `pip install atheris`.

    python experiments/trust/fuzz.py TARGET -max_total_time=120 -timeout=20 -rss_limit_mb=2048

Targets: ml_1m, ml_100k, amazon, answer, audit, config. Only R2RecError may come up. Any other error
stops the fuzzer, as does an input that takes 20 s or 2 GB; the input is kept as crash-*.
"""

import gzip
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("POLARS_MAX_THREADS", "1")
with atheris.instrument_imports(include=["r2rec"]):
    from r2rec import config
    from r2rec.base.errors import R2RecError
    from r2rec.config.place import CONF
    from r2rec.data import amazon, movielens
    from r2rec.data.interactions import index
    from r2rec.execution.rules import checked_config
    from r2rec.prompts.answer import parse_ranking, parse_rating, thought_steps
    from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
    from r2rec.thoughts.audit import RULES, audit

Data = atheris.FuzzedDataProvider
Target = Callable[[Data], None]

SHARED_MEMORY = Path("/dev/shm")
FOLDER = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
MAX_FILE_BYTES = 200_000
MAX_CHANGES = 4  # of one file
MAX_MESSAGE = 2000  # characters of an error message
MAX_CANDIDATES = 26
MAX_OVERRIDES = 3

ODD_BYTES = (
    b"1e400",
    b"-1",
    b"NaN",
    b"null",
    b"\0",
    b"\xff\xfe",  # byte order mark of UTF-16
    b"\xef\xbb\xbf",  # byte order mark of UTF-8
    b"99999999999999999999",
    b"::",
    b"|",
    b"\r\n",
    b'{"a":1,"a":2}',
    b"[" * 200,
    b'"\\ud800"',  # half of a surrogate pair
    b"\xe2\x80\xa8",  # a line separator
    b"A" * 5000,
)
ML_1M = {
    "users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies.dat": b"1::Toy Story (1995)::Animation|Comedy\n2::Jumanji, The (1995)::Adventure\n",
    "ratings.dat": b"1::1::5::978300760\n1::2::3::978302109\n2::1::4::978301968\n",
}
GENRE_COLUMNS = b"|".join([b"0"] * 18 + [b"1"])
ML_100K = {
    "u.user": b"1|24|M|technician|85711\n2|53|F|other|94043\n",
    "u.item": b"1|Toy Story (1995)|01-Jan-1995||http://x|" + GENRE_COLUMNS + b"\n",
    "u.data": b"1\t1\t5\t874965758\n2\t1\t3\t876893171\n",
}
REVIEW = b'{"rating": 5.0, "user_id": "A", "parent_asin": "B1", "timestamp": 1588687728923}\n'
AMAZON = {
    "Toys.jsonl": REVIEW * 2,
    "meta_Toys.jsonl": b'{"parent_asin": "B1", "title": "Pen", "categories": ["Office", "Pens"], '
    b'"store": "X"}\n',
}
PIECES = (
    "Ranking:",
    "Answer:",
    "**",
    "A > B",
    "B, C",
    "</think>",
    "<think>",
    "\n",
    "1. ",
    "- ",
    "Rating: 4",
    '"',
    "Step 1:",
    "Step 2:",
    "Chain 1",
    "neighbour",
    "the user gave",
    "4",
    "liked",
    "candidate B",
    "Heat",
    ">",
    "\u2028",
    "\0",
    "：",
)
OVERRIDE_PREFIXES = ("", "", "", "+", "++", "~")
OVERRIDE_VALUES = (
    "0",
    "-1",
    "1e400",
    "nan",
    "null",
    "true",
    "[]",
    "{}",
    "[a,b]",
    "x",
    "''",
    "${seed}",
    "${nope}",
    "${oc.env:NOPE}",
    "9" * 40,
    "0.5",
    "1",
    "[[[[1]]]]",
    "{a: 1}",
    "${.x}",
    "???",
)


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
    read: Callable[..., Any], files: Mapping[str, bytes], category: str | None = None
) -> Target:
    """Reads damaged files.

    Args:
        read: A reader of `r2rec.data`.
        files: Name -> sound content.
        category: Of Amazon Reviews, whose files may also be packed.
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
            index(read(FOLDER, category))
        except R2RecError as error:
            message = str(error)
            if "\n" in message or len(message) > MAX_MESSAGE:
                raise AssertionError(message) from error

    return target


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


TARGETS: dict[str, Callable[[], Target]] = {
    "ml_1m": lambda: reader_target(movielens.read_ml_1m, ML_1M),
    "ml_100k": lambda: reader_target(movielens.read_ml_100k, ML_100K),
    "amazon": lambda: reader_target(amazon.read_amazon, AMAZON, "Toys"),
    "answer": lambda: answer_target,
    "audit": lambda: audit_target,
    "config": config_target,
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]()
    atheris.Setup(sys.argv, lambda content: target(Data(content)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
