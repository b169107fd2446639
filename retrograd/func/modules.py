"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other tensors in the place of its parameters and buffers.

    Args:
        module: any module; it is as before afterwards.
        parameter_and_buffer_dicts: tensors by name, as in `named_parameters`; or several such dictionaries.
            What is not named keeps its own.
        args: the arguments: a tuple, or the only one.
        kwargs: the keyword arguments.
        tie_weights: a tensor that the module has under several names is replaced under all of them.
        strict: refuse names that the module does not have, and missing ones.

    Raises:
        RuntimeError: `strict`, and the names differ.
        ValueError: one name is in several dictionaries.

    Example:
        >>> import retrograd as torch
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> torch.func.functional_call(model, {"weight": torch.ones(1, 2)}, torch.ones(2))
        tensor([2.])
    """
    given = _merged(parameter_and_buffer_dicts)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _merged(dictionaries: Any) -> dict[str, Any]:
    if isinstance(dictionaries, dict):
        return dictionaries
    if not isinstance(dictionaries, Sequence):
        raise ValueError(  # noqa: TRY004 - torch's exception
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(dictionaries)}"
        )
    merged: dict[str, Any] = {}
    for one in dictionaries:
        if not isinstance(one, dict):
            raise ValueError(  # noqa: TRY004 - torch's exception
                f"Expected all elements of parameter_and_buffer_dicts to be dictionaries, got {type(one)}"
            )
        merged.update(one)
    counts = [name for one in dictionaries for name in one]
    repeated = [name for name in merged if counts.count(name) > 1]
    if repeated:
        raise ValueError(
            f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous"
        )
    return merged


def _own_tensors(module: Any) -> dict[str, Any]:
    """Return all parameters and buffers by name, those that have several names under each."""
    found = dict(module.named_parameters(remove_duplicate=False))
    found.update(module.named_buffers(remove_duplicate=False))
    return found


@contextmanager
def _replaced(module: Any, given: dict[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    own = _own_tensors(module)
    if strict:
        _check_names(module, given, own)
    values = dict(given)
    if tie_weights:
        by_identity = {id(own[name]): value for name, value in given.items() if name in own}
        for name, tensor in own.items():
            if name not in given and id(tensor) in by_identity:
                values[name] = by_identity[id(tensor)]
    before: list[tuple[dict[str, Any], str, Any, bool]] = []
    try:
        for name, value in values.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{value} is not an instance of torch.Tensor")
            owner, attribute = _owner(module, name)
            place = owner.__dict__
            before.append((place, attribute, place.get(attribute), attribute in place))
            place[attribute] = value
        yield
    finally:
        for place, attribute, value, was_there in reversed(before):
            if was_there:
                place[attribute] = value
            else:
                place.pop(attribute, None)


def _owner(module: Any, name: str) -> tuple[Any, str]:
    *path, attribute = name.split(".")
    for part in path:
        if not hasattr(module, part):
            raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
        module = getattr(module, part)
    return module, attribute


def _check_names(module: Any, given: dict[str, Any], own: dict[str, Any]) -> None:
    lines = []
    for what, names in (("Unexpected", given.keys() - own.keys()), ("Missing", own.keys() - given.keys())):
        if names:
            lines.append(f"\n\t{what} key(s): {', '.join(map(repr, sorted(names)))}.")
    if lines:
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:{''.join(lines)}")


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and the buffers of several modules of one kind, stacked in a new dimension 0.

    With `vmap` over `functional_call` the modules then run as one.

    Raises:
        RuntimeError: there is no module, or they differ in class or mode.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(m.training is not models[0].training for m in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {name: _stacked([p[name] for p in parameters]) for name in parameters[0]},
        {name: _stacked([b[name] for b in buffers]) for name in buffers[0]},
    )


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    made: Tensor = TABLE["stack"].function(list(tensors), 0).detach()
    requires_grad = tensors[0].requires_grad
    if any(t.requires_grad is not requires_grad for t in tensors):
        raise RuntimeError(
            "Expected the same parameter in all models to have the same .requires_grad; they differ between "
            "models"
        )
    return made.requires_grad_(requires_grad)


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Make batch norms within a module forget their running statistics, which vmap cannot update."""
    for module in root.modules():
        if any(cls.__name__ == "_BatchNorm" for cls in type(module).__mro__):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
