"""Write docs/configuration.md: every key with type, unit and default, from the schemas and conf/.

    python docs/keys.py

Nothing is imported beyond the schemas: signatures of functions are read, not loaded.
"""

import ast
import inspect
import io
import re
import tokenize
import typing
from collections.abc import Container, Iterator
from dataclasses import Field, fields, is_dataclass
from html import escape
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from r2rec import config
from r2rec.config.place import CONF, PACKAGE
from r2rec.results.members import members

PAGE = Path(__file__).with_name("configuration.md")
TOP = Path(__file__).with_name("configuration.head.md")
WIDE = 60  # characters of a default; longer ones are cut
WORDS = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))


class Key(NamedTuple):
    """A row of a table."""

    name: str
    type: str
    default: str
    meaning: str

    def __str__(self) -> str:
        return row(*self)


def row(*cells: str) -> str:
    """A row of a Markdown table: what is not code is taken literally, and so is a `|` in code."""
    return f"| {' | '.join(map(_literal, cells))} |"


def _literal(text: str) -> str:
    parts = re.split("(`[^`]*`)", text)
    for place, part in enumerate(parts):
        if not part.startswith("`"):
            parts[place] = re.sub(r"([*|<])", r"\\\1", part)
        elif "|" in part:
            parts[place] = f"<code>{escape(part[1:-1]).replace('|', '&#124;')}</code>"
    return "".join(parts)


def page() -> str:
    """The whole page as Markdown."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", return_hydra_config=True)
    chosen = {key.rpartition("@")[2]: name for key, name in cfg.hydra.runtime.choices.items()}
    run: Any = OmegaConf.to_container(cfg)
    schemas = {name: kind for name, kind in _hints(config.Config).items() if is_dataclass(kind)}
    homes = {kind: name for name, kind in reversed(schemas.items())}
    parts = [TOP.read_text(encoding="utf-8"), "## The run itself", ""]
    parts += table(config.Config, "", run, "", homes, skip=schemas)
    for name, kind in schemas.items():
        parts += ["", f"## {name}", "", inspect.getdoc(kind) or "", ""]
        if meaning := comments(config.Config).get(name):
            parts += [f"In a run: {meaning}.", ""]
        if homes[kind] != name:
            parts.append(f"The keys are those of [`{homes[kind]}`](#{homes[kind]}).")
            continue
        parts += table(kind, f"{name}.", run[name], chosen.get(name, ""), homes)
        parts += member_tables(name) if (CONF / name).is_dir() else []
    return "\n".join(parts) + "\n"


def table(
    kind: type,
    prefix: str,
    run: Any,
    member: str,
    homes: dict[type, str],
    skip: Container[str] = (),
) -> list[str]:
    """A table of the keys of a schema; those of a schema within it follow its key."""
    lines = [row("key", "type", "default", "meaning, unit"), "|---|---|---|---|"]
    for base in (base for base in kind.__bases__ if base in homes):
        lines.append(row(f"`{prefix}*`", "", "", f"all keys of `{homes[base]}`"))
    return lines + [row(*key) for key in keys(kind, prefix, run, member, homes, skip)]


def keys(
    kind: type,
    prefix: str,
    run: Any,
    member: str,
    homes: dict[type, str],
    skip: Container[str] = (),
) -> Iterator[Key]:
    """The keys of a schema, and of the schemas within it where they are met first.

    Args:
        prefix: In front of each key.
        run: The values of the default run, where it has this schema.
        member: The member of the group that it has chosen.
        homes: Schema -> where its keys are listed; what is listed here is added.
        skip: Fields that are left out.
    """
    hints, said = _hints(kind), comments(kind)
    own = [spec for spec in fields(kind) if spec.name in kind.__annotations__]
    for spec in (spec for spec in own if spec.name not in skip):
        name, hint = prefix + spec.name, hints[spec.name]
        inner = _schema(hint)
        meaning = said.get(spec.name) or _words(prefix, spec.name)
        if inner in homes:
            meaning += f"; keys as in `{homes[inner]}`"
        if spec.metadata.get("in_key") is False:
            meaning += " †"
        yield Key(f"`{name}`", _type(spec, hint), _default(spec, hint, run, member), meaning)
        if inner and inner not in homes:
            homes[inner] = name
            there = run.get(spec.name) if isinstance(run, dict) else None
            yield from keys(inner, _within(name, hint), there, member, homes)


def comments(kind: type) -> dict[str, str]:
    """What the comments of a schema say: at the end of a field's lines, or right above it."""
    said: dict[str, str] = {}
    name, above = "", []
    source = inspect.getsource(kind)
    new_line = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("# ")
            if token.line.lstrip().startswith("#"):
                above.append(text)
            else:
                said[name] = "; ".join(filter(None, [said.get(name, ""), text]))
        elif token.type == tokenize.NAME and new_line:
            name, new_line = token.string, False
            if above:
                said[name], above = " ".join(above), []
        elif token.type == tokenize.NEWLINE:
            new_line = True
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            new_line = False
    return {name: re.sub(r"(?<!\.)\.$", "", text) for name, text in said.items()}


def member_tables(group: str) -> list[str]:
    """Members of a group, and the options of those that have some."""
    found = members(group, [CONF])
    lines = ["", row("member", "what it is"), "|---|---|"]
    lines += [row(f"`{group}={name}`", sentence) for name, sentence in found.items()]
    rows = [row(*key) for name in found for key in options(group, name)]
    if rows:
        lines += [
            "",
            row("option of a member", "type", "value", "meaning, unit"),
            "|---|---|---|---|",
        ]
    return lines + rows


def options(group: str, member: str) -> Iterator[Key]:
    """The params that a member's file sets, those of a reward's terms included."""
    text = (CONF / group / f"{member}.yaml").read_text(encoding="utf-8")
    said = dict(re.findall(r"^ +(\w+): .*?(?<=\s)# (.*)$", text, re.MULTILINE))
    node = yaml.safe_load(text)
    for part in [node, *(node.get("parts") or {}).values()]:
        types, told = signature(part.get("_target_") or _target(group, member))
        for name, value in (part.get("params") or {}).items():
            label, meaning = (
                f"`{name}` of `{group}={member}`",
                said.get(name) or told.get(name) or _words(f"{group}.", name),
            )
            yield Key(label, types.get(name, ""), f"`{_written(value)}`", meaning)


def _words(prefix: str, name: str) -> str:
    return str(WORDS.get(prefix + name) or WORDS.get(name, ""))


def _target(group: str, member: str) -> str:
    """The function that a member names, or that a member does which it is made of."""
    node = yaml.safe_load((CONF / group / f"{member}.yaml").read_text(encoding="utf-8"))
    bases = [
        base for base in node.get("defaults", ()) if isinstance(base, str) and base.isidentifier()
    ]
    for base in [] if "_target_" in node else bases:
        if base != "_self_":
            return _target(group, base)
    return str(node.get("_target_", ""))


def signature(target: str) -> tuple[dict[str, str], dict[str, str]]:
    """Types of the arguments of a function or a class, and what its docstring says of them."""
    module, _, name = target.rpartition(".")
    if not module:
        return {}, {}
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    kinds = ast.FunctionDef | ast.ClassDef
    found: Any = next(node for node in nodes if isinstance(node, kinds) and node.name == name)
    text = ast.get_docstring(found) or ""
    if isinstance(found, ast.ClassDef):
        found = next(node for node in found.body if getattr(node, "name", "") == "__init__")
        text += "\n" + (ast.get_docstring(found) or "")
    arguments = [arg for arg in [*found.args.args, *found.args.kwonlyargs] if arg.annotation]
    types = {
        arg.arg: ast.unparse(arg.annotation).replace(" | None", " or null") for arg in arguments
    }
    told = re.findall(r"^ +(\w+): (.*(?:\n {8,}.*)*)", text, re.MULTILINE)
    return types, {name: " ".join(words.split()).rstrip(".") for name, words in told}


def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _schema(hint: Any) -> Any:
    """The dataclass in a type such as `Fit | None` or `list[Download]`, else None."""
    if is_dataclass(hint):
        return hint
    return next((found for arg in typing.get_args(hint) if (found := _schema(arg))), None)


def _within(name: str, hint: Any) -> str:
    """The prefix of keys within a value."""
    kind = typing.get_origin(hint)
    return {list: f"{name}[0].", dict: f"{name}.NAME."}.get(kind, f"{name}.")


def _type(spec: "Field[Any]", hint: Any) -> str:
    """A type in words, with its bounds or options."""
    if options := spec.metadata.get("options"):
        return " or ".join(f"`{option}`" for option in dict.fromkeys(options))
    bounds = spec.metadata.get("bounds")
    words = bounds.words() if bounds else ""
    return ", ".join(filter(None, [_type_words(hint), words]))


def _type_words(hint: Any) -> str:
    arguments = typing.get_args(hint)
    if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join("null" if a is type(None) else _type_words(a) for a in arguments)
    if is_dataclass(hint) or typing.get_origin(hint) is dict:
        return "table"
    if typing.get_origin(hint) is list:
        return f"list of {_type_words(arguments[0])}"
    return {"str": "text", "bool": "true or false"}.get(hint.__name__, str(hint.__name__))


def _default(spec: "Field[Any]", hint: Any, run: Any, member: str) -> str:
    """The schema's default, and what the default run's member sets in its place."""
    made = spec.default_factory() if callable(spec.default_factory) else spec.default
    if is_dataclass(made):
        return ""
    words = "required" if made == "???" else f"`{_written(made)}`"
    there = run.get(spec.name, made) if isinstance(run, dict) else made
    if there == made or (_schema(hint) and isinstance(there, dict)):
        return words
    return f"{words}; `{_written(there)}`" + (f" in `{member}`" if member else "")


def _written(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    text = text.removesuffix("\n").removesuffix("\n...")
    return text if len(text) <= WIDE else f"{text[:WIDE]}..."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
