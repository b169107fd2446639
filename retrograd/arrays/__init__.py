"""What computes: arrays of other kinds than NumPy's, which definitions and rules run on unchanged."""

from __future__ import annotations

from retrograd.arrays.evaluate import evaluate
from retrograd.arrays.ir import Instruction, Program, ProgramError, Value, tidy, verify
from retrograd.arrays.recorder import Recorder, trace
from retrograd.arrays.traced import Traced
from retrograd.arrays.vocabulary import ValueDependentError

__all__ = [
    "Instruction", "Program", "ProgramError", "Recorder", "Traced", "Value", "ValueDependentError",
    "evaluate", "tidy", "trace", "verify",
]  # fmt: skip
