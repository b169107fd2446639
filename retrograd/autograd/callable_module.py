"""Modules that are called like the function they are named after.

torch.autograd.gradcheck is both: a function to call, and a module to import GradcheckError from.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module whose call is the call of its member of the same name."""

    def _member(self) -> Any:
        return self.__dict__[self.__name__.rpartition(".")[2]]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._member()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._member())
