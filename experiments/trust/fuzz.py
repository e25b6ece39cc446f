"""Coverage-guided fuzzing of what reads other people's bytes; needs `pip install atheris`.

    python experiments/trust/fuzz.py TARGET -max_total_time=120 -timeout=20 -rss_limit_mb=2048

Targets: ml_1m, ml_100k, amazon, answer, audit, config. An input that ends in anything but our own error stops the
fuzzer and is kept as crash-*; so is one that takes 20 s, or 2 GB.
"""

import gzip
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("POLARS_MAX_THREADS", "1")
with atheris.instrument_imports(include=["r2rec"]):
    from r2rec import config
    from r2rec.__main__ import CONF
    from r2rec.base.errors import R2RecError
    from r2rec.data import amazon, movielens
    from r2rec.data.interactions import index
    from r2rec.pipeline import NAMES
    from r2rec.prompts.answer import parse_ranking, parse_rating, thought_steps
    from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
    from r2rec.run.rules import check
    from r2rec.thoughts.audit import RULES, audit

Bytes = atheris.FuzzedDataProvider
FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
ODD = (
    b"1e400", b"-1", b"NaN", b"null", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"99999999999999999999", b"::", b"|",
    b"\r\n", b'{"a":1,"a":2}', b"[" * 200, b'"\\ud800"', b"\xe2\x80\xa8", b"A" * 5000,
)  # fmt: skip
ML_1M = {
    "users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies.dat": b"1::Toy Story (1995)::Animation|Comedy\n2::Jumanji, The (1995)::Adventure\n",
    "ratings.dat": b"1::1::5::978300760\n1::2::3::978302109\n2::1::4::978301968\n",
}
ML_100K = {
    "u.user": b"1|24|M|technician|85711\n2|53|F|other|94043\n",
    "u.item": b"1|Toy Story (1995)|01-Jan-1995||http://x|"
    + b"|".join([b"0"] * 18 + [b"1"])
    + b"\n",
    "u.data": b"1\t1\t5\t874965758\n2\t1\t3\t876893171\n",
}
AMAZON = {
    "Toys.jsonl": b'{"rating": 5.0, "user_id": "A", "parent_asin": "B1", "timestamp": 1588687728923}\n'
    * 2,
    "meta_Toys.jsonl": b'{"parent_asin": "B1", "title": "Pen", "categories": ["Office", "Pens"], "store": "X"}\n',
}


def damaged(given: Bytes, content: bytes) -> bytes:
    """A file with some of it replaced, repeated, cut or put elsewhere."""
    for _ in range(given.ConsumeIntInRange(0, 4)):
        at, end = sorted(given.ConsumeIntInRange(0, len(content)) for _ in range(2))
        odd = ODD[given.ConsumeIntInRange(0, len(ODD) - 1)]
        new = (odd, given.ConsumeBytes(8), content[at:end] * 2, b"", content)[
            given.ConsumeIntInRange(0, 4)
        ]
        content = (content[:at] + new + content[end:])[:200_000]
    return content


def reader(
    read: Callable, files: dict[str, bytes], category: str | None = None
) -> Callable[[Bytes], None]:
    def run(given: Bytes) -> None:
        for name, content in files.items():
            content = damaged(given, content)
            packed = category and given.ConsumeBool()
            if packed:
                content = gzip.compress(content, 1)
                content = damaged(given, content) if given.ConsumeBool() else content
            (FOLDER / name).write_bytes(content)
        try:
            index(read(FOLDER, category))
        except R2RecError as error:
            said = str(error)
            if "\n" in said or len(said) > 2000:
                raise AssertionError(said) from error

    return run


PIECES = (
    "Ranking:", "Answer:", "**", "A > B", "B, C", "</think>", "<think>", "\n", "1. ", "- ", "Rating: 4", '"', "Step 1:",
    "Step 2:", "Chain 1", "neighbour", "the user gave", "4", "liked", "candidate B", "Heat", ">", "\u2028", "\0", "：",
)  # fmt: skip


def written(given: Bytes) -> str:
    """A text of pieces that mean something, and of others."""
    words = []
    while given.remaining_bytes():
        n = given.ConsumeIntInRange(0, len(PIECES) + 3)
        words.append(PIECES[n] if n < len(PIECES) else given.ConsumeUnicode(6))
    return " ".join(words)


def answer(given: Bytes) -> None:
    count, reasoned = given.ConsumeIntInRange(0, 26), given.ConsumeBool()
    text = written(given)
    got = parse_ranking(text, count, reasoned)
    assert len(set(got.labels)) == len(got.labels)
    assert set(got.labels) <= set(LABELS[:count])
    assert got.valid == bool(got.labels) == (got.problem is None)
    assert parse_rating(text, reasoned) in (None, 1, 2, 3, 4, 5)
    thought_steps(text)


def audited(given: Bytes) -> None:
    def item() -> Item:
        title = (
            PIECES[given.ConsumeIntInRange(0, len(PIECES) - 1)]
            if given.ConsumeBool()
            else given.ConsumeUnicode(8)
        )
        return Item(title, (given.ConsumeUnicode(4), "Crime"))

    chain = Chain(item(), 5, 4, 3, item(), given.ConsumeIntInRange(1, 5))
    if given.ConsumeBool():
        case, truth = RatingCase(given.ConsumeUnicode(5), chain), str(given.ConsumeIntInRange(1, 5))
    else:
        shelf = tuple(item() for _ in range(given.ConsumeIntInRange(1, 4)))
        case, truth = (
            RankingCase(None, shelf[:1], (chain,), shelf),
            LABELS[given.ConsumeIntInRange(0, len(shelf) - 1)],
        )
    text = written(given)
    reasons = audit(case, text[: len(text) // 2], text[len(text) // 2 :], truth)
    assert all(reason.partition(":")[0] in RULES for reason in reasons)


def configured() -> Callable[[Bytes], None]:
    """Overrides in Hydra's grammar and out of it, on a tree composed once; the members of groups, each composed."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from r2rec.report.labels import flat

    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        base = compose("config", ["+experiment=smoke"])
    keys = sorted(flat(OmegaConf.to_container(base), ""))
    values = (
        "0", "-1", "1e400", "nan", "null", "true", "[]", "{}", "[a,b]", "x", "''", "${seed}", "${nope}",
        "${oc.env:NOPE}", "9" * 40, "0.5", "1", "[[[[1]]]]", "{a: 1}", "${.x}", "???",
    )  # fmt: skip
    parser = OverridesParser.create()

    def run(given: Bytes) -> None:
        words = []
        for _ in range(given.ConsumeIntInRange(1, 3)):
            key = keys[given.ConsumeIntInRange(0, len(keys) - 1)].lstrip(".")
            key += given.ConsumeUnicodeNoSurrogates(3) if given.ConsumeIntInRange(0, 9) == 0 else ""
            n = given.ConsumeIntInRange(0, len(values))
            value = values[n] if n < len(values) else given.ConsumeUnicodeNoSurrogates(10)
            words.append(
                ("", "", "", "+", "++", "~")[given.ConsumeIntInRange(0, 5)] + f"{key}={value}"
            )
        try:
            cfg = base.copy()
            ConfigLoaderImpl._apply_overrides_to_config(parser.parse_overrides(words), cfg)
            check(cfg, NAMES)
            OmegaConf.to_container(cfg, resolve=True)
        except (R2RecError, HydraException, OmegaConfBaseException):
            pass
        except Exception as error:
            if "reference_type=Optional" in str(
                error
            ):  # OmegaConf's own, told in one line by `__main__`
                return
            print("overrides:", words)
            raise

    return run


TARGETS: dict[str, Callable[[], Callable[[Bytes], None]]] = {
    "ml_1m": lambda: reader(movielens.read_ml_1m, ML_1M),
    "ml_100k": lambda: reader(movielens.read_ml_100k, ML_100K),
    "amazon": lambda: reader(amazon.read_amazon, AMAZON, "Toys"),
    "answer": lambda: answer,
    "audit": lambda: audited,
    "config": configured,
}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]()
    atheris.Setup(sys.argv, lambda data: target(Bytes(data)))
    atheris.Fuzz()
