"""A scan of atoms, and a network that has learned nothing."""

import numpy as np
import pytest
from atom_scans import ACQUISITION

from stem_plugins.simulation import simulate_scan, single_atoms

#: (y, x) [Å] of three atoms, whose order no symmetry keeps.
PLACES = np.array([[3.0, 4.0], [7.2, 2.5], [6.0, 7.5]])

SIDE, STEP = 32, 0.32


def atom_scan(side=SIDE, dose=None, **calibration):
    acquisition = ACQUISITION.replace(
        **{"scan_step": STEP, "diffraction_step": 1.9, "defocus": 0.0, **calibration}
    )
    return simulate_scan(
        single_atoms([38, 47, 29], PLACES, extent=(side * STEP, side * STEP)),
        acquisition,
        scan_shape=(side, side),
        detector_shape=(50, 48),
        dose=dose,
        seed=2,
        workers=1,
    )


@pytest.fixture(scope="session")
def atoms():
    return atom_scan()


@pytest.fixture(scope="session")
def untaught(tmp_path_factory):
    """Weights of a network before its first step: it changes nothing of direct ptychography."""
    torch = pytest.importorskip("torch")
    from stem_plugins.models import save_weights
    from stem_plugins.rapid_phase_imaging.spatial_network import (
        DESIGN,
        DESIGN_VERSION,
        SpatialNetwork,
    )

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untaught.safetensors"
    tensors = {name: value.numpy() for name, value in SpatialNetwork().state_dict().items()}
    save_weights(path, tensors, design=DESIGN, version=DESIGN_VERSION, details={})
    return path


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    """Weights that are random everywhere, so that whatever changes the input changes the image."""
    torch = pytest.importorskip("torch")
    from stem_plugins.models import save_weights
    from stem_plugins.rapid_phase_imaging.spatial_network import (
        DESIGN,
        DESIGN_VERSION,
        SpatialNetwork,
    )

    torch.manual_seed(1)
    network = SpatialNetwork()
    torch.nn.init.normal_(network.last.weight, std=0.02)
    path = tmp_path_factory.mktemp("weights") / "taught.safetensors"
    tensors = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    save_weights(path, tensors, design=DESIGN, version=DESIGN_VERSION, details={})
    return path
