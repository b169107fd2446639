"""Numbers among the arguments of a compiled function."""

from __future__ import annotations

from typing import Any

from retrograd.arrays import Recorder
from retrograd.arrays.numbers import Number, Owner


class SpecialiseError(BaseException):
    """A number's value is needed after all: the function is traced again with it as a constant.

    No Exception, so that the traced function does not swallow it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text  # the number's expression, which has the places in it


class Given(Owner):
    """The floats among the arguments that differ from call to call, by their place in the call's code."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.forced: str | None = None

    def force(self, number: Number, why: str) -> Any:
        """Give up on the places that the number is made of."""
        del why
        self.forced = number.text
        raise SpecialiseError(number.text)

    def check(self) -> None:
        """Raise again what the traced function may have swallowed."""
        if self.forced is not None:
            raise SpecialiseError(self.forced)
