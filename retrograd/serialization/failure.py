"""The error of files that cannot be loaded."""

from __future__ import annotations


class CheckpointError(RuntimeError):
    """A file is damaged, or holds what is not loaded."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"load: {file}: {problem}")
