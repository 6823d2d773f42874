"""The package as a whole: its public names, what importing it costs, and its layers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import stem_plugins

PUBLIC = [
    "AberrationFit",
    "Acquisition",
    "AirpiResult",
    "Distortions",
    "Evidence",
    "MissingCalibrationError",
    "Moments",
    "PtychographyResult",
    "Regularization",
    "RotationEstimate",
    "Scan",
    "VectorField",
    "airpi",
    "annular_detector",
    "apply_scan_shifts",
    "center_of_mass",
    "distort",
    "divergence",
    "electric_field",
    "estimate_rotation",
    "field_colors",
    "fit_aberrations",
    "icom",
    "iter_airpi",
    "iter_moments",
    "iterative_ptychography",
    "kernel_transfer",
    "load_ptychography",
    "moments",
    "read_merlin",
    "read_scan",
    "rectangular_detector",
    "remove_descan",
    "restore",
    "ricom",
    "ricom_add",
    "ricom_kernel",
    "save_image",
    "scan_shifts",
    "ssb",
    "to_scan_frame",
    "vector_field",
    "virtual_image",
    "write_merlin",
    "write_scan",
]

HEAVY = ("torch", "hyperspy", "pyxem", "napari", "qtpy", "numba", "dask", "scipy", "matplotlib")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_public_names_are_frozen():
    assert sorted(stem_plugins.__all__) == sorted(PUBLIC)


def test_every_public_name_is_callable_whatever_was_imported_before():
    """A function and the module it comes from may share a name; the function must win."""
    code = """
import importlib, json, pkgutil, stem_plugins
layers = ("optics", "lazy", "imaging", "simulation", "io", "models", "restoration", "ptychography")
for layer in layers:
    package = importlib.import_module(f"stem_plugins.{layer}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
wrong = [name for name in stem_plugins.__all__ if not callable(getattr(stem_plugins, name))]
for layer in layers:
    package = importlib.import_module(f"stem_plugins.{layer}")
    wrong += [f"{layer}.{n}" for n in package.__all__ if not callable(getattr(package, n))]
print(json.dumps(wrong))
"""
    assert json.loads(run(code)) == []


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, stem_plugins; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_importing_the_package_costs_under_0_3_cpu_seconds():
    code = "import time; t = time.process_time(); import stem_plugins; print(time.process_time()-t)"
    assert float(run(code)) < 0.3


@pytest.mark.parametrize("layer", ["optics", "lazy", "imaging", "simulation", "io", "models"])
def test_array_layers_load_no_viewer_and_no_torch(layer):
    code = (
        f"import sys, stem_plugins.{layer}; [getattr(stem_plugins.{layer}, n) for n in "
        f"stem_plugins.{layer}.__all__]; "
        "print([m for m in ('torch', 'hyperspy', 'pyxem', 'napari') if m in sys.modules])"
    )
    assert run(code).strip() == "[]"


def test_layers_import_downwards_only():
    checkout = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
