"""What leaves are called: the names of parameters in the modules that own them.

Looked for among all objects that live, so only where a name is worth the time: in errors and reports.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from retrograd.autograd.graph import AccumulateGrad
from retrograd.autograd.where import library, outside


def owners_of(leaves: Iterable[AccumulateGrad]) -> dict[Any, str]:
    """Return `path.name` of the leaves that are parameters of living modules, from the outermost module."""
    nodes = set(leaves)
    room = sys.modules.get("retrograd.nn.module")
    if room is None or not nodes:
        return {}
    found: dict[Any, str] = {}
    live = (x for x in gc.get_objects() if issubclass(type(x), room.Module) and "_names" in x.__dict__)
    for module in live:
        for name, parameter in module.named_parameters(remove_duplicate=False):
            node = getattr(parameter, "_node", None)
            if node in nodes and name.count(".") >= found.get(node, "").count("."):
                found[node] = name
    return found


def name_of_leaf(tensor: Any) -> str | None:
    """Return what a tensor is called: `parameter 'fc.weight'`, or the user's variable `w`; None if nothing.

    Variables are those of the functions that are being called, the innermost first.
    """
    node = getattr(tensor, "_node", None)
    if type(node) is AccumulateGrad:
        names = owners_of([node])
        if names:
            return f"parameter '{names[node]}'"
    frame: FrameType | None = outside(sys._getframe(1))
    while frame is not None:
        if not library[frame.f_code.co_filename]:
            for name, value in frame.f_locals.items():
                if value is tensor and name.isidentifier() and not name.startswith("_"):
                    return f"variable '{name}' of {frame.f_code.co_name}"
        frame = frame.f_back
    return None
