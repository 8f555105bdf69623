"""YAML text -> plain values, with the line of each: so that an error can say where it is.

Strategy: libyaml composes the node graph (`CSafeLoader`; the pure loader where PyYAML was built without
it) and this module turns nodes into dict, list, str, int, float, bool and None by itself. That keeps the
line of every key and value, finds duplicate keys (PyYAML keeps the last one silently), and bounds what an
alias can expand to: a node graph is as small as its text, its expansion is not.

Spec: YAML 1.1 as MediaMTX users write it (`yes` and `no` are booleans, `<<` merges).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # pragma: no cover - PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

__all__ = ["MAX_SIZE", "ConfigError", "Location", "Tree", "load_text", "scalar"]

#: Bytes of one configuration file; 5000 paths of ten lines stay under it.
MAX_SIZE = 1_000_000
#: Uses of anchors in one file.
MAX_ALIASES = 64
#: Values after every alias has been expanded.
MAX_VALUES = 100_000
#: Levels of nesting; MediaMTX files have 5.
MAX_DEPTH = 20

#: Where a value stands: keys and list indices from the root.
Location = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line and names the file and the line."""


@dataclass
class Tree:
    """A document.

    Attributes:
        name: the file's name as it is shown.
        value: the document: dict, list, str, int, float, bool or None.
        lines: line number (from 1) of every key and list item.
    """

    name: str
    value: Any
    lines: dict[Location, int] = field(default_factory=dict)

    def place(self, location: Location) -> str:
        """ "config.yml:12", the closest known line at or above `location`."""
        while location and location not in self.lines:
            location = location[:-1]
        return f"{self.name}:{self.lines.get(location, 1)}"


class _Builder:
    """Turns one node graph into values; counts what it makes."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.values = 0

    def fail(self, node: yaml.Node, message: str) -> NoReturn:
        raise ConfigError(f"{self.tree.name}:{node.start_mark.line + 1}: {message}")

    def build(self, node: yaml.Node, location: Location) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            self.fail(node, f"more than {MAX_VALUES} values after its aliases are expanded")
        if len(location) > MAX_DEPTH:
            self.fail(node, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.tree.lines[(*location, index)] = item.start_mark.line + 1
                items.append(self.build(item, (*location, index)))
            return items
        if not node.tag.startswith(_TAG):
            self.fail(node, f"unknown tag {node.tag!r}")
        return scalar(node.tag[len(_TAG) :], node.value)

    def mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fail(key, "a key must be plain text")
            if key.tag == f"{_TAG}merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(source, yaml.MappingNode):
                        self.fail(key, "'<<' can only merge mappings")
                    for name, item in self.build(source, location).items():
                        merged.setdefault(name, item)
                continue
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in first:
                raise ConfigError(f"{self.tree.name}:{line}: key {name!r} stands twice (first in line {first[name]})")
            first[name] = line
        # after the merges, so that a key of this mapping keeps its own line
        for key, value in node.value:
            if key.tag != f"{_TAG}merge":
                place = (*location, str(key.value))
                self.tree.lines[place] = key.start_mark.line + 1
                own[str(key.value)] = self.build(value, place)
        return {**merged, **own}


def scalar(kind: str, text: str) -> Any:
    """The value of a scalar whose YAML tag is `kind` ("bool", "int", "float", "null", "str" …).

    Numbers in a form no configuration key wants (sexagesimal, octal, dates) stay text.
    """
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind == "null":
        return None
    if kind == "int" and _INTEGER.fullmatch(text) and not text.lstrip("+-").startswith("00"):
        return int(text)
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _check_shape(text: str, name: str) -> None:
    """Bounds nesting and aliases before anything recursive (libyaml's composer is) sees the text."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{name}:{line}: nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if aliases > MAX_ALIASES:
                raise ConfigError(f"{name}:{line}: more than {MAX_ALIASES} uses of aliases")


def load_text(data: bytes, name: str) -> Tree:
    """Parses one YAML document.

    Args:
        data: UTF-8 text, at most `MAX_SIZE` bytes.
        name: what errors call the file.

    Raises:
        ConfigError: not YAML, too large, duplicate keys, aliases that expand too far.
    """
    if len(data) > MAX_SIZE:
        raise ConfigError(f"{name}:1: larger than {MAX_SIZE} bytes: this is no configuration file")
    tree = Tree(name, None)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text") from None
    try:
        _check_shape(text, name)
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            tree.value = _Builder(tree).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = " ".join(f"{error.problem or error.context or 'cannot be parsed'}".split())
        if mark and text[mark.index : mark.index + 1] == "\t":
            what = "a tab; lines are indented with spaces"
        raise ConfigError(f"{name}:{line}: not valid YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: a character that text must not hold") from None
    except (yaml.YAMLError, RecursionError) as error:
        what = " ".join(str(error).split())[:100]
        raise ConfigError(f"{name}:1: not valid YAML: {what}") from None
    return tree
