"""Forward physics that makes data: crystals, projected potentials, multislice, scans."""

from stem_plugins.simulation.crystals import (
    Atoms,
    from_ase,
    gallium_nitride,
    graphene,
    molybdenum_disulfide,
    single_atoms,
    strontium_titanate,
)
from stem_plugins.simulation.demo import demo_scan, demo_specimen
from stem_plugins.simulation.multislice import (
    antialias_aperture,
    multislice,
    propagator,
    transmission,
)
from stem_plugins.simulation.potentials import (
    projected_potential,
    scattering_factor,
    sliced_potential,
)
from stem_plugins.simulation.scan import SimulatedScan, iter_simulate_scan, simulate_scan

__all__ = [
    "Atoms",
    "SimulatedScan",
    "antialias_aperture",
    "demo_scan",
    "demo_specimen",
    "from_ase",
    "gallium_nitride",
    "graphene",
    "iter_simulate_scan",
    "molybdenum_disulfide",
    "multislice",
    "projected_potential",
    "propagator",
    "scattering_factor",
    "simulate_scan",
    "single_atoms",
    "sliced_potential",
    "strontium_titanate",
    "transmission",
]
