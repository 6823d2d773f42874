"""The published generator: its layers against plain arithmetic, and its size."""

import numpy as np
import pytest
from scipy.signal import correlate

torch = pytest.importorskip("torch")

from published_package import layer_shapes  # noqa: E402

from stem_plugins.models import Weights  # noqa: E402
from stem_plugins.models.published_restoration import published_tensor_names  # noqa: E402
from stem_plugins.restoration import (  # noqa: E402
    ConcatenatedGroupedResidualDenseNetwork,
    cgrdn_from_weights,
)

SMALL = {"features": 3, "growth": 2, "layers": 2, "blocks": 2, "groups": 2}


def small_network(seed=0):
    torch.manual_seed(seed)
    return ConcatenatedGroupedResidualDenseNetwork(**SMALL).double()


def convolution(image, layer, *, stride=1):
    """Convolution of (channels, y, x) with edges of zeros, by SciPy."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    edge = (weight.shape[-1] - 1) // 2
    padded = np.pad(image, ((0, 0), (edge, edge), (edge, edge)))
    planes = [correlate(padded, kernel, "valid")[0] for kernel in weight]
    return np.stack(planes)[:, ::stride, ::stride] + bias[:, None, None]


def transposed_convolution(image, layer):
    """Each coarse pixel paints a kernel of 4 × 4, two fine pixels apart; the rim is cut off."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    _, rows, columns = image.shape
    fine = np.zeros((weight.shape[1], 2 * rows + 2, 2 * columns + 2))
    for y in range(rows):
        for x in range(columns):
            fine[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += np.einsum(
                "i,iokl->okl", image[:, y, x], weight
            )
    return fine[:, 1:-1, 1:-1] + bias[:, None, None]


def by_hand(network, image):
    """The network as the figure of the publication draws it."""
    coarse = convolution(convolution(image, network.head), network.down, stride=2)
    between, of_groups = coarse, []
    for group in network.groups:
        inside, of_blocks = between, []
        for block in group.blocks:
            dense = inside
            for layer in block.layers:
                dense = np.concatenate([dense, np.maximum(convolution(dense, layer), 0)])
            inside = convolution(dense, block.fusion) + inside
            of_blocks.append(inside)
        between = convolution(np.concatenate(of_blocks), group.fusion) + between
        of_groups.append(between)
    features = convolution(np.concatenate(of_groups), network.fusion) + coarse
    return convolution(transposed_convolution(features, network.up), network.tail) + image


@pytest.mark.parametrize("shape", [(10, 14), (2, 2), (8, 32)])
def test_equals_the_figure_computed_by_hand(shape):
    network = small_network()
    image = np.random.default_rng(3).normal(size=(2, 1, *shape))
    with torch.inference_mode():
        restored = network(torch.from_numpy(image)).numpy()
    assert restored.shape == image.shape
    for one, expected in zip(restored, image, strict=True):
        np.testing.assert_allclose(one, by_hand(network, expected), atol=1e-12)


def test_the_published_size():
    with torch.device("meta"):
        network = ConcatenatedGroupedResidualDenseNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) == 7_035_521
    assert len(network.state_dict()) == 306


def published_weights():
    """Tensors of the published shapes, by the names that the import gives them."""
    tensors = {}
    for (layer, name), shape in zip(
        published_tensor_names().items(), layer_shapes(64, 32), strict=True
    ):
        size = np.prod(shape[:3])
        kernel = np.random.default_rng(layer).normal(size=shape) / np.sqrt(size)
        tensors[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1).astype(np.float16)
        tensors[f"{name}.bias"] = np.zeros(shape[3], np.float16)
    return Weights(tensors=tensors, design="cgrdn", version=1, name="tk_r_em:hrstem")


def test_imported_weights_fit_and_are_used():
    weights = published_weights()
    network = cgrdn_from_weights(weights)
    kernel = network.groups[3].blocks[2].layers[7].weight
    assert kernel.dtype == torch.float32
    expected = weights.tensors["groups.3.blocks.2.layers.7.weight"]
    np.testing.assert_array_equal(kernel.numpy(), expected)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training
    with torch.inference_mode():
        assert torch.isfinite(network(torch.ones(1, 1, 8, 8))).all()


def test_weights_of_another_design_are_refused():
    weights = published_weights()
    for other in ({"design": "row-aware"}, {"version": 2}):
        with pytest.raises(ValueError, match="Expected weights of the design 'cgrdn', version 1"):
            cgrdn_from_weights(Weights(**{**vars(weights), **other}))
    tensors = {**weights.tensors, "tail.bias": np.zeros(2, np.float32)}
    with pytest.raises(ValueError, match=r"'tail\.bias' has the shape \(2,\)"):
        cgrdn_from_weights(Weights(**{**vars(weights), "tensors": tensors}))


@pytest.mark.parametrize("shape", [(1, 1, 9, 8), (1, 1, 8, 9), (1, 2, 8, 8), (8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="even y and x"):
        small_network()(torch.zeros(shape, dtype=torch.float64))


def test_every_parameter_is_trained():
    network = small_network()
    network(torch.randn(2, 1, 12, 12, dtype=torch.float64)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
