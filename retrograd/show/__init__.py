"""Pictures and tables of what a program did."""

from __future__ import annotations

from retrograd.show.graph import graph_svg

__all__ = ["graph_svg"]
