"""Random draws of a traced function: done anew before each run, by the code that always does them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrograd.arrays import Recorder, Traced
from retrograd.arrays.ir import Value
from retrograd.arrays.numbers import Number
from retrograd.arrays.traced import place, refused
from retrograd.errors import UntraceableError
from retrograd.random.mt19937 import default_generator, watcher


@dataclass(frozen=True, slots=True)
class Draw:
    """One call of a distribution, and the input of the program that its result becomes."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Value

    def __call__(self) -> Any:
        return self.function(*self.args, **self.kwargs)


class Draws:
    """Watches the distributions while a function is traced; no generator moves."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.made: list[Draw] = []

    def start(self) -> None:
        """Watch this thread."""
        watcher.call, watcher.moved = self._drawn, self._moved

    def stop(self) -> None:
        """Watch no longer."""
        watcher.call = watcher.moved = None

    def _moved(self, what: str) -> Exception:
        return refused(
            UntraceableError(
                f"Generator.{what} is called, which a compiled program would not repeat, at {place()}"
            )
        )

    def _drawn(
        self, function: Callable[..., Any], generator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Traced:
        """Return the traced array of a draw, whose shape and dtype another generator's draw tells."""
        for number in (*args, *kwargs.values()):
            if isinstance(number, Number):
                number.owner.force(number, "a random draw")
        if any(isinstance(a, Traced) for a in (*args, *kwargs.values())):
            raise refused(
                UntraceableError(
                    f"{function.__name__} draws with probabilities or bounds that are traced, at {place()}"
                )
            )
        self.stop()
        try:
            twin = (default_generator if generator is None else generator).clone_state()
            example = function(twin, *args, **kwargs)
        finally:
            self.start()
        handle = self.recorder.input(example)
        self.made.append(Draw(function, (generator, *args), kwargs, handle._value))
        return handle
