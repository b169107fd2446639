"""What schedules share: when rates are computed, where they are put, what is saved."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from retrograd.optim.optimizer import Optimizer
from retrograd.tensor import Tensor, wrap

_ADVICE = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
_WRONG_ORDER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later, you "
    "should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure to do "
    "this will result in "
    f"PyTorch skipping the first value of the learning rate schedule. {_ADVICE}"
)
_OVERRIDDEN = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
    "Please, make "
    f"sure to call `optimizer.step()` before `lr_scheduler.step()`. {_ADVICE}"
)
EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use `scheduler.step()` to step the scheduler. During the deprecation, if epoch is different from "
    "None, the closed form is used instead of the new chainable form, where available. Please open an issue "
    "if you are unable to replicate your use case: https://github.com/pytorch/pytorch/issues/new/choose."
)


class LRScheduler:
    """The base of the schedules; a subclass defines `get_lr`, and `_get_closed_form_lr` where there is one.

    Args:
        optimizer: whose groups' rates are set.
        last_epoch: the number of the last step taken before; -1 starts anew from the groups' present rates.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        if last_epoch == -1:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", _copied(group["lr"]))
        else:
            for i, group in enumerate(optimizer.param_groups):
                if "initial_lr" not in group:
                    raise KeyError(
                        f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler "
                        "with last_epoch >= 0.\nThis typically happens when:\n1. You're trying to resume "
                        "training from a checkpoint but haven't properly loaded the optimizer state\n2. "
                        "You're using last_epoch >= 0 for a fresh training run (not recommended)"
                    )
        self.base_lrs: list[Any] = [_copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch: int = last_epoch
        _watch_steps(optimizer)
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_last_lr(self) -> list[Any]:
        """Return the groups' rates as last set."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """Return the groups' rates for the step `last_epoch`."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of `epoch`."""
        self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._advance(epoch)

    def _advance(self, epoch: int | None) -> None:
        """Compute and set the rates of the next epoch, or of `epoch`."""
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                values = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set(values)

    def _set(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=False):
            put(group, "lr", value)
        self._last_lr = [_copied(group["lr"]) for group in self.optimizer.param_groups]

    def _warn_of_order(self) -> None:
        if self._step_count != 1:
            return
        if not getattr(self.optimizer.step, "_watched", False):
            warnings.warn(_OVERRIDDEN, UserWarning, stacklevel=3)
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(_WRONG_ORDER, UserWarning, stacklevel=3)

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _rates(self) -> list[Any]:
        """Return the groups' present rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the schedule knows, except the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.__dict__.update(state_dict)


def _watch_steps(optimizer: Any) -> None:
    """Note whether the optimizer's `step` is called, and is still the one it was when a schedule was made."""
    if getattr(optimizer.step, "_watched", False):
        return
    inner = optimizer.step

    @functools.wraps(inner)
    def step(*args: Any, **kwargs: Any) -> Any:
        optimizer._opt_called = True
        return inner(*args, **kwargs)

    optimizer._opt_called = False
    step._watched = True  # type: ignore[attr-defined]
    optimizer.step = step


def put(group: dict[str, Any], name: str, value: Any) -> None:
    """Set an option of a group; where it is a Tensor, its element."""
    have = group[name]
    if isinstance(have, Tensor):
        have._array[...] = value._array if isinstance(value, Tensor) else value
        have._version_cell().bump()
    else:
        group[name] = value


def _copied(value: Any) -> Any:
    return wrap(value._array.copy()) if isinstance(value, Tensor) else value


def per_group(name: str, value: Any, optimizer: Any) -> list[Any]:
    """Return one value per group.

    Raises:
        ValueError: a list of another length was given.
    """
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {count}."
        )
    return list(value)
