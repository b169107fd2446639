"""gradcheck and gradgradcheck: compare gradients with finite differences.

    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    gradcheck(torch.sin, x)         # True, or GradcheckError with both numbers

The checks themselves are in gradcheck_steps.py, the Jacobians in jacobians.py, the texts in
gradcheck_report.py. `torch.autograd.gradcheck` is this module; calling it calls the function.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.callable_module import CallableModule
from retrograd.autograd.calls import grad
from retrograd.autograd.gradcheck_more import batched_backward, batched_forward, undefined
from retrograd.autograd.gradcheck_report import GradcheckError
from retrograd.autograd.gradcheck_steps import Check, Options
from retrograd.autograd.jacobians import (
    as_tuple,
    get_analytical_jacobian,
    get_numerical_jacobian,
    get_numerical_jacobian_wrt_specific_input,
    is_differentiable,
)
from retrograd.tensor import Tensor, wrap

__all__ = [
    "GradcheckError", "get_analytical_jacobian", "get_numerical_jacobian",
    "get_numerical_jacobian_wrt_specific_input", "gradcheck", "gradgradcheck",
]  # fmt: skip


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,  # noqa: ARG001 - torch has it; about sparse tensors
) -> bool:
    """Check the gradients of a function against central differences.

    An element passes if |analytical - numerical| <= atol + rtol * |numerical|. The inputs that require grad
    are changed in place and restored; they should have float64 or complex128.

    Args:
        func: takes the inputs, and returns a tensor or several.
        inputs: a tensor, or a sequence of tensors and anything else.
        eps: how far an element is moved, each way.
        atol: the absolute tolerance.
        rtol: the relative tolerance.
        raise_exception: raise when a check fails; otherwise return False.
        nondet_tol: how far two equal backward passes may be apart.
        check_undefined_grad: also check that backward takes undefined cotangents, and gives nothing for them.
        check_grad_dtypes: also check that each gradient has its input's dtype.
        check_batched_grad: also compare gradients of a batch of cotangents with the single ones.
        check_batched_forward_grad: the same for forward mode.
        check_forward_ad: compare forward mode too.
        check_backward_ad: compare backward.
        fast_mode: compare products with random vectors instead of all elements.
        masked: accepted; it is about sparse tensors, of which there are none.

    Returns:
        True; False if a check failed and `raise_exception` is false.

    Raises:
        GradcheckError: a check failed; the text has both Jacobians, the worst element and what it looks like.
        ValueError: no input requires grad.
        RuntimeError: an input overlaps itself.

    Example:
        >>> import retrograd as torch
        >>> torch.autograd.gradcheck(torch.sin, torch.ones(2, dtype=torch.float64, requires_grad=True))
        True
    """
    assert check_forward_ad or check_backward_ad, (
        "Expected at least one of check_forward_ad or check_backward_ad to be True"
    )
    assert not (check_batched_grad and not check_backward_ad), (
        "Setting check_batched_grad=True requires check_backward_ad to be True"
    )
    assert not (check_batched_forward_grad and not check_forward_ad), (
        "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
    )
    given = as_tuple(inputs)
    _check_inputs(given)
    check = Check(func, given, Options(eps, atol, rtol, nondet_tol, check_grad_dtypes, fast_mode))
    steps = (
        (not check.outputs, check.nothing_moves),
        (check_backward_ad and not fast_mode, check.backward),
        (check_backward_ad and fast_mode, check.fast_backward),
        (check_forward_ad, check.forward),
        (check_batched_grad, lambda: batched_backward(check)),
        (check_batched_forward_grad, lambda: batched_forward(check)),
        (check_undefined_grad and check_backward_ad, lambda: undefined(check)),
    )
    try:
        with np.errstate(all="ignore"):
            for wanted, step in steps:
                if wanted:
                    step()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    given = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    for i, x in given:
        if x.dtype not in (dtypes.float64, dtypes.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. "
                "This check "
                "will likely fail if all the inputs are not of double precision floating point or complex. ",
                UserWarning,
                stacklevel=4,
            )
        if any(stride == 0 and n > 1 for stride, n in zip(x._array.strides, x._array.shape, strict=True)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                ".contiguous on the input before passing it to gradcheck."
            )
    if not given:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have "
            "requires_grad=True."
        )


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the second gradients of a function: gradcheck of its backward, by inputs and cotangents.

    Args:
        func: as for `gradcheck`.
        inputs: as for `gradcheck`.
        grad_outputs: cotangents of the outputs; random ones by default, always the same.
        eps: as for `gradcheck`, like all that is not named here.
        atol: the absolute tolerance.
        rtol: the relative tolerance.
        gen_non_contig_grad_outputs: make the random cotangents non-contiguous.
        raise_exception: raise when a check fails; otherwise return False.
        nondet_tol: how far two equal backward passes may be apart.
        check_undefined_grad: also check undefined cotangents.
        check_grad_dtypes: also check the gradients' dtypes.
        check_batched_grad: also check batches of cotangents.
        check_fwd_over_rev: differentiate the backward by forward mode.
        check_rev_over_rev: differentiate the backward by backward.
        fast_mode: compare products with random vectors instead of all elements.
        masked: accepted, as for `gradcheck`.

    Raises:
        GradcheckError: a check failed.
    """
    assert check_fwd_over_rev or check_rev_over_rev, (
        "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
    )
    given = as_tuple(inputs)
    count = len(given)
    if grad_outputs is None:
        outputs = [o for o in as_tuple(func(*given)) if is_differentiable(o) and o.requires_grad]
        cts = _random_cotangents(outputs, strided=gen_non_contig_grad_outputs)
    else:
        cts = as_tuple(grad_outputs)

    def backward(*args: Any) -> tuple[Any, ...]:
        inner = tuple(
            x if not isinstance(x, Tensor) or not is_differentiable(x) or x.requires_grad else x.detach()
            for x in args[:count]
        )
        outputs = [o for o in as_tuple(func(*inner)) if is_differentiable(o) and o.requires_grad]
        wanted = [x for x in inner if isinstance(x, Tensor) and x.requires_grad]
        found = grad(outputs, wanted, args[count:], create_graph=True, allow_unused=True)
        return tuple(ct for ct in found if ct is not None)

    return gradcheck(
        backward, given + cts, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, fast_mode=fast_mode, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, masked=masked,
    )  # fmt: skip


def _random_cotangents(outputs: list[Tensor], *, strided: bool) -> tuple[Tensor, ...]:
    rng = np.random.default_rng(54)  # the same in every run, and nobody else's generator
    made = []
    for output in outputs:
        array = np.asarray(rng.standard_normal(output._array.shape), dtype=complex)
        if output.dtype.is_complex:
            array = array + 1j * rng.standard_normal(array.shape)
        array = (array if output.dtype.is_complex else array.real).astype(output._array.dtype)
        if strided and array.ndim:
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        tensor = wrap(array)
        tensor.requires_grad = True
        made.append(tensor)
    return tuple(made)


sys.modules[__name__].__class__ = CallableModule
