"""The version: retrograd.version, as torch.version."""

from __future__ import annotations

from retrograd import __version__ as __version__  # noqa: PLC0414 - a public name here

cuda = hip = git_version = xpu = None
debug = False
