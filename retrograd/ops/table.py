"""Every file of declarations: importing this fills `declare.TABLE`. A new file of ops is added here, one line each."""

from __future__ import annotations

import retrograd.ops.activation
import retrograd.ops.along
import retrograd.ops.attention
import retrograd.ops.bitwise
import retrograd.ops.choose
import retrograd.ops.classify
import retrograd.ops.compare
import retrograd.ops.complexes
import retrograd.ops.conv
import retrograd.ops.einsum
import retrograd.ops.elementary
import retrograd.ops.extremes
import retrograd.ops.index
import retrograd.ops.joining
import retrograd.ops.linear
import retrograd.ops.loss
import retrograd.ops.masks
import retrograd.ops.matmul
import retrograd.ops.norm
import retrograd.ops.norms
import retrograd.ops.order
import retrograd.ops.pad
import retrograd.ops.pointwise
import retrograd.ops.pool
import retrograd.ops.powers
import retrograd.ops.products
import retrograd.ops.rearrange
import retrograd.ops.reduce
import retrograd.ops.rounding
import retrograd.ops.scan
import retrograd.ops.scatter
import retrograd.ops.scatter_reduce
import retrograd.ops.search
import retrograd.ops.shape
import retrograd.ops.softmax
import retrograd.ops.sort
import retrograd.ops.special
import retrograd.ops.statistics
import retrograd.ops.windows
import retrograd.ops.write
