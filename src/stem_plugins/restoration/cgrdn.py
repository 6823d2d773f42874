"""The published restoration network: a concatenated grouped residual dense network (CGRDN).

Layer by layer as published (I. Lobato, T. Friedrich, S. Van Aert, arXiv:2303.17025, fig. 2 and the
weights of tk_r_em 1.0.4): residual dense blocks in groups, at half the resolution of the image.
Every convolution has a bias and zero padding that keeps the size; the only nonlinearity is the
rectifier inside the dense blocks; there is no normalisation and no attention.

Images go in standardised, z = (x - mean)/std of the whole image, and come out in the same units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stem_plugins.models import Weights, check_tensors

__all__ = ["DESIGN", "VERSION", "ConcatenatedGroupedResidualDenseNetwork", "cgrdn_from_weights"]

DESIGN, VERSION = "cgrdn", 1


class ResidualDenseBlock(nn.Module):
    """Convolutions that each see all features before them, fused by 1 × 1, plus the input.

    Parameters
    ----------
    features
        Channels that go in and come out.
    growth
        Channels that each convolution adds.
    layers
        Number of these convolutions.
    """

    def __init__(self, features: int = 64, growth: int = 32, layers: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(features + growth * layer, growth, 3, padding=1) for layer in range(layers)
        )
        self.fusion = nn.Conv2d(features + growth * layers, features, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map features (batch, channels, y, x) to features of the same shape."""
        dense = inputs
        for layer in self.layers:
            dense = torch.cat((dense, torch.relu(layer(dense))), dim=1)
        fused: Tensor = self.fusion(dense)
        return fused + inputs


class GroupedResidualDenseBlock(nn.Module):
    """Dense blocks one after another; all their outputs fused by 1 × 1, plus the input.

    Parameters
    ----------
    features, growth, layers
        As for `ResidualDenseBlock`.
    blocks
        Number of dense blocks.
    """

    def __init__(
        self, features: int = 64, growth: int = 32, layers: int = 8, blocks: int = 4
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(features, growth, layers) for _ in range(blocks)
        )
        self.fusion = nn.Conv2d(features * blocks, features, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map features (batch, channels, y, x) to features of the same shape."""
        fused: Tensor = self.fusion(_outputs_of_cascade(self.blocks, inputs))
        return fused + inputs


class ConcatenatedGroupedResidualDenseNetwork(nn.Module):
    """The published generator, with 7 035 521 parameters as it stands.

    Parameters
    ----------
    features
        Channels between the blocks.
    growth
        Channels that each convolution of a dense block adds.
    layers
        Convolutions of a dense block.
    blocks
        Dense blocks of a group.
    groups
        Number of groups.

    Notes
    -----
    Head 3 × 3, down 4 × 4 with stride 2, the groups in cascade, their outputs fused by 1 × 1 plus
    what went into the first, up by a transposed 4 × 4 with stride 2, tail 3 × 3, plus the image.

    Examples
    --------
    >>> network = ConcatenatedGroupedResidualDenseNetwork()
    >>> sum(parameter.numel() for parameter in network.parameters())
    7035521
    """

    def __init__(
        self,
        *,
        features: int = 64,
        growth: int = 32,
        layers: int = 8,
        blocks: int = 4,
        groups: int = 4,
    ) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, features, 3, padding=1)
        self.down = nn.Conv2d(features, features, 4, stride=2, padding=1)
        self.groups = nn.ModuleList(
            GroupedResidualDenseBlock(features, growth, layers, blocks) for _ in range(groups)
        )
        self.fusion = nn.Conv2d(features * groups, features, 1)
        self.up = nn.ConvTranspose2d(features, features, 4, stride=2, padding=1)
        self.tail = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Restore standardised images.

        Parameters
        ----------
        image
            Shape (batch, 1, y, x), y and x even; mean 0 and standard deviation 1 over the
            whole image of which these may be tiles. The fast scan goes along x.

        Returns
        -------
        torch.Tensor
            Of the same shape, in the same units.

        Raises
        ------
        ValueError
            The shape is another one.
        """
        if image.ndim != 4 or image.shape[1] != 1 or image.shape[2] % 2 or image.shape[3] % 2:
            raise ValueError(
                "Images must have the shape (batch, 1, y, x) with even y and x, not "
                f"{tuple(image.shape)}; pad odd ones by one row or column."
            )
        coarse = self.down(self.head(image))
        features = self.fusion(_outputs_of_cascade(self.groups, coarse)) + coarse
        residual: Tensor = self.tail(self.up(features))
        return residual + image


def cgrdn_from_weights(weights: Weights) -> ConcatenatedGroupedResidualDenseNetwork:
    """Return the published network with the weights of a file, ready for use.

    Parameters
    ----------
    weights
        As `stem_plugins.models.load_weights` returns them, of the design ``"cgrdn"``.

    Returns
    -------
    ConcatenatedGroupedResidualDenseNetwork
        In float32 and evaluation mode, without gradients.

    Raises
    ------
    ValueError
        The weights are of another design, or tensors are missing or of another shape.
    """
    if weights.design != DESIGN or weights.version != VERSION:
        raise ValueError(
            f"Expected weights of the design {DESIGN!r}, version {VERSION}, and got "
            f"{weights.design!r}, version {weights.version}."
        )
    with torch.device("meta"):
        network = ConcatenatedGroupedResidualDenseNetwork()
    check_tensors(
        weights, {name: tuple(value.shape) for name, value in network.state_dict().items()}
    )
    # A copy, because arrays of a file may be read-only, which tensors cannot be.
    tensors = {
        name: torch.tensor(array, dtype=torch.float32) for name, array in weights.tensors.items()
    }
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def _outputs_of_cascade(modules: nn.ModuleList, inputs: Tensor) -> Tensor:
    """Apply modules one after another; concatenate what each of them gave."""
    outputs = []
    for module in modules:
        inputs = module(inputs)
        outputs.append(inputs)
    return torch.cat(outputs, dim=1)
