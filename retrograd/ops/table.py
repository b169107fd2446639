"""Every file of declarations: importing this fills `declare.TABLE`. A new file of ops is added here, one line each."""

from __future__ import annotations

import retrograd.ops.pointwise
import retrograd.ops.write
