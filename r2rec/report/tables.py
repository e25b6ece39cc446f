"""Result records as tables: text for the terminal, Markdown, CSV and LaTeX for a paper.

A record is one arm of `metrics.json`. Arms that differ in their seed alone become one row, their mean; the
CSV keeps every seed. The paper's own figures (Tables 1-3) stand beside ours where the test data are the same,
as a reference and never a target: some of them cannot all be true at once (see `FOOTNOTE`).
"""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any

Record = Mapping[str, Any]

METRICS = {"hr@1": "HR@1", "hr@3": "HR@3", "ndcg@3": "NDCG@3"}
ENDS = ((0, "low"), (1, "high"))
DAGGER = "†"
FOOTNOTE = (
    f"{DAGGER} Impossible for one positive per user, where HR@1 + (HR@3 - HR@1)/2 <= NDCG@3 <= "
    "HR@1 + (HR@3 - HR@1)/log2(3): at least one of the three figures is wrong."
)
ARM = ("method", "variant", "dataset", "train_dataset")


def results_table(records: Sequence[Record]) -> str:
    """Aligned text for the terminal, one row per arm; HR@1 with its 95% interval."""
    cells = _cells(records)
    return aligned(cells, texts=len(cells[0]) - len(_numbers(cells[0])))


def aligned(cells: Sequence[Sequence[str]], texts: int) -> str:
    """Lines of a table, a header first; the first `texts` columns are texts, the others numbers."""
    header, *rows = cells
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        pairs = enumerate(zip(cells, widths, strict=True))
        return "  ".join(
            cell.ljust(w) if i < texts else cell.rjust(w) for i, (cell, w) in pairs
        ).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def write_tables(records: Sequence[Record], folder: Path) -> None:
    """Leave results.md, results.csv and results.tex in `folder`, each replaced as a whole."""
    write_text(folder / "results.md", _markdown(records))
    write_text(folder / "results.csv", _csv(records))
    write_text(folder / "results.tex", _latex(records))


def published(dataset: str) -> list[dict[str, Any]]:
    """The paper's figures with `dataset` as test data, each once; empty for data the paper does not use.

    Keys: table, method, train_dataset, test_dataset, hr@1, hr@3, ndcg@3, ndcg@3_min, ndcg@3_max, arithmetic
    ('infeasible' where NDCG@3 lies outside what the other two allow).
    """
    with (Path(__file__).parent / "published.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = [
            row for row in csv.DictReader(file) if row["test_dataset"] == dataset
        ]
    return [
        {name: float(cell) if "@" in name else cell for name, cell in row.items()}
        for row in rows
        if not _repeats_table1(row)
    ]


def over_seeds(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One record per arm, metrics averaged over its seeds, with `seeds`, how many, and `users`, of each, as text.

    Interval ends are averaged too. Seeds share their users, so this is the interval of the mean were the
    seeds fully correlated: never too narrow for the draw of users. Records that repeat a seed are no
    seeds of one arm, and stay apart.
    """
    arms: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        arms.setdefault(tuple(record[name] for name in ARM), []).append(record)
    merged = []
    for group in arms.values():
        distinct = len({record["seed"] for record in group}) == len(group)
        merged += [
            _mean(part) for part in ([group] if distinct else [[record] for record in group])
        ]
    return merged


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 aside and rename into place: no reader ever sees half a file.

    Text from data may hold lone surrogates, which UTF-8 cannot carry: they become question marks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(text.encode("utf-8", errors="replace"))
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _mean(group: Sequence[Record]) -> dict[str, Any]:
    first = group[0]
    values = {name: fmean(record[name] for record in group) for name in (*METRICS, "valid_ratio")}
    ends = {
        name: [fmean(record["ci95"][name][end] for record in group) for end in (0, 1)]
        for name in METRICS
    }
    few, many = (
        end(record["n_users"] for record in group) for end in (min, max)
    )  # seeds draw candidates anew
    users = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    return {
        **{name: first[name] for name in ARM},
        **values,
        "ci95": ends,
        "seeds": len(group),
        "users": users,
    }


def _repeats_table1(row: Mapping[str, str]) -> bool:
    """The full method stands in all three tables with the same figures: Table 1 is enough."""
    same_domain = row["table"] == "table3" and row["train_dataset"] == row["test_dataset"]
    return same_domain or row["method"] == "stage:full"


def _cells(records: Sequence[Record]) -> list[list[str]]:
    """Header and rows; where data were trained on, and how many seeds, are shown only where they differ."""
    rows = over_seeds(records)
    transfer = any(row["train_dataset"] != row["dataset"] for row in rows)
    seeds = any(row["seeds"] > 1 for row in rows)

    def cells(row: Record) -> list[str]:
        low, high = row["ci95"]["hr@1"]
        return [
            *(row["method"], row["variant"], row["dataset"]),
            *([row["train_dataset"]] if transfer else []),
            *([str(row["seeds"])] if seeds else []),
            row["users"],
            f"{row['hr@1']:.3f} [{low:.3f}, {high:.3f}]",
            *(f"{row['hr@3']:.3f}", f"{row['ndcg@3']:.3f}", f"{row['valid_ratio']:.1%}"),
        ]

    optional = [*(["trained on"] if transfer else []), *(["seeds"] if seeds else [])]
    header = ["method", "variant", "dataset", *optional, "users", *METRICS.values(), "valid"]
    return [header, *map(cells, rows)]


def _numbers(header: Sequence[str]) -> list[str]:
    """The columns that are aligned to the right, always the last ones."""
    return [
        name
        for name in header
        if name not in ("method", "variant", "dataset", "trained on", "table")
    ]


def _published_cells(dataset: str) -> list[list[str]]:
    def cells(row: Record) -> list[str]:
        mark = f" {DAGGER}" if row["arithmetic"] == "infeasible" else ""
        figures = [f"{row[name]:.3f}" for name in METRICS]
        return [
            row["table"].replace("table", "Table "),
            row["method"] + mark,
            row["train_dataset"],
            *figures,
        ]

    return [["table", "method", "trained on", *METRICS.values()], *map(cells, published(dataset))]


def _sections(records: Sequence[Record]) -> list[tuple[str, list[list[str]]]]:
    """Titled tables: ours, then the paper's for each of our data sets it has."""
    datasets = [
        name for name in dict.fromkeys(record["dataset"] for record in records) if published(name)
    ]
    reference = [
        (f"Published figures on {name}, for reference", _published_cells(name)) for name in datasets
    ]
    return [("Results", _cells(records)), *reference]


def _markdown(records: Sequence[Record]) -> str:
    sections = _sections(records)
    parts = []
    for title, (header, *rows) in sections:
        rule = ["---:" if name in _numbers(header) else "---" for name in header]
        escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
        lines = ["| " + " | ".join(row) + " |" for row in (header, rule, *escaped)]
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join([*parts, *([FOOTNOTE + "\n"] if len(sections) > 1 else [])])


def _csv(records: Sequence[Record]) -> str:
    """One line per record, unrounded; interval ends in columns `<metric>_low` and `<metric>_high`."""
    flat = []
    for record in records:
        ends = {f"{name}_{end}": record["ci95"][name][i] for name in METRICS for i, end in ENDS}
        flat.append({**{key: value for key, value in record.items() if key != "ci95"}, **ends})
    text = StringIO()
    if flat:
        writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    return text.getvalue()


LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {DAGGER: r"\textsuperscript{\dag}"}
)


def _latex(records: Sequence[Record]) -> str:
    sections = _sections(records)
    parts = [r"% needs \usepackage{booktabs}"]
    for title, (header, *rows) in sections:
        columns = "".join("r" if name in _numbers(header) else "l" for name in header)
        lines = [
            " & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in (header, *rows)
        ]
        body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
        parts.append(f"% {title}\n\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n")
    note = FOOTNOTE.translate(LATEX).replace("<=", r"$\le$")
    return "\n".join(
        [*parts, *([f"{{\\footnotesize {note}\\par}}\n"] if len(sections) > 1 else [])]
    )
