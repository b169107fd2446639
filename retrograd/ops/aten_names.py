"""`torch.ops.aten`: ops by the names that they have below torch's public functions, to be compared.

Selective checkpoints name ops so: `torch.ops.aten.mm.default`. The overloads of one name are one op here, and
a name is compared by its letters and digits alone, in which the names of nodes (`MaxPool2DWithIndices`) and
those of ops (`max_pool2d_with_indices`, `_softmax`) agree.
"""

from __future__ import annotations

import re
from typing import Any

from retrograd.ops.declare import TABLE


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


class OpOverload:
    """An op, as selective checkpoints are told of it."""

    __module__ = "torch._ops"  # its public path

    def __init__(self, name: str, overload: str = "default", namespace: str = "aten") -> None:
        self.__name__ = f"{name}.{overload}"
        self.namespace = namespace
        self._name = name
        self._key = (namespace, _letters(name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpOverload) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the op.

        Raises:
            NotImplementedError: no op is declared under this name.
        """
        if self._name not in TABLE:
            raise NotImplementedError(f"{self}: no op is declared under this name; call its public function")
        return TABLE[self._name].function(*args, **kwargs)

    def name(self) -> str:
        """Return the name with its namespace."""
        return f"{self.namespace}::{self._name}"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.name()}', overload='{self.__name__.partition('.')[2]}')>"


class OpOverloadPacket:
    """All overloads of an op: `packet.default`, `packet.Tensor`, ..."""

    __module__ = "torch._ops"  # its public path

    def __init__(self, name: str, namespace: str = "aten") -> None:
        self.__name__ = name
        self._namespace = namespace

    def __getattr__(self, overload: str) -> OpOverload:
        if overload.startswith("__"):
            raise AttributeError(overload)
        return OpOverload(self.__name__, overload, self._namespace)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the op."""
        return OpOverload(self.__name__, namespace=self._namespace)(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self._namespace}.{self.__name__}"


class Namespace:
    """`torch.ops.aten` or `torch.ops.prim`: gives an op by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> OpOverloadPacket:
        if name.startswith("__"):
            raise AttributeError(name)
        return OpOverloadPacket(name, self.name)


aten, prim = Namespace("aten"), Namespace("prim")


def of_node(name: str) -> OpOverload:
    """Return the op whose node has this name: `aten.mul.default` for MulBackward0."""
    stem = re.sub(r"Backwards?\d*$", "", name)
    return OpOverload(re.sub(r"(?<!^)(?=[A-Z])", "_", stem).lower())
