"""Where the patterns of a scan lie on the object that ptychography reconstructs.

The object is computed in the detector's frame, in which no pattern need be turned: its pixel is
``λ / (n · detector pixel)``, so that a window of as many pixels as the detector has transforms
into a pattern. Scan positions are brought into that frame, and the finished object back into the
frame of the scan.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.optics.electrons import wavelength
from stem_plugins.optics.probe import probe_radius

__all__ = ["NEEDED", "ScanGeometry", "scan_geometry"]

#: Calibration without which nothing can be placed.
NEEDED = ("beam_energy", "convergence_angle", "scan_step", "diffraction_step")

#: Pixels of the object around the outermost windows, for positions that are refined.
MARGIN = 5

#: Diameter of the probe, diffraction rings included, in parts of the window that it must fit in.
LARGEST_PROBE = 1.05

#: Below this ratio of the probe's diameter to the scan step, positions share too little.
SMALLEST_OVERLAP = 1.2


@dataclasses.dataclass(frozen=True, eq=False)
class ScanGeometry:
    """The grid of the object and the places of the probe on it.

    Parameters
    ----------
    scan_shape
        Positions (y, x).
    scan_step
        Their distance [Å], (y, x).
    window
        Pixels of a pattern, which are those of the probe's window, (y, x).
    sampling
        Pixel of the object [Å], (y, x) in the detector's frame.
    shape
        Pixels of the object, (y, x).
    positions
        Middle of the probe at every scan position, in pixels of the object, row by row of the
        scan, (n, 2), vectors (y, x).
    frame
        Matrix M with ``v_detector = M v_scan`` for vectors (y, x); orthogonal.
    """

    scan_shape: tuple[int, int]
    scan_step: tuple[float, float]
    window: tuple[int, int]
    sampling: tuple[float, float]
    shape: tuple[int, int]
    positions: NDArray[np.float64]
    frame: NDArray[np.float64]

    def corners(
        self, positions: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Split positions into the first pixel of each window and the fraction beyond it.

        Parameters
        ----------
        positions
            In pixels of the object, (n, 2). The probe's middle is pixel ``n // 2`` of its window.
        """
        whole = np.rint(positions).astype(np.int64)
        return whole - np.array(self.window) // 2, positions - whole

    def illumination(self, intensity: NDArray[np.floating]) -> NDArray[np.float64]:
        """Add up the probe's intensity over all positions, in the shape of the object."""
        corners, _ = self.corners(self.positions)
        hits = np.zeros(self.shape)
        np.add.at(hits, tuple((corners % np.array(self.shape)).T), 1.0)
        padded = np.zeros(self.shape)
        padded[: self.window[0], : self.window[1]] = intensity
        light = np.fft.irfft2(np.fft.rfft2(hits) * np.fft.rfft2(padded), s=self.shape)
        return np.maximum(light, 0)

    def in_scan_frame(self, image: NDArray[np.floating]) -> NDArray[np.floating]:
        """Bring an image of the object onto the scanned field, in the frame of the scan.

        Parameters
        ----------
        image
            (..., y, x) in the shape of the object.

        Returns
        -------
        ndarray
            (..., y, x) with pixels of `scan_sampling`, whose pixel (0, 0) is scan position
            (0, 0). Without rotation these are the object's own pixels; with it they are
            interpolated by cubic splines.
        """
        places = self._scanned_places()
        if np.abs(places - np.rint(places)).max() < 1e-6:
            rows, columns = np.rint(places).astype(int)
            return np.ascontiguousarray(image[..., rows, columns])
        flat = image.reshape(-1, *self.shape)
        turned = np.stack(
            [scipy.ndimage.map_coordinates(one, places, order=3, mode="nearest") for one in flat]
        )
        return turned.reshape(*image.shape[:-2], *places.shape[1:]).astype(image.dtype)

    def from_scan(self, image: NDArray[np.floating]) -> NDArray[np.floating]:
        """Bring an image with one pixel per scan position onto the object, zero outside.

        Parameters
        ----------
        image
            In the shape of the scan.
        """
        grid = np.indices(self.shape) - self.positions[0][:, None, None]
        grid = grid * np.array(self.sampling)[:, None, None]
        turned = np.tensordot(self.frame.T, grid, axes=1)
        places = turned / np.array(self.scan_step)[:, None, None]
        found = scipy.ndimage.map_coordinates(image, places, order=3, mode="nearest")
        inside = np.ones(self.shape, bool)
        for axis, count in enumerate(self.scan_shape):
            inside &= (places[axis] > -0.5) & (places[axis] < count - 0.5)
        return np.where(inside, found, 0).astype(image.dtype)

    @property
    def scan_sampling(self) -> tuple[float, float]:
        """Pixel of an image in the scan's frame [Å], (y, x)."""
        if np.abs(self.frame[0, 0]) > 1 - 1e-9:
            return self.sampling
        if np.abs(self.frame[0, 1]) > 1 - 1e-9:
            return self.sampling[1], self.sampling[0]
        return min(self.sampling), min(self.sampling)

    def _scanned_places(self) -> NDArray[np.float64]:
        """Where the pixels of the scanned field lie in the object, (2, rows, columns)."""
        sides = [
            math.ceil((count - 1) * step / pixel - 1e-6) + 1
            for count, step, pixel in zip(
                self.scan_shape, self.scan_step, self.scan_sampling, strict=True
            )
        ]
        grid = np.indices(sides) * np.array(self.scan_sampling)[:, None, None]
        turned = np.tensordot(self.frame, grid, axes=1) / np.array(self.sampling)[:, None, None]
        return turned + self.positions[0][:, None, None]


def scan_geometry(
    scan_shape: tuple[int, int], detector_shape: tuple[int, int], acquisition: Acquisition
) -> ScanGeometry:
    """Lay the scan onto the grid of the object.

    Parameters
    ----------
    scan_shape
        Positions (y, x).
    detector_shape
        Pixels (ky, kx).
    acquisition
        Needs `beam_energy`, `convergence_angle`, `scan_step` and `diffraction_step`;
        `scan_rotation` and `flip_y` are taken as none where unknown, and `defocus` and
        `aberrations` tell how large the probe is.

    Raises
    ------
    MissingCalibrationError
        A needed calibration value is unknown.
    ValueError
        The probe does not fit into the window that the detector pixel allows, neighbouring
        probes do not overlap, or the aperture is larger than the detector.

    Examples
    --------
    >>> acquisition = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=0.8, diffraction_step=1.0
    ... )
    >>> geometry = scan_geometry((4, 6), (64, 64), acquisition)
    >>> geometry.shape, round(geometry.sampling[0], 4)
    ((82, 88), 0.3076)
    """
    acquisition.require(*NEEDED)
    assert acquisition.beam_energy is not None
    assert acquisition.scan_step is not None
    assert acquisition.diffraction_step is not None
    step = acquisition.scan_step
    extent = [
        wavelength(acquisition.beam_energy) / (1e-3 * pixel)
        for pixel in acquisition.diffraction_step
    ]
    _check(acquisition, (extent[0], extent[1]), detector_shape)
    sampling = extent[0] / detector_shape[0], extent[1] / detector_shape[1]
    rotation = acquisition.scan_rotation or 0.0
    frame = scan_frame_matrix(rotation, bool(acquisition.flip_y)).T
    index = np.indices(scan_shape).reshape(2, -1).T
    places = (index * np.array(step)) @ frame.T / np.array(sampling)
    middle = np.array(detector_shape) // 2
    # The first position falls onto a pixel, so that an unturned image needs no interpolation.
    places += np.ceil(places[0] - places.min(0)) - places[0] + middle + MARGIN
    shape = np.floor(places.max(0)).astype(int) + np.array(detector_shape) - middle + MARGIN + 1
    return ScanGeometry(
        scan_shape,
        step,
        (detector_shape[0], detector_shape[1]),
        sampling,
        (int(shape[0]), int(shape[1])),
        places,
        frame,
    )


def _check(
    acquisition: Acquisition, extent: tuple[float, float], detector_shape: tuple[int, int]
) -> None:
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    assert acquisition.diffraction_step is not None
    diameter = 2 * probe_radius(acquisition)
    if diameter > LARGEST_PROBE * min(extent):
        raise ValueError(
            f"The probe is {diameter:.3g} Å wide, but detector pixels of "
            f"{max(acquisition.diffraction_step):g} mrad leave a window of {min(extent):.3g} Å. "
            "Check convergence angle, defocus and detector pixel; a longer camera length or less "
            "defocus would make it fit."
        )
    if diameter < SMALLEST_OVERLAP * max(acquisition.scan_step):
        raise ValueError(
            f"The probe is {diameter:.3g} Å wide and the scan step "
            f"{max(acquisition.scan_step):g} Å: neighbouring positions share too little of the "
            "specimen for ptychography. Check scan step and defocus; a finer scan or more defocus "
            "would overlap."
        )
    seen = min(
        pixels * pixel
        for pixels, pixel in zip(detector_shape, acquisition.diffraction_step, strict=True)
    )
    if 2 * acquisition.convergence_angle > seen:
        raise ValueError(
            f"The bright-field disc is {2 * acquisition.convergence_angle:g} mrad wide, and the "
            f"detector only {seen:g} mrad. Check convergence angle and detector pixel."
        )
