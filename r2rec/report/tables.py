"""Tables of results: text for the terminal, Markdown, CSV, and LaTeX for a paper.

Records that differ in their seed alone become one row, their mean. The CSV keeps every seed.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from r2rec.evaluate.names import metric_title
from r2rec.report.fitting import fitted
from r2rec.report.numbers import valid_interval
from r2rec.report.records import (
    DAGGER,
    FOOTNOTE,
    METRICS,
    Record,
    over_seeds,
    published_method,
    published_rows,
    shown_metrics,
    trained_elsewhere,
)
from r2rec.report.repeats import seed_columns

TEXT_COLUMNS = ("table", "method", "variant", "dataset", "trained on")  # always the first ones

LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        DAGGER: r"\textsuperscript{\dag}",
    }
)


class Section(NamedTuple):
    """A titled table."""

    title: str
    header: list[str]
    rows: list[list[str]]


def results_table(records: Sequence[Record]) -> str:
    """Text for the terminal, one row per arm; the main metric with its 95% interval."""
    section = _results(records, every_interval=False)
    texts = sum(name in TEXT_COLUMNS for name in section.header)
    return fitted([section.header, *section.rows], texts)


def write_tables(records: Sequence[Record], folder: Path) -> None:
    """Leave results.md, results.csv and results.tex in `folder`, each replaced as a whole."""
    sections = _sections(records)
    write_text(folder / "results.md", _markdown(sections))
    write_text(folder / "results.csv", _csv(records))
    write_text(folder / "results.tex", _latex(sections))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 aside and rename it into place: no reader ever sees half a file.

    Text from data may hold lone surrogates, which UTF-8 cannot carry: they become question marks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(text.encode("utf-8", errors="replace"))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as CSV."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _sections(records: Sequence[Record]) -> list[Section]:
    """Our results, then the paper's figures on each of our data sets that it uses."""
    sections = [_results(records, every_interval=True)]
    for dataset in dict.fromkeys(record["dataset"] for record in records):
        published = published_rows(dataset)
        if published:
            sections.append(_published(dataset, published))
    return sections


def _results(records: Sequence[Record], every_interval: bool) -> Section:
    """Columns `trained on` and `seeds` are there only where they tell rows apart.

    Args:
        every_interval: Of all figures, not of the main metric alone.
    """
    rows = over_seeds(records)
    main, *others = shown_metrics(records)
    with_source = any(trained_elsewhere(row) for row in rows)
    with_seeds = any(row["seeds"] > 1 for row in rows)
    header = ["method", "variant", "dataset"]
    if with_source:
        header.append("trained on")
    if with_seeds:
        header.append("seeds")
    header += ["users", *map(metric_title, (main, *others)), "valid"]

    cells = []
    for row in rows:
        line = [row["method"], row["variant"], row["dataset"]]
        if with_source:
            line.append(row["train_dataset"])
        if with_seeds:
            line.append(str(row["seeds"]))
        line.append(row["users"])
        valid = f"{row['valid_ratio']:.1%}"
        if every_interval:
            line += [_with_interval(row, name) for name in (main, *others)]
            valid += f" [{valid_interval(row['valid_ratio'], row['fewest_users'])}]"
        else:
            line.append(_with_interval(row, main))
            line += [f"{row[name]:.3f}" for name in others]
        cells.append([*line, valid])
    return Section("Results", header, cells)


def _with_interval(row: Record, metric: str) -> str:
    low, high = row["ci95"][metric]
    return f"{row[metric]:.3f} [{low:.3f}, {high:.3f}]"


def _published(dataset: str, published: Sequence[Record]) -> Section:
    header = ["table", "method", "trained on", *METRICS.values()]
    cells = []
    for row in published:
        line = [row["table"].replace("table", "Table "), published_method(row)]
        line.append(row["train_dataset"])
        for name in METRICS:
            line.append(f"{row[name]:.3f}")
        cells.append(line)
    return Section(f"Published figures on {dataset}, for reference", header, cells)


def _markdown(sections: Sequence[Section]) -> str:
    parts = []
    for section in sections:
        lines = [_markdown_line(section.header), _markdown_line(_markdown_rule(section.header))]
        for row in section.rows:
            lines.append(_markdown_line(map(_markdown_text, row)))
        parts.append(f"## {section.title}\n\n" + "\n".join(lines) + "\n")
    if len(sections) > 1:
        parts.append(FOOTNOTE + "\n")
    return "\n".join(parts)


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_text(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _markdown_rule(header: Sequence[str]) -> list[str]:
    rule = []
    for name in header:
        if name in TEXT_COLUMNS:
            rule.append("---")
        else:
            rule.append("---:")
    return rule


def _csv(records: Sequence[Record]) -> str:
    """A line per record, unrounded; interval ends in columns `<metric>_low` and `<metric>_high`."""
    rows = []
    for record in records:
        row = dict(record)
        row.pop("metrics", None)
        row.pop("seeds", None)
        row |= seed_columns(record)
        for name, (low, high) in row.pop("ci95").items():
            row[f"{name}_low"] = low
            row[f"{name}_high"] = high
        rows.append(row)
    if not rows:
        return ""
    text = StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)  # only some arms write
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _latex(sections: Sequence[Section]) -> str:
    parts = [r"% needs \usepackage{booktabs}"]
    for section in sections:
        columns = ""
        for name in section.header:
            if name in TEXT_COLUMNS:
                columns += "l"
            else:
                columns += "r"
        lines = [r"\toprule", _latex_line(section.header), r"\midrule"]
        for row in section.rows:
            lines.append(_latex_line(row))
        lines.append(r"\bottomrule")
        body = "\n".join(lines)
        table = f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"
        parts.append(f"% {section.title}\n{table}")
    if len(sections) > 1:
        note = _latex_text(FOOTNOTE).replace("<=", r"$\le$")
        parts.append(f"{{\\footnotesize {note}\\par}}\n")
    return "\n".join(parts)


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_text, cells)) + r" \\"


def _latex_text(cell: str) -> str:
    return cell.translate(LATEX)
