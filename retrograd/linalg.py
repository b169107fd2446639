"""Linear algebra: retrograd.linalg, as torch.linalg. What is computed is declared in ops/linalg_*.py."""

from __future__ import annotations

from retrograd.errors import LinAlgError as LinAlgError  # noqa: PLC0414 - a public name here
from retrograd.public import functions

globals().update({name.removeprefix("linalg_"): made for name, made in functions("linalg").items()})
