"""The modules, one file per family."""

from __future__ import annotations

from retrograd.nn.modules.activation import (
    ReLU,
    ReLU6,
    LeakyReLU,
    RReLU,
    ELU,
    CELU,
    SELU,
    GELU,
    SiLU,
    Mish,
    Hardswish,
    Hardsigmoid,
    Sigmoid,
    Tanh,
    Tanhshrink,
    Softsign,
    LogSigmoid,
    Softplus,
    Softshrink,
    Hardshrink,
    Threshold,
    Hardtanh,
    GLU,
    Softmax,
    LogSoftmax,
    Softmin,
    Softmax2d,
    PReLU,
)
from retrograd.nn.modules.batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from retrograd.nn.modules.container import Sequential, ModuleList, ModuleDict
from retrograd.nn.modules.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from retrograd.nn.modules.distance import PairwiseDistance, CosineSimilarity
from retrograd.nn.modules.dropout import (
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    AlphaDropout,
    FeatureAlphaDropout,
)
from retrograd.nn.modules.flatten import Flatten, Unflatten
from retrograd.nn.modules.fold import Unfold, Fold
from retrograd.nn.modules.linear import Identity, Linear, Bilinear
from retrograd.nn.modules.loss import (
    L1Loss,
    MSELoss,
    SmoothL1Loss,
    HuberLoss,
    CrossEntropyLoss,
    NLLLoss,
    BCELoss,
    BCEWithLogitsLoss,
    KLDivLoss,
    PoissonNLLLoss,
    GaussianNLLLoss,
    SoftMarginLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    HingeEmbeddingLoss,
    CosineEmbeddingLoss,
    MarginRankingLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
    CTCLoss,
)
from retrograd.nn.modules.module import Module
from retrograd.nn.modules.normalization import LayerNorm, RMSNorm, GroupNorm, LocalResponseNorm
from retrograd.nn.modules.padding import (
    ConstantPad1d,
    ZeroPad1d,
    ReflectionPad1d,
    ReplicationPad1d,
    CircularPad1d,
    ConstantPad2d,
    ZeroPad2d,
    ReflectionPad2d,
    ReplicationPad2d,
    CircularPad2d,
    ConstantPad3d,
    ZeroPad3d,
    ReflectionPad3d,
    ReplicationPad3d,
    CircularPad3d,
)
from retrograd.nn.modules.parameter_containers import ParameterList, ParameterDict
from retrograd.nn.modules.pixelshuffle import PixelShuffle, PixelUnshuffle, ChannelShuffle
from retrograd.nn.modules.pooling import (
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    AdaptiveAvgPool1d,
    AdaptiveMaxPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
)
from retrograd.nn.modules.rnn import RNNBase, RNN, LSTM, GRU
from retrograd.nn.modules.rnn_cells import RNNCellBase, RNNCell, LSTMCell, GRUCell
from retrograd.nn.modules.sparse import Embedding, EmbeddingBag
from retrograd.nn.modules.upsampling import Upsample, UpsamplingNearest2d, UpsamplingBilinear2d

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AlphaDropout", "AvgPool1d", "AvgPool2d", "AvgPool3d",
    "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Bilinear", "CELU",
    "CTCLoss", "ChannelShuffle", "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d",
    "ConstantPad2d", "ConstantPad3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d",
    "ConvTranspose2d", "ConvTranspose3d", "CosineEmbeddingLoss", "CosineSimilarity",
    "CrossEntropyLoss", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding",
    "EmbeddingBag", "FeatureAlphaDropout", "Flatten", "Fold", "GELU", "GLU", "GRU", "GRUCell",
    "GaussianNLLLoss", "GroupNorm", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "HingeEmbeddingLoss", "HuberLoss", "Identity", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "KLDivLoss", "L1Loss", "LPPool1d", "LPPool2d", "LPPool3d", "LSTM", "LSTMCell",
    "LayerNorm", "LeakyReLU", "Linear", "LocalResponseNorm", "LogSigmoid", "LogSoftmax", "MSELoss",
    "MarginRankingLoss", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d", "Mish", "Module", "ModuleDict", "ModuleList", "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss", "PReLU", "PairwiseDistance",
    "ParameterDict", "ParameterList", "PixelShuffle", "PixelUnshuffle", "PoissonNLLLoss", "RMSNorm",
    "RNN", "RNNBase", "RNNCell", "RNNCellBase", "RReLU", "ReLU", "ReLU6", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
    "ReplicationPad3d", "SELU", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "SoftMarginLoss",
    "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    "Threshold", "TripletMarginLoss", "TripletMarginWithDistanceLoss", "Unflatten", "Unfold",
    "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip
