"""One riCOM image of a measured scan, the same through HyperSpy, napari and the command line.

The scan: virus-like particles in ice, 64 × 64 positions of 48 × 48 binned pixels, 300 kV,
1.03 mrad, 31.25 Å steps (``fourd/ptychojl_64x64_bin4_48x48_u16.h5`` in the folder of real data).
It is written as ``.mib`` and goes from there through all three faces with the same settings.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from stem_plugins import Acquisition, read_merlin, read_scan
from stem_plugins.io import convert

KERNEL = 31
#: The bright-field disc of 1.03 mrad has a radius of 60.6 px before the binning by 4.
ACQUISITION = Acquisition(
    beam_energy=300,
    convergence_angle=1.03,
    scan_step=(31.25, 31.25),
    diffraction_step=(4 * 1.03 / 60.6, 4 * 1.03 / 60.6),
    scan_rotation=-126.0,
    flip_y=False,
)


def through_hyperspy(path: Path) -> np.ndarray:
    from stem_plugins.hyperspy import load

    image = load(path).ricom(KERNEL)
    image.compute(show_progressbar=False)
    return image.data


def through_napari(path: Path) -> np.ndarray:
    from napari.layers import Layer

    from stem_plugins.napari.kept_moments import KeptMoments, guess_center, iter_pass
    from stem_plugins.napari.layers import acquisition_of, scan_from_layer
    from stem_plugins.napari.reader import get_reader
    from stem_plugins.napari.ricom_model import RicomSettings, compute_field, compute_image

    reader = get_reader(str(path))
    layer = Layer.create(*reader(str(path))[0])
    data, acquisition = scan_from_layer(layer).data, acquisition_of(layer)
    kept = KeptMoments.empty(data.shape, guess_center(data))
    for rows, part in iter_pass(data, kept):
        kept.add(rows, part)
    field = compute_field(kept, acquisition, None)
    return compute_image("riCOM", kept, field, RicomSettings(kernel_size=KERNEL))[0]


def through_command_line(path: Path, folder: Path) -> np.ndarray:
    from rsciio.zspy import file_reader

    arguments = ["ricom", path, "-o", folder, "--kernel", KERNEL, "--format", "zspy"]
    command = [sys.executable, "-m", "stem_plugins.cli", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
    return file_reader(str(folder / f"{path.stem}_ricom-{KERNEL}.zspy"))[0]["data"]


def direct_sum(path: Path) -> np.ndarray:
    """Thesis eq. 3.4 in plain NumPy, from the patterns to the phase."""
    data = read_merlin(path, lazy=False).data.astype(float)
    y, x = np.indices(data.shape[2:])
    total = data.sum(axis=(2, 3))
    com = np.stack([(data * y).sum((2, 3)), (data * x).sum((2, 3))], axis=-1) / total[..., None]
    com -= com.mean(axis=(0, 1))
    cos, sin = np.cos(np.deg2rad(-126)), np.sin(np.deg2rad(-126))
    field = np.stack(
        [sin * com[..., 1] + cos * com[..., 0], cos * com[..., 1] - sin * com[..., 0]], axis=-1
    )
    energy, rest = 300e3, 510998.95
    wavelength = 12.3984198e3 / np.sqrt(energy * (energy + 2 * rest))
    field *= ACQUISITION.diffraction_step[0] * 1e-3 * 2 * np.pi / wavelength
    rows, columns = total.shape
    half, step = KERNEL // 2, 31.25
    image = np.zeros((rows, columns))
    for p_y, p_x in np.ndindex(rows, columns):
        r_y, r_x = np.indices((rows, columns))
        d_y, d_x = p_y - r_y, p_x - r_x
        reach = (abs(d_y) <= half) & (abs(d_x) <= half) & (d_y**2 + d_x**2 > 0)
        dot = d_y[reach] * field[reach][:, 0] + d_x[reach] * field[reach][:, 1]
        image[p_y, p_x] = (dot / (d_y**2 + d_x**2)[reach]).sum()
    return image * step / (2 * np.pi)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of real data, with fourd/")
    parser.add_argument("--picture", type=Path, help="save the image as .png")
    arguments = parser.parse_args()
    source = arguments.data / "fourd" / "ptychojl_64x64_bin4_48x48_u16.h5"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.mib"
        convert(source, path, acquisition=ACQUISITION)
        assert np.array_equal(read_scan(source).data.compute(), read_merlin(path).data.compute())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = {
                "HyperSpy": through_hyperspy(path),
                "napari": through_napari(path),
                "command line": through_command_line(path, Path(folder) / "images"),
            }
        expected = direct_sum(path)
    scale = np.ptp(expected)
    print(f"riCOM {KERNEL}×{KERNEL} of the measured scan, range {scale:.3f} rad")
    print(f"{'':16}{'largest difference / range':>28}")
    for name, image in images.items():
        against_sum = np.abs(image - expected).max() / scale
        print(f"{name:16}{against_sum:>28.1e}  from the direct sum of eq. 3.4")
    for name in ("napari", "command line"):
        against = np.abs(images[name] - images["HyperSpy"]).max() / scale
        print(f"{name:16}{against:>28.1e}  from HyperSpy")
    if arguments.picture:
        from stem_plugins import save_image

        save_image(
            arguments.picture,
            images["HyperSpy"],
            scan_step=ACQUISITION.scan_step,
            title="riCOM, measured",
            quantity_units="rad",
            overwrite=True,
        )


if __name__ == "__main__":
    main()
