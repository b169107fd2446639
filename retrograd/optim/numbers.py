"""The numbers of an optimizer's step, for a program that runs at every step.

What `prepare` makes of the learning rate and the count of steps differs from step to step: such a number is
an input of the program, a `Number` (arrays/numbers.py). `update` may compute with it before it meets an
array, as in `1 - n.beta1`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from retrograd.arrays import Recorder
from retrograd.arrays.numbers import Number, Owner
from retrograd.arrays.traced import place, refused
from retrograd.errors import UntraceableError


class Numbers(Owner):
    """What `prepare` returned, as `update` takes it when it is traced.

    Args:
        recorder: of the program.
        given: what `prepare` returned for this step.
        probes: what it returns for other steps and learning rates: what differs is an input.
    """

    def __init__(self, recorder: Recorder, given: Any, probes: list[Any]) -> None:
        super().__init__(recorder)
        numbers: list[Any] = []
        static = []
        for i, value in enumerate(given):
            if type(value) in (int, float) and any(p[i] != value for p in probes):
                numbers.append(Number(self, f"n[{i}]", value))
            else:
                numbers.append(value)
                static.append(i)
        self._static: Callable[[Any], Any] = itemgetter(*static) if static else lambda _: None
        self._expected = self._static(given)
        self.given = type(given)(*numbers) if hasattr(given, "_fields") else tuple(numbers)
        self._fill: Any = None
        self._holds: Any = None

    def force(self, number: Number, why: str) -> Any:
        """Refuse: the formula is to be one for all values."""
        raise refused(UntraceableError(f"an optimizer's update uses {why} of {number.text}, at {place()}"))

    def close(self) -> None:
        """Write the code that computes the numbers, once all of them are known."""
        names: dict[str, Any] = {f"a{k}": array for k, (array, _) in enumerate(self.inputs.values())}
        lines = [f"    a{k}[()] = {text}" for k, (text, _) in enumerate(self.inputs)]
        source = "\n".join(["def fill(n):", *lines, "    return True", ""])
        source += f"def holds(n):\n    return {' and '.join(self.conditions) or True}\n"
        exec(compile(source, "<retrograd step>", "exec"), names)  # noqa: S102 - our own text, written above
        self._fill, self._holds = names["fill"], names["holds"]

    def fill(self, given: Any) -> bool:
        """Put the numbers of another step into the inputs; False if the program is not the one for them."""
        if self._static(given) != self._expected or not self._holds(given):
            return False
        self._fill(given)
        return True

    @property
    def arrays(self) -> tuple[np.ndarray[Any, Any], ...]:
        """The arrays of the inputs, in the order in which `update` asked for them."""
        return tuple(array for array, _ in self.inputs.values())
