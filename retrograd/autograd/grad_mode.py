"""torch's public path of the recording modes, and two switches of torch's engine that change nothing here."""

from __future__ import annotations

import threading
from typing import ClassVar

from retrograd.autograd.modes import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "enable_grad", "enforce_grad_layout_policy", "inference_mode", "no_grad", "set_grad_enabled",
    "set_multithreading_enabled",
]  # fmt: skip


class _Switches(threading.local):
    multithreading = True
    grad_layout = True


_switches = _Switches()


class _Switch:
    """A flag of this thread: set at once when called; as context manager until its end."""

    name: ClassVar[str]

    def __init__(self, mode: bool) -> None:
        self._before = getattr(_switches, self.name)
        setattr(_switches, self.name, bool(mode))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        setattr(_switches, self.name, self._before)


class set_multithreading_enabled(_Switch):  # noqa: N801 - torch's public name
    """Allow backward to use threads of its own. It never does: backward runs in the thread that calls it."""

    name = "multithreading"


class enforce_grad_layout_policy(_Switch):  # noqa: N801 - torch's public name
    """Demand that gradients lie in memory as their parameters do. Here they always do."""

    name = "grad_layout"

    def __init__(self, enable: bool = True) -> None:
        super().__init__(enable)


def is_multithreading_enabled() -> bool:
    """Return what `set_multithreading_enabled` last said in this thread."""
    return _switches.multithreading


def is_view_replay_enabled() -> bool:
    """Return whether views are derived from a written base by replaying them: never, geometry is used."""
    return False
