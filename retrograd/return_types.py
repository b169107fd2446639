"""The named tuples that ops with several results return, as torch.return_types has them."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

_MADE: dict[tuple[str, tuple[str, ...]], type] = {}


def make(name: str, fields: tuple[str, ...]) -> type:
    """Return the tuple class `torch.return_types.NAME` with these fields; the same one for the same call."""
    found = _MADE.get((name, fields))
    if found is None:
        body: dict[str, Any] = {f: property(itemgetter(i)) for i, f in enumerate(fields)}
        body.update(__slots__=(), __module__="torch.return_types", __qualname__=name, _fields=fields)
        body.update(__new__=_new, __repr__=_repr, __reduce__=_reduce)
        found = _MADE[name, fields] = type(name, (tuple,), body)
        globals()[name] = found
    return found


def _new(cls: Any, *values: Any) -> Any:
    if len(values) == 1 and len(cls._fields) > 1:
        (values,) = values
    if len(values) != len(cls._fields):
        raise TypeError(
            f"torch.return_types.{cls.__name__} takes a {len(cls._fields)}-sequence "
            f"({len(values)}-sequence given)"
        )
    return tuple.__new__(cls, values)


def _repr(self: Any) -> str:
    rows = ",\n".join(f"{f}={v!r}" for f, v in zip(self._fields, self, strict=True))
    return f"torch.return_types.{type(self).__name__}(\n{rows})"


def _reduce(self: Any) -> Any:
    return _restore, (type(self).__name__, self._fields, tuple(self))


def _restore(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return make(name, fields)(*values)
