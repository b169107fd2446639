"""What an op is: one declaration, from which all else is made.

Dispatch, backward, forward mode, batching, tracing and tests follow from it:

    @pointwise(node="MulBackward0", input=lambda ct, other: ct * other, other=lambda ct, input: ct * input,
               samples=pairs)
    def mul(input: Operand, other: Operand) -> Array:
        \"\"\"Multiply elementwise.\"\"\"
        return input * other

The function is the *definition*: plain NumPy on arrays. Its annotations say what each parameter is:

    Array            a tensor                       Array | None     a tensor that may be left out
    Operand          a tensor or a Python scalar    Arrays           a sequence of tensors
    Plain            a tensor that keeps its dtype whatever the others have (a mask, indices); `Plain | None`
    anything else    static: passed on as it is

The lambdas are the *rules*, one per differentiable parameter and named after it: the linear transpose of the
op's derivative with respect to that parameter. A rule's own parameters name what it needs, and so what is
saved for it:

    ct               the cotangent of the result (a tuple for an op with several results)
    result           the op's result (or all of them, as a tuple)
    NAME             a parameter of the definition; a tensor is saved, a static value is kept
    NAME_shape       the shape of a tensor parameter, without saving the tensor
    NAME_dtype       its NumPy dtype, likewise

Definitions and rules may use operators, indexing with basic indices, `.shape`, `.ndim`, `.dtype`, the NumPy
functions that some op declares to answer (`numpy=`), `retrograd.ops.helpers`, and other ops, which can be
called on any arrays. They never write in place and never call methods of arrays. An op whose definition
cannot keep to that is `primitive`.

`kernel=` names the NumPy ufunc that the definition is when static parameters have their defaults: a fast path
beside the definition, tested against it. It is given Python numbers as 0-dim arrays (see numbers.py).

`large=` says from how many elements on definition and rules are worth running as machine code, compiled
from themselves (autograd/large.py); 0 is never. Traced arrays have no elements to look at: a definition that
refuses some values, and skips that when it is traced, has the check in `guard=`, a function of its arguments.

Rules are transposes, not adjoints: no rule conjugates. For complex numbers the engine conjugates the
cotangent on the way in and the result on the way out, which is right for every holomorphic op; the others
declare `holomorphic=False` and write their adjoint themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from retrograd.errors import DeclarationError

Array: TypeAlias = Any
"""An ndarray when run, a Tensor when recorded at second order, a traced array when compiled."""
Operand: TypeAlias = Any
"""An Array or a Python scalar."""
Arrays: TypeAlias = Sequence[Any]
Plain: TypeAlias = Any
"""An Array that takes no part in promotion: a mask, indices, class labels."""
Rule: TypeAlias = Callable[..., Any]

_KINDS = {
    "Array": "tensor", "Array | None": "optional", "Operand": "operand", "Operand | None": "operand?",
    "Arrays": "tensors", "Plain": "plain", "Plain | None": "plain?",
}  # fmt: skip
_REQUIRED: Any = object()

Promotion: TypeAlias = Literal["none", "match", "same", "float", "bool"]
"""What happens to operands' dtypes before the definition sees them.

    none    nothing: the definition takes any dtype (movement, indexing)
    match   they must be equal (matrix products)
    same    they are promoted to their common type, which the result has
    float   likewise, and integers become the default floating type
    bool    likewise, but the result is bool (comparisons)

In all but `none`, float16 and bfloat16 are computed in float32 and the result is rounded once.
"""


class Parameter(NamedTuple):
    """One parameter of an op: its name, what it is, its default, and whether it is keyword-only."""

    name: str
    kind: str
    default: Any
    keyword_only: bool

    @property
    def is_static(self) -> bool:
        return self.kind == "static"

    @property
    def is_required(self) -> bool:
        return self.default is _REQUIRED


@dataclass(eq=False, slots=True)
class Op:
    """An op as declared. Everything that the rest of the library knows of it is here."""

    name: str
    definition: Callable[..., Any]
    family: str
    parameters: tuple[Parameter, ...]
    node: str | Callable[..., str] | None
    rules: dict[str, Rule]
    jvp: dict[str, Rule] | Literal["rules", "linear"] | None
    batch: Callable[..., Any] | str
    samples: Callable[[], Iterable[Sample]] | None
    errors: Callable[[], Iterable[ErrorSample]] | None
    promote: Promotion
    outputs: tuple[str, ...]
    differentiable_outputs: tuple[int, ...]
    holomorphic: bool
    view: bool
    exact: bool
    kinds: str
    inplace: bool
    out: bool
    kernel: Any
    primitive: bool
    places: tuple[str, ...]
    aliases: tuple[str, ...]
    numpy: dict[Any, Any]
    torch_name: str
    large: int
    guard: Callable[..., None] | None
    function: Any = None
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the op on arrays of any kind; definitions and rules call each other's ops this way.

        Arrays that are not NumPy's (Tensors, traced arrays) are asked through `__retrograd_call__`.
        """
        for arg in (*args, *kwargs.values()):
            ask = getattr(arg, "__retrograd_call__", None)
            if ask is None and isinstance(arg, (list, tuple)):
                ask = next((x.__retrograd_call__ for x in arg if hasattr(x, "__retrograd_call__")), None)
            if ask is not None:
                return ask(self, args, kwargs)
        return self.definition(*args, **kwargs)

    @property
    def doc(self) -> str:
        """The definition's docstring."""
        return self.definition.__doc__ or ""

    def index(self, name: str) -> int:
        """Return the position of the parameter called `name`."""
        return next(i for i, p in enumerate(self.parameters) if p.name == name)


@dataclass(frozen=True, slots=True)
class Sample:
    """Arguments that an op is tested with: arrays where it takes tensors.

    `grad` is false where the op has a kink at these values, so that a difference quotient means nothing.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    grad: bool = True


@dataclass(frozen=True, slots=True)
class ErrorSample:
    """Arguments that an op must refuse, with the exception and a part of its message."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    error: type[Exception]
    message: str


TABLE: dict[str, Op] = {}
"""Every declared op by name."""

NUMPY: dict[Any, tuple[Op, Callable[..., Any] | None]] = {}
"""Which op answers a NumPy function called on tensors, and how NumPy's arguments become the op's (None: as
they are).
"""


def sample(*args: Any, grad: bool = True, **kwargs: Any) -> Sample:
    """Return a Sample of these arguments."""
    return Sample(args, kwargs, grad)


def error(kind: type[Exception], message: str, *args: Any, **kwargs: Any) -> ErrorSample:
    """Return an ErrorSample: these arguments raise `kind` with `message` in its text."""
    return ErrorSample(args, kwargs, kind, message)


def declare(
    definition: Callable[..., Any],
    *,
    family: str,
    node: str | Callable[..., str] | None = None,
    rules: dict[str, Rule] | None = None,
    jvp: dict[str, Rule] | Literal["rules", "linear"] | None = None,
    batch: Callable[..., Any] | str | None = None,
    samples: Callable[[], Iterable[Sample]] | None = None,
    errors: Callable[[], Iterable[ErrorSample]] | None = None,
    promote: Promotion = "none",
    outputs: tuple[str, ...] = (),
    differentiable_outputs: tuple[int, ...] | None = None,
    holomorphic: bool = True,
    view: bool = False,
    exact: bool = True,
    kinds: str = "buifc",
    inplace: bool = False,
    out: bool = True,
    kernel: Any = None,
    primitive: bool = False,
    places: str = "torch Tensor",
    aliases: str = "",
    numpy: Any = None,
    name: str | None = None,
    torch_name: str | None = None,
    large: int = 0,
    guard: Callable[..., None] | None = None,
) -> Op:
    """Make an Op from a definition and its rules and enter it in TABLE; families call this.

    Raises:
        DeclarationError: something is missing or contradictory; the message names it.
    """
    op = Op(
        name=name or definition.__name__,
        definition=definition,
        family=family,
        parameters=_parameters(definition),
        node=node,
        rules=dict(rules or {}),
        jvp=jvp,
        batch=batch if batch is not None else "",
        samples=samples,
        errors=errors,
        promote=promote,
        outputs=outputs,
        differentiable_outputs=(
            tuple(range(max(1, len(outputs)))) if differentiable_outputs is None else differentiable_outputs
        ),
        holomorphic=holomorphic,
        view=view,
        exact=exact,
        kinds=kinds,
        inplace=inplace,
        out=out and outputs != ("*",) and not view,
        kernel=kernel,
        primitive=primitive,
        places=tuple(places.split()),
        aliases=tuple(aliases.split()),
        numpy=numpy if isinstance(numpy, dict) else {numpy: None} if numpy is not None else {},
        torch_name=torch_name or name or definition.__name__,
        large=0 if primitive or view else large,
        guard=guard,
    )
    _check(op)
    op.needs = {parameter: _names(rule) for parameter, rule in op.rules.items()}
    TABLE[op.name] = op
    for function, adapt in op.numpy.items():
        if function in NUMPY:
            raise DeclarationError(
                f"op {op.name}: {function} is answered by {NUMPY[function][0].name} already"
            )
        NUMPY[function] = (op, adapt)
    return op


def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _parameters(definition: Callable[..., Any]) -> tuple[Parameter, ...]:
    code = definition.__code__
    names, positional = _names(definition), code.co_argcount
    defaults = definition.__defaults__ or ()
    default_of = dict(zip(names[positional - len(defaults) : positional], defaults, strict=True))
    default_of.update(definition.__kwdefaults__ or {})
    notes = definition.__annotations__
    return tuple(
        Parameter(n, _KINDS.get(notes.get(n, ""), "static"), default_of.get(n, _REQUIRED), i >= positional)
        for i, n in enumerate(names)
    )


def _is_fact(name: str, tensors: Sequence[str]) -> bool:
    """Whether a name is that of a tensor parameter's shape or dtype."""
    owner, _, what = name.rpartition("_")
    return what in ("shape", "dtype") and owner in tensors


def _check(op: Op) -> None:
    """Refuse a declaration that something later would have to guess about."""
    missing = []
    kinds = {p.name: p.kind for p in op.parameters}
    tensors = [name for name, kind in kinds.items() if kind != "static"]
    if not op.definition.__doc__:
        missing.append("a docstring")
    if op.rules and not op.node:
        missing.append("node=: the name of its graph node")
    if op.rules and op.jvp is None:
        missing.append("jvp=: the forward rule")
    if not op.batch:
        missing.append("batch=: the batching rule")
    if op.samples is None:
        missing.append("samples=: arguments to test it with")
    for parameter, rule in op.rules.items():
        if parameter not in tensors:
            missing.append(f"a tensor parameter for the rule {parameter!r} (has {sorted(tensors)})")
        names = _names(rule)
        unknown = [n for n in names if not (n in kinds or n in ("ct", "result") or _is_fact(n, tensors))]
        if unknown:
            known = ["ct", "result", *kinds, *(f"{n}_{what}" for n in tensors for what in ("shape", "dtype"))]
            missing.append(f"a meaning for {unknown} in the rule of {parameter!r} (known: {sorted(known)})")
        if "ct" not in names:
            missing.append(f"the parameter 'ct' in the rule of {parameter!r}")
    if isinstance(op.jvp, dict) and set(op.jvp) != set(op.rules):
        missing.append(f"forward rules for {sorted(set(op.rules) ^ set(op.jvp))}")
    if op.name in TABLE:
        missing.append(f"a name of its own ({op.name} is declared twice)")
    if missing:
        where = op.definition.__code__
        raise DeclarationError(
            f"op {op.name} ({where.co_filename}:{where.co_firstlineno}) lacks " + "; ".join(missing)
        )
