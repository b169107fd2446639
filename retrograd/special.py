"""torch.special: special functions under their public names."""

from __future__ import annotations

from retrograd import public
from retrograd.functions.overloads import SPECIAL

globals().update(public.functions("special"))
globals().update(SPECIAL)
