"""Nested tuples, lists and dictionaries taken apart into their leaves and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


class Structure(NamedTuple):
    """What is left of a tree without its leaves: a container's kind, keys and children; no kind: a leaf."""

    kind: Any = None
    keys: Any = None
    children: tuple[Structure, ...] = ()

    def __repr__(self, indent: int = 0) -> str:
        if self.kind is None:
            return "*"
        head = f"TreeSpec({self.kind.__name__}, {self.keys}, ["
        inner = indent + 2
        parts = [child.__repr__(inner) for child in self.children]
        return head + f",\n{' ' * inner}".join(parts) + "])"

    def brief(self) -> str:
        """Return the structure as brackets around stars."""
        if self.kind is None:
            return "*"
        parts = [child.brief() for child in self.children]
        if issubclass(self.kind, dict):
            return "{" + ", ".join(f"{k!r}: {p}" for k, p in zip(self.keys, parts, strict=True)) + "}"
        return f"[{', '.join(parts)}]" if self.kind is list else f"({', '.join(parts)})"

    @property
    def leaf_count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(child.leaf_count for child in self.children)


LEAF = Structure()


# The helpers below are no inner functions: one that calls itself is a cycle, which would keep the leaves
# alive until the garbage collector comes by.


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a tree in order, and its structure."""
    if not isinstance(tree, (tuple, list, dict)):
        return [tree], LEAF
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves)


def _walk(node: Any, leaves: list[Any]) -> Structure:
    """Append the leaves of a tree, and return its structure."""
    if isinstance(node, (tuple, list)):
        return Structure(type(node), None, tuple([_walk(item, leaves) for item in node]))
    if isinstance(node, dict):
        children = tuple([_walk(item, leaves) for item in node.values()])
        return Structure(type(node), list(node), children)
    leaves.append(node)
    return LEAF


def unflatten(leaves: Sequence[Any], structure: Structure) -> Any:
    """Return the tree of this structure with these leaves."""
    if structure.kind is None:
        return leaves[0]
    return _build(structure, iter(leaves))


def _build(node: Structure, rest: Iterator[Any]) -> Any:
    """Return the tree of a structure with the next of some leaves."""
    if node.kind is None:
        return next(rest)
    children = [_build(child, rest) for child in node.children]
    if issubclass(node.kind, dict):
        made = node.kind() if node.kind is not dict else {}
        made.update(zip(node.keys, children, strict=True))
        return made
    return node.kind(*children) if hasattr(node.kind, "_fields") else node.kind(children)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return a tree with `function` applied to each leaf."""
    leaves, structure = flatten(tree)
    return unflatten([function(leaf) for leaf in leaves], structure)


def spread(prefix: Any, structure: Structure) -> list[Any] | None:
    """Return one value per leaf of `structure`, from a tree that may end early; None if it does not fit."""
    if structure.kind is None:
        return None if isinstance(prefix, (tuple, list, dict)) else [prefix]
    if not isinstance(prefix, (tuple, list, dict)):
        return [prefix] * structure.leaf_count
    if type(prefix) is not structure.kind or len(prefix) != len(structure.children):
        return None
    items = prefix.values() if isinstance(prefix, dict) else prefix
    if isinstance(prefix, dict) and list(prefix) != structure.keys:
        return None
    found: list[Any] = []
    for item, child in zip(items, structure.children, strict=True):
        part = spread(item, child)
        if part is None:
            return None
        found += part
    return found


def chosen(args: tuple[Any, ...], argnums: Any) -> tuple[Any, ...]:
    """Return the positions that `argnums` names, counted from the front.

    Raises:
        RuntimeError: it is neither a number nor a tuple of numbers, or there is no such argument.
    """
    if not isinstance(argnums, (int, tuple)) or (
        isinstance(argnums, tuple) and not all(isinstance(n, int) for n in argnums)
    ):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    if argnums == ():
        raise RuntimeError("argnums must be non-empty")
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
    found = tuple(n % len(args) for n in numbers)
    if len(set(found)) != len(found):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return found
