"""Modules as functions of their parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor
