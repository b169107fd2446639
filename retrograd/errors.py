"""The exceptions of retrograd: each also is the builtin class that programs written for torch catch.

Where torch raises the plain builtin, ours prints under its name: a traceback, or what a notebook shows of it,
reads the same.

RuntimeError
|-- AutogradError           a graph cannot be differentiated as asked
|   |-- FreedGraphError     its saved values have been freed by an earlier backward
|   `-- ModifiedError       a saved value has been written to since
|-- NotBatchableError       vmap was asked for what each element of its batch answers by itself
|-- ShapeError              sizes do not agree
|-- OutOfMemoryError        an allocation failed
|-- UntraceableError        a function cannot be compiled; names the line
`-- LinAlgError             a matrix has no such factorisation or inverse
ImportError
`-- MissingExtraError       an optional package is needed; names the extra to install
RuntimeError
`-- DeclarationError        an op's declaration is incomplete (raised at import)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _prints_as(name: str, module: str = "builtins") -> Callable[[type], type]:
    """Give an exception class the printed name of torch's."""

    def named(cls: type) -> type:
        cls.__name__ = cls.__qualname__ = name
        cls.__module__ = module
        return cls

    return named


@_prints_as("RuntimeError")
class AutogradError(RuntimeError):
    """A graph cannot be differentiated as asked."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RuntimeError, self.args


@_prints_as("RuntimeError")
class FreedGraphError(AutogradError):
    """The graph's saved values have been freed by an earlier backward."""


@_prints_as("RuntimeError")
class ModifiedError(AutogradError):
    """A value saved for backward has been modified in place."""


@_prints_as("RuntimeError")
class NotBatchableError(RuntimeError):
    """A tensor that stands for a batch was asked for what each element answers by itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RuntimeError, self.args


@_prints_as("RuntimeError")
class ShapeError(RuntimeError):
    """Sizes do not agree."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RuntimeError, self.args


class OutOfMemoryError(RuntimeError):
    """An allocation failed."""


class UntraceableError(RuntimeError):
    """A function does what a compiled program could not repeat."""


@_prints_as("_LinAlgError", "torch._C")
class LinAlgError(RuntimeError):
    """A matrix has no such factorisation or inverse."""


class MissingExtraError(ImportError):
    """An optional package is needed."""

    def __init__(self, package: str, extra: str, what: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'retrograd[{extra}]'")


class DeclarationError(RuntimeError):
    """An op's declaration is incomplete or contradicts itself."""
