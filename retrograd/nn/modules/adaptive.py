"""Softmax over very many classes, in clusters by how frequent they are."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.functions.joins import cat
from retrograd.nn import functional as F
from retrograd.nn.functions.ops import OPS
from retrograd.nn.module import Module
from retrograd.nn.modules.container import ModuleList, Sequential
from retrograd.nn.modules.linear import Linear
from retrograd.tensor import wrap

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])  # noqa: PYI024


class AdaptiveLogSoftmaxWithLoss(Module):
    """Score frequent classes in full, and rare ones in clusters with ever smaller projections.

    Classes are sorted by falling frequency; `cutoffs` say where clusters begin. Each cluster's features are
    `div_value` times fewer than those of the one before.

    Shape: (n, in_features) or (in_features), (n) or () -> output: log probabilities of the targets; loss
    Source: E. Grave et al., Efficient softmax approximation for GPUs (2017).
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
        head_bias: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        rising = cutoffs == sorted(set(cutoffs)) and all(int(c) == c for c in cutoffs)
        if not rising or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1:
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                "order, where "
                "each value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, False, device, dtype),
                    Linear(hidden, classes, False, device, dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.head.reset_parameters()
        for project, score in self.tail:
            project.reset_parameters()
            score.reset_parameters()

    def forward(self, input: Any, target: Any) -> Any:
        self._check(input, target)
        single = target.ndim == 0
        if single:
            input, target = input.unsqueeze(0), target.unsqueeze(0)
        labels = target._array
        head = F.log_softmax(self.head(input), 1)
        # Every row takes its class's column of the head, or its cluster's, and what that cluster adds.
        columns = np.where(labels < self.shortlist_size, labels, 0)
        clusters = []
        for i in range(self.n_clusters):
            inside = (labels >= self.cutoffs[i]) & (labels < self.cutoffs[i + 1])
            rows = np.nonzero(inside)[0]
            columns[rows] = self.shortlist_size + i
            if rows.size:
                clusters.append((i, rows))
        output = OPS["gather"](head, 1, wrap(columns[:, None])).squeeze(1)
        for i, rows in clusters:
            at = wrap(rows)
            scores = F.log_softmax(self.tail[i](OPS["index_select"](input, 0, at)), 1)
            mine = OPS["gather"](scores, 1, wrap((labels[rows] - self.cutoffs[i])[:, None])).squeeze(1)
            output = OPS["index_add"](output, 0, at, mine)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    def _check(self, input: Any, target: Any) -> None:
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.ndim == 1 and input.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if target.ndim == 1 and input.ndim != 2:
            raise RuntimeError("1D target tensor expects 2D input tensors, but found inputs with size "
                               f"{input.shape}")  # fmt: skip
        if target.ndim == 0 and input.ndim != 1:
            raise RuntimeError("0D target tensor expects 1D input tensors, but found inputs with size "
                               f"{input.shape}")  # fmt: skip
        labels = target._array
        if labels.size and not (labels.min() >= 0 and labels.max() < self.n_classes):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{labels.min()}, {labels.max()}] were found. "
            )

    def log_prob(self, input: Any) -> Any:
        """Return the log probabilities of all classes: (n, in_features) -> (n, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(F.log_softmax(cluster(input), 1) + head[:, at : at + 1])
        return cat(parts, 1)

    def predict(self, input: Any) -> Any:
        """Return the most probable class of each row."""
        return self.log_prob(input).argmax(1)
