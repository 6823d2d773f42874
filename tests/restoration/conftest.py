"""Weights that no training has made."""

import pytest


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Weights of the row-aware network as no training has left them."""
    torch = pytest.importorskip("torch")
    from stem_plugins.models import save_weights
    from stem_plugins.restoration.row_aware_network import (
        DESIGN,
        DESIGN_VERSION,
        RestorationNetwork,
    )

    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: (value + 0.01 * torch.randn(value.shape, generator=generator)).numpy()
        for name, value in RestorationNetwork().state_dict().items()
    }
    return save_weights(
        tmp_path_factory.mktemp("weights") / "random.safetensors",
        tensors,
        design=DESIGN,
        version=DESIGN_VERSION,
        details={
            "trained_on": {"electrons": [0.1, 5000], "wavelength": [6.4, 230], "contrast": 0.04}
        },
    )
