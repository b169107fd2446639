"""Every module against torch's: text, initial values, results in both modes, gradients, state afterwards."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import retrograd
from retrograd import nn
from retrograd.tensor import wrap

torch = pytest.importorskip("torch")

# name, arguments, keyword arguments, inputs: a shape is drawn normal; letters are the kinds of `_input`
CASES = [
    ("Linear", (3, 4), {}, [(2, 3)]),
    ("Linear", (3, 4), {"bias": False}, [(5, 2, 3)]),
    ("Bilinear", (2, 3, 4), {}, [(5, 2), (5, 3)]),
    ("Conv1d", (2, 4, 3), {}, [(1, 2, 7)]),
    ("Conv2d", (2, 4, 3), {"padding": 1, "stride": 2, "groups": 2}, [(2, 2, 7, 6)]),
    ("Conv2d", (2, 4, 3), {"padding": "same", "padding_mode": "reflect"}, [(2, 2, 7, 6)]),
    ("Conv2d", (2, 4, (3, 2)), {"padding": 1, "padding_mode": "circular"}, [(2, 2, 7, 6)]),
    ("Conv3d", (1, 2, 2), {}, [(1, 1, 3, 4, 3)]),
    ("ConvTranspose1d", (2, 3, 3), {}, [(1, 2, 4)]),
    ("ConvTranspose2d", (2, 4, 3), {"stride": 2, "output_padding": 1, "groups": 2}, [(1, 2, 4, 3)]),
    ("ConvTranspose3d", (1, 2, 2), {}, [(1, 1, 2, 2, 2)]),
    ("Embedding", (5, 3), {"padding_idx": 1}, ["i"]),
    ("EmbeddingBag", (5, 3), {}, ["i"]),
    ("BatchNorm1d", (3,), {}, [(4, 3)]),
    ("BatchNorm2d", (3,), {}, [(4, 3, 2, 2)]),
    ("BatchNorm2d", (3,), {"momentum": None, "affine": False}, [(4, 3, 2, 2)]),
    ("BatchNorm1d", (3,), {"bias": False}, [(4, 3, 2)]),
    ("InstanceNorm1d", (3,), {"affine": True, "track_running_stats": True}, [(4, 3, 5)]),
    ("InstanceNorm2d", (3,), {}, [(3, 5, 2)]),
    ("LayerNorm", (3,), {}, [(2, 3)]),
    ("LayerNorm", ((2, 3),), {"bias": False}, [(4, 2, 3)]),
    ("RMSNorm", (3,), {}, [(2, 3)]),
    ("GroupNorm", (2, 4), {}, [(2, 4, 3)]),
    ("LocalResponseNorm", (2,), {}, [(1, 4, 3, 3)]),
    ("MaxPool1d", (2,), {}, [(1, 2, 6)]),
    ("MaxPool2d", (2,), {"stride": 1, "padding": 1}, [(1, 2, 4, 4)]),
    ("MaxPool2d", (2,), {"return_indices": True}, [(1, 2, 4, 4)]),
    ("AvgPool1d", (2,), {}, [(1, 2, 6)]),
    ("AvgPool2d", (2,), {"padding": 1, "count_include_pad": False}, [(1, 2, 4, 4)]),
    ("AvgPool3d", (2,), {}, [(1, 1, 4, 4, 4)]),
    ("MaxPool3d", (2,), {}, [(1, 1, 4, 4, 4)]),
    ("AdaptiveAvgPool1d", (3,), {}, [(1, 2, 7)]),
    ("AdaptiveAvgPool2d", ((2, 3),), {}, [(1, 2, 7, 5)]),
    ("AdaptiveMaxPool2d", (2,), {}, [(1, 2, 7, 5)]),
    ("LPPool2d", (2, 2), {}, [(1, 2, 4, 4)]),
    ("Flatten", (), {}, [(2, 3, 4)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6)]),
    ("Identity", (3,), {}, [(2,)]),
    ("Upsample", (), {"scale_factor": 2}, [(1, 2, 3, 3)]),
    ("Upsample", (), {"size": (5, 4), "mode": "bilinear"}, [(1, 2, 3, 3)]),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, [(1, 2, 3, 3)]),
    ("PixelShuffle", (2,), {}, [(1, 4, 2, 2)]),
    ("PixelUnshuffle", (2,), {}, [(1, 1, 4, 4)]),
    ("ChannelShuffle", (2,), {}, [(1, 4, 2, 2)]),
    ("CosineSimilarity", (), {}, [(2, 3), (2, 3)]),
    ("PairwiseDistance", (), {}, [(2, 3), (2, 3)]),
    ("Fold", ((3, 3), 2), {}, [(1, 8, 4)]),
    ("Unfold", (2,), {}, [(1, 2, 4, 4)]),
    ("LSTM", (3, 4), {"num_layers": 2, "bidirectional": True, "batch_first": True}, [(4, 2, 3)]),
    ("LSTM", (3, 4), {"proj_size": 2}, [(5, 2, 3)]),
    ("LSTM", (3, 4), {"bias": False}, [(5, 3)]),
    ("GRU", (3, 4), {"num_layers": 2}, [(5, 2, 3)]),
    ("RNN", (3, 4), {"nonlinearity": "relu"}, [(5, 2, 3)]),
    ("LSTMCell", (3, 4), {}, [(2, 3)]),
    ("GRUCell", (3, 4), {}, [(2, 3)]),
    ("RNNCell", (3, 4), {}, [(3,)]),
    ("PReLU", (3,), {}, [(2, 3)]),
    ("PReLU", (), {}, [(2, 3)]),
    ("ReLU", (), {}, [(3, 4)]),
    ("ReLU6", (), {}, [(3, 4)]),
    ("LeakyReLU", (), {}, [(3, 4)]),
    ("ELU", (), {}, [(3, 4)]),
    ("CELU", (), {}, [(3, 4)]),
    ("SELU", (), {}, [(3, 4)]),
    ("GELU", (), {}, [(3, 4)]),
    ("SiLU", (), {}, [(3, 4)]),
    ("Mish", (), {}, [(3, 4)]),
    ("Hardswish", (), {}, [(3, 4)]),
    ("Hardsigmoid", (), {}, [(3, 4)]),
    ("Sigmoid", (), {}, [(3, 4)]),
    ("Tanh", (), {}, [(3, 4)]),
    ("Tanhshrink", (), {}, [(3, 4)]),
    ("Softsign", (), {}, [(3, 4)]),
    ("LogSigmoid", (), {}, [(3, 4)]),
    ("Softplus", (), {}, [(3, 4)]),
    ("Softshrink", (), {}, [(3, 4)]),
    ("Hardshrink", (), {}, [(3, 4)]),
    ("Hardtanh", (), {}, [(3, 4)]),
    ("Threshold", (0.1, 2.0), {}, [(3, 4)]),
    ("GLU", (), {}, [(3, 4)]),
    ("Softmax", (1,), {}, [(3, 4)]),
    ("LogSoftmax", (1,), {}, [(3, 4)]),
    ("Softmin", (1,), {}, [(3, 4)]),
    ("Softmax2d", (), {}, [(1, 3, 4, 2)]),
    ("Dropout", (0.5,), {}, [(30, 4)]),
    ("Dropout2d", (0.5,), {}, [(3, 4, 2, 2)]),
    ("AlphaDropout", (), {}, [(3, 4)]),
    ("RReLU", (), {}, [(3, 4)]),
    ("ReflectionPad1d", (1,), {}, [(1, 2, 3)]),
    ("ReplicationPad1d", (1,), {}, [(1, 2, 3)]),
    ("ZeroPad1d", (1,), {}, [(1, 2, 3)]),
    ("CircularPad1d", (1,), {}, [(1, 2, 3)]),
    ("ConstantPad1d", (1, 2.5), {}, [(1, 2, 3)]),
    ("ReflectionPad2d", (1,), {}, [(1, 2, 3, 3)]),
    ("ReplicationPad2d", (1,), {}, [(1, 2, 3, 3)]),
    ("ZeroPad2d", (1,), {}, [(1, 2, 3, 3)]),
    ("CircularPad2d", (1,), {}, [(1, 2, 3, 3)]),
    ("ConstantPad2d", (1, 2.5), {}, [(1, 2, 3, 3)]),
    ("ReflectionPad3d", (1,), {}, [(1, 2, 3, 3, 3)]),
    ("ReplicationPad3d", (1,), {}, [(1, 2, 3, 3, 3)]),
    ("ZeroPad3d", (1,), {}, [(1, 2, 3, 3, 3)]),
    ("CircularPad3d", (1,), {}, [(1, 2, 3, 3, 3)]),
    ("ConstantPad3d", (1, 2.5), {}, [(1, 2, 3, 3, 3)]),
    ("L1Loss", (), {}, [(3, 4), (3, 4)]),
    ("MSELoss", (), {}, [(3, 4), (3, 4)]),
    ("SmoothL1Loss", (), {}, [(3, 4), (3, 4)]),
    ("HuberLoss", (), {}, [(3, 4), (3, 4)]),
    ("KLDivLoss", (), {}, [(3, 4), (3, 4)]),
    ("PoissonNLLLoss", (), {}, [(3, 4), (3, 4)]),
    ("BCELoss", (), {}, ["p", "p"]),
    ("BCEWithLogitsLoss", (), {}, [(3, 4), "p"]),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}, [(3, 4), "c"]),
    ("NLLLoss", (), {}, [(3, 4), "c"]),
    ("GaussianNLLLoss", (), {}, [(3, 4), (3, 4), "p"]),
    ("SoftMarginLoss", (), {}, [(3, 4), "s"]),
    ("HingeEmbeddingLoss", (), {}, [(3, 4), "s"]),
    ("MarginRankingLoss", (), {}, [(3, 4), (3, 4), "s"]),
    ("TripletMarginLoss", (), {}, [(3, 4), (3, 4), (3, 4)]),
    ("MultiMarginLoss", (), {}, [(3, 4), "c"]),
    ("MultiLabelSoftMarginLoss", (), {}, [(3, 4), "p"]),
    ("CosineEmbeddingLoss", (), {}, [(3, 4), (3, 4), "s1"]),
]  # fmt: skip


def _input(kind):
    if kind == "i":
        return torch.tensor([[1, 4], [0, 1]])
    if kind == "c":
        return torch.tensor([1, 3, 0])
    if kind == "p":
        return torch.rand(3, 4)
    if kind == "s":
        return torch.sign(torch.randn(3, 4))
    if kind == "s1":
        return torch.sign(torch.randn(3))
    return torch.randn(kind, requires_grad=True)


def _ours(tensor):
    made = wrap(np.array(tensor.detach().numpy()))
    return made.requires_grad_(tensor.requires_grad)


def _flat(value):
    return [x for item in value for x in _flat(item)] if isinstance(value, (tuple, list)) else [value]


def _seeds(number):
    torch.manual_seed(number)
    retrograd.manual_seed(number)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "inputs"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_module(name, args, kwargs, inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _seeds(5)
        theirs, ours = getattr(torch.nn, name)(*args, **kwargs), getattr(nn, name)(*args, **kwargs)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for key, tensor in theirs.state_dict().items():
            found = ours.state_dict()[key]
            assert found.dtype.name == str(tensor.dtype).removeprefix("torch.")
            assert np.array_equal(found._array, tensor.numpy())
        for training in (True, False):
            theirs.train(training)
            ours.train(training)
            _compare_call(theirs, ours, [_input(kind) for kind in inputs])
        for key, tensor in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[key]._array, tensor.numpy(), rtol=1e-5, atol=1e-6)


def _compare_call(theirs, ours, xs):
    ys = [_ours(x) for x in xs]
    _seeds(7)
    wanted, found = _flat(theirs(*xs)), _flat(ours(*ys))
    assert [tuple(t.shape) for t in found] == [tuple(t.shape) for t in wanted]
    for x, y in zip(wanted, found, strict=True):
        assert y.requires_grad == x.requires_grad
        np.testing.assert_allclose(y.detach().numpy(), x.detach().numpy(), rtol=2e-5, atol=2e-6)
    if not wanted[0].requires_grad:
        return
    theirs.zero_grad()
    ours.zero_grad()
    for results in (wanted, found):
        losses = [t.sin().sum() for t in results if t.requires_grad]
        sum(losses[1:], losses[0]).backward()
    for x, y in zip([*xs, *theirs.parameters()], [*ys, *ours.parameters()], strict=True):
        if x.requires_grad:
            assert (y.grad is None) == (x.grad is None)
            if x.grad is not None:
                np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), rtol=1e-4, atol=1e-5)
