"""Recurrent layers: RNN, LSTM and GRU over whole sequences."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import numpy as np

from retrograd.functions.joins import cat, stack
from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.modules import rnn_steps
from retrograd.nn.modules.made import parameter
from retrograd.nn.modules.rnn_packed import run_packed
from retrograd.nn.utils.rnn import PackedSequence
from retrograd.tensor import wrap


class RNNBase(Module):
    """What recurrent layers share: the parameters of all layers and directions, and the walk over them.

    Args:
        mode: 'RNN_TANH', 'RNN_RELU', 'LSTM' or 'GRU'.
        input_size: the size of an element of the sequence.
        hidden_size: that of the state.
        num_layers: each layer runs over the results of the one before.
        bias: whether there are biases.
        batch_first: sequences are (N, L, size) instead of (L, N, size).
        dropout: applied to the results of all layers but the last.
        bidirectional: run in both directions and join the results.
        proj_size: an LSTM's output is projected to this size, if not 0.
        device: where the parameters are.
        dtype: their type.
    """

    gates: ClassVar[dict[str, int]] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check(dropout)
        self._all_weights: list[list[str]] = []
        self._make_weights(device, dtype)
        self.reset_parameters()

    def _check(self, dropout: Any) -> None:
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element "
                "being zeroed"
            )
        if dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={self.num_layers}",
                stacklevel=4,
            )
        if not isinstance(self.hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(self.hidden_size).__name__}")
        if self.hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if self.num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if self.proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")

    def _make_weights(self, device: Any, dtype: Any) -> None:
        rows = self.gates[self.mode] * self.hidden_size
        out = self.proj_size or self.hidden_size
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            size = self.input_size if layer == 0 else out * directions
            for direction in range(directions):
                end = f"_l{layer}{'_reverse' if direction else ''}"
                shapes: dict[str, Any] = {f"weight_ih{end}": (rows, size), f"weight_hh{end}": (rows, out)}
                if self.bias:
                    shapes |= {f"bias_ih{end}": (rows,), f"bias_hh{end}": (rows,)}
                if self.proj_size > 0:
                    shapes[f"weight_hr{end}"] = (self.proj_size, self.hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(name, parameter(shape, dtype, device))
                self._all_weights.append(list(shapes))

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, one list per layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Do nothing: parameters lie in memory as they were made."""

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    # ---- forward ----

    def _states(self, input: Any, hx: Any) -> tuple[Any, ...]:
        """Return the initial states, (layers * directions, N, size): zeros, or the given ones, checked."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.proj_size or self.hidden_size]
        if self.mode == "LSTM":
            sizes.append(self.hidden_size)
        shapes = [(count, input.shape[1], size) for size in sizes]
        if hx is None:
            return tuple(wrap(np.zeros(shape, input._array.dtype)) for shape in shapes)
        for i, (state, shape) in enumerate(zip(hx, shapes, strict=True)):
            if tuple(state.shape) != shape:
                what = f"hidden[{i}]" if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {what} size {shape}, got {list(state.shape)}")
        return tuple(hx)

    def _run(self, input: Any, hx: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return the results (L, N, size) and the last states of all layers and directions."""
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}"
            )
        states = self._states(input, hx)
        walk = getattr(rnn_steps, self.mode.lower())
        directions = 2 if self.bidirectional else 1
        last: list[list[Any]] = [[] for _ in states]
        weights = self.all_weights
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                i = layer * directions + direction
                w_ih, w_hh, *rest = weights[i]
                b_ih, b_hh = rest[:2] if self.bias else (None, None)
                steps = list(F.linear(input, w_ih, b_ih).unbind(0))
                if direction:
                    steps.reverse()
                projection = rest[-1] if self.proj_size > 0 else None
                results, final = walk(steps, [s[i] for s in states], w_hh, b_hh, projection)
                if direction:
                    results.reverse()
                outputs.append(stack(results))
                for gathered, state in zip(last, final, strict=True):
                    gathered.append(state)
            input = outputs[0] if directions == 1 else cat(outputs, -1)
            if self.dropout > 0 and layer < self.num_layers - 1:
                input = F.dropout(input, self.dropout, self.training)
        return input, tuple(stack(states) for states in last)

    def _forward(self, input: Any, hx: Any) -> tuple[Any, tuple[Any, ...]]:
        if isinstance(input, PackedSequence):
            return run_packed(self, getattr(rnn_steps, self.mode.lower()), input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        if not batched:
            input = input.unsqueeze(1)
            for state in hx or ():
                if state.dim() != 2:
                    raise RuntimeError(
                        f"For unbatched 2-D input, hx should also be 2-D but got {state.dim()}-D tensor"
                    )
            hx = None if hx is None else tuple(state.unsqueeze(1) for state in hx)
        else:
            for state in hx or ():
                if state.dim() != 3:
                    raise RuntimeError(
                        f"For batched 3-D input, hx should also be 3-D but got {state.dim()}-D tensor"
                    )
            if self.batch_first:
                input = input.transpose(0, 1)
        output, states = self._run(input, hx)
        if not batched:
            return output.squeeze(1), tuple(state.squeeze(1) for state in states)
        return output.transpose(0, 1) if self.batch_first else output, states

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size != 0:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if self.batch_first is not False:
            parts.append(f"batch_first={self.batch_first}")
        if self.dropout != 0:
            parts.append(f"dropout={self.dropout}")
        if self.bidirectional is not False:
            parts.append(f"bidirectional={self.bidirectional}")
        return ", ".join(parts)


class RNN(RNNBase):
    """Run h <- tanh(W x + b + V h + c) over sequences, or relu instead of tanh.

    Shape: (L, N, input_size) -> (L, N, directions * hidden_size), and the last states
    Source: J. Elman (1990).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool =
        True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        _no_projection(kwargs)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self_mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            self_mode,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, states = self._forward(input, None if hx is None else (hx,))
        return output, states[0]


class LSTM(RNNBase):
    """Run long short-term memory cells over sequences.

    Math:
        i, f, o = sigmoid(...), g = tanh(...), each of W x + b + V h + c;  c <- f c + i g;  h <- o tanh(c)
    Shape: (L, N, input_size) -> (L, N, directions * hidden_size), and the last states (h, c)
    Source: S. Hochreiter, J. Schmidhuber (1997).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool =
        False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any
        = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device,
            dtype,
        )  # fmt: skip

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        return self._forward(input, hx)


class GRU(RNNBase):
    """Run gated recurrent units over sequences.

    Math:
        r, z = sigmoid(...);  n = tanh(W x + b + r (V h + c));  h <- (1 - z) n + z h
    Shape: (L, N, input_size) -> (L, N, directions * hidden_size), and the last states
    Source: K. Cho et al. (2014).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool =
        False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None, **kwargs:
        Any,
    ) -> None:  # fmt: skip
        _no_projection(kwargs)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, states = self._forward(input, None if hx is None else (hx,))
        return output, states[0]


def _no_projection(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if kwargs:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(kwargs))}'")
