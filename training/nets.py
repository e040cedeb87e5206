# mypy: disallow-subclassing-any=False
"""The net of `worker/lipsync/net.py` as it is trained: the same layers, in PyTorch.

While it learns, each convolution is normalised over its batch; `arrays` folds that into the
weights and writes what the numpy net reads.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from worker.lipsync.features import FEATURES
from worker.lipsync.net import OUTPUTS

FIRST_TAPS: Final = 5
TAPS: Final = 3


class ConvBlock(nn.Module):
    """Causal dilated convolution, normalisation, ReLU; batch x channels x hops."""

    def __init__(self, inputs: int, outputs: int, taps: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, taps, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        self.history = (taps - 1) * dilation

    def forward(self, values: Tensor) -> Tensor:
        padded = nn.functional.pad(values, (self.history, 0))
        return torch.relu(self.norm(self.conv(padded)))

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (taps * inputs, outputs), oldest tap first, and bias."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        weight = self.conv.weight * scale[:, None, None]
        bias = self.norm.bias - mean * scale
        return weight.permute(2, 1, 0).reshape(-1, len(scale)), bias


class LipNet(nn.Module):
    """Features (batch, FEATURES, hops) to outputs (batch, OUTPUTS, hops), causally."""

    def __init__(self, channels: int, dilations: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.dilations = dilations
        self.first = ConvBlock(FEATURES, channels, FIRST_TAPS, 1)
        self.middle = nn.ModuleList(ConvBlock(channels, channels, TAPS, d) for d in dilations)
        self.dropout = nn.Dropout1d(dropout)
        self.head = nn.Conv1d(channels, OUTPUTS, 1)

    def forward(self, features: Tensor) -> Tensor:
        values = self.first(features)
        for block in self.middle:
            values = values + self.dropout(block(values))
        out: Tensor = self.head(values)
        return out

    @torch.no_grad()
    def arrays(self, *, eight_bits: bool = False) -> dict[str, npt.NDArray[np.generic]]:
        """What `worker.lipsync.net.from_arrays` takes; weights in float16 or eight bits."""
        folded = [block.folded() for block in (self.first, *self.middle)]
        folded.append((self.head.weight[:, :, 0].T, self.head.bias))
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "taps": np.array([FIRST_TAPS, *(TAPS for _ in self.dilations), 1], np.int32),
            "dilations": np.array([1, *self.dilations, 1], np.int32),
        }
        for index, (weight, bias) in enumerate(folded):
            if eight_bits:
                scale = weight.abs().amax(0) / 127.0
                arrays[f"w{index}"] = (weight / scale).round().numpy().astype(np.int8)
                arrays[f"s{index}"] = scale.numpy().astype(np.float32)
            else:
                arrays[f"w{index}"] = weight.numpy().astype(np.float16)
            arrays[f"b{index}"] = bias.numpy().astype(np.float32)
        return arrays
