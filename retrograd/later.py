"""What is loaded when it is first asked for: modules, functions and methods that start-up does without."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

MODULES = {
    "nn", "optim", "utils", "func", "linalg", "special", "fft", "autograd", "return_types", "random",
    "testing", "distributed", "distributions", "show", "sparse", "compiler", "backends", "cuda",
    "serialization", "functional", "_tensor_str", "profiler", "signal", "masked", "amp",
    "version",
}  # fmt: skip
"""Modules of the package, as attributes of it."""

_FUNCTIONS = {
    "amp": "GradScaler autocast",
    "compiler": "compile",
    "func": "vmap",
    "functions.covariance": "corrcoef cov",
    "functions.histograms": "histogram histogramdd",
    "functions.legacy": """
        BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor
        LongTensor ShortTensor set_default_tensor_type
    """,
    "functions.low_rank": "pca_lowrank svd_lowrank",
    "functions.rare": """
        get_device get_num_interop_threads set_default_device set_num_interop_threads unsafe_split_with_sizes
    """,
    "functions.slopes": "gradient",
    "functions.spectra": "istft stft",
    "nn.modules.rnn_functions": "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell",
    "nn.functional": """
        conv_tbc max_pool1d_with_indices native_channel_shuffle rrelu_
        adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm celu_
        binary_cross_entropy_with_logits conv1d conv2d conv3d conv_transpose1d conv_transpose2d
        conv_transpose3d cosine_embedding_loss cosine_similarity ctc_loss dropout embedding_bag
        feature_alpha_dropout group_norm hinge_embedding_loss instance_norm kl_div layer_norm
        margin_ranking_loss max_pool1d max_pool2d max_pool3d pairwise_distance poisson_nll_loss rms_norm rrelu
        selu selu_ triplet_margin_loss
    """,
    "printing": "set_printoptions",
    "random": "Generator default_generator initial_seed manual_seed seed",
    "serialization": "load save",
    "signal.older": "bartlett_window blackman_window hamming_window hann_window kaiser_window",
    "sparse": "sparse_coo_tensor sparse_csr_tensor spmm",
}
NAMES = {name: module for module, names in _FUNCTIONS.items() for name in names.split()}
"""In which module a function of the package is."""

_METHODS = {
    "functions.covariance": "corrcoef cov",
    "functions.histograms": "histogram",
    "functions.spectra": "istft stft",
    "functions.rare": "apply_ const_data_ptr dim_order map2_ map_ reinforce resize unsafe_split_with_sizes",
    "sparse": """
        coalesce dense_dim indices is_coalesced sparse_dim to_dense to_sparse to_sparse_coo to_sparse_csr
        values
    """,
}
METHODS = {name: module for module, names in _METHODS.items() for name in names.split()}
"""In which module's table METHODS a method of Tensor is."""


def method(name: str, module: str) -> Callable[..., Any]:
    """Return a method that loads a module and calls what its METHODS have under this name."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return import_module(f"retrograd.{module}").METHODS[name](self, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call
