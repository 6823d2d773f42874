"""Direct ptychography: the phase of a thin specimen from the overlaps of diffraction discs.

Also called single side band (SSB) ptychography. It is linear and needs no iterations: where the
discs of the scan's diffraction orders overlap (see `stem_plugins.imaging.overlap_kernel`), every
detector pixel measures every spatial frequency of the phase, all weights known from aperture and
aberrations. The best estimate from all of them is a least-squares fit, here with a Wiener term
for the noise (J. M. Rodenburg et al., Ultramicroscopy 48, 304 (1993); T. J. Pennycook et al.,
Ultramicroscopy 151, 160 (2015)).
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from stem_plugins.imaging.center_of_mass import scan_frame_matrix
from stem_plugins.imaging.moments import check_4d
from stem_plugins.imaging.overlap_kernel import Lens, OverlapSums, add_overlaps, lens_of
from stem_plugins.lazy.blocks import is_lazy, map_scan_blocks, numpy_or_dask, scan_row_blocks
from stem_plugins.optics.acquisition import Acquisition, check_acquisition
from stem_plugins.optics.electrons import wavelength

if TYPE_CHECKING:
    import dask.array as da
    from dask.delayed import Delayed

__all__ = ["DirectTask", "disc_center", "plan", "spectra_of_pixels", "ssb"]

NEEDED = ("beam_energy", "convergence_angle", "scan_step", "diffraction_step")

#: Patterns along either scan axis whose mean shows where the disc is.
PATTERNS_FOR_CENTER = 32

#: How much the selected detector pixels of a scan may take at a time; more are read in turns.
GROUP_BYTES = 256 * 2**20

#: Measurements without overlap from which on the noise is learnt from them.
ENOUGH_QUIET = 1000

#: Regularisation where neither the data nor their counts tell the noise.
SMALLEST_REGULARIZATION = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class DirectTask:
    """Which detector pixels see overlaps, and how to read them."""

    #: The calibration, complete.
    acquisition: Acquisition
    lens: Lens
    #: Rows and columns of the pixels within the aperture.
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]]
    #: Their angles in the scan frame [rad], (pixels, 2), vectors (y, x).
    angles: NDArray[np.float64]
    scan_shape: tuple[int, int]
    #: λQ [rad].
    frequencies: tuple[NDArray[np.floating], NDArray[np.floating]]

    def groups(self) -> Iterator[slice]:
        """Pixels that are read together."""
        # Counts as float32, and their transform.
        size = max(1, GROUP_BYTES // (8 * int(np.prod(self.scan_shape))))
        for first in range(0, len(self.angles), size):
            yield slice(first, first + size)

    def selection(self, group: slice) -> Callable[..., _Selected]:
        """Return what takes a group's pixels from a block; the first group counts electrons."""
        pixels = (self.pixels[0][group], self.pixels[1][group])
        return partial(_select, pixels=pixels, count=group.start == 0)


def ssb(
    data: np.ndarray | da.Array,
    acquisition: Acquisition,
    *,
    regularization: float | None = None,
) -> np.ndarray | da.Array:
    """Image a thin specimen by direct (single side band) ptychography.

    Parameters
    ----------
    data
        Patterns, (scan_y, scan_x, ky, kx), of any real type, NumPy (memory maps included) or
        dask. What else can be sliced, such as arrays of zarr and h5py, is read block by block.
    acquisition
        Needs `beam_energy`, `convergence_angle`, `scan_step` and `diffraction_step`. `defocus` and
        `aberrations` (at half the height of the specimen), `scan_rotation` and `flip_y` are taken
        as none where unknown, and `center` is that of the bright-field disc in the mean of up to
        1024 patterns, which are read at once.
    regularization
        Wiener term ε, in parts of the largest ``Σ|Γ|²``: more suppresses noise and weakly
        transferred frequencies. ``None``: from the data, see Notes.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (scan_y, scan_x) complex64, ``exp(iφ)``: the argument is the phase φ [rad] of the specimen
        at the scan positions, of mean zero. Atoms are bright. It is dask for dask data.

    Raises
    ------
    MissingCalibrationError
        A needed calibration value is unknown.
    ValueError
        The data are not 4D or not real, hold NaN or infinite pixels in the disc, or no counts; the
        disc does not lie on the detector; the regularisation is below zero.

    Notes
    -----
    The estimate is ``φ̂(Q) = Σ Γ* G / (Σ |Γ|² + ε max_Q Σ|Γ|²)``, sums over detector pixels. It
    assumes a weak real phase: strong ones come out too low, and absorption is ignored. Without
    `regularization`, ε is ``ν/S(|Q|)``, the best for noise of power ν on a specimen of power S. ν
    is measured where no discs overlap, or follows from the counts; and S is what the mean over
    all directions shows above the noise, by more than its standard deviation. The scan is taken
    to repeat: what leaves it at one edge comes in at the opposite one.

    Memory holds what the pixels within the disc recorded, 256 MB of it at a time; larger scans
    are read in several turns.

    Examples
    --------
    >>> from stem_plugins import Acquisition
    >>> from stem_plugins.simulation import single_atoms, simulate_scan
    >>> acquisition = Acquisition(
    ...     beam_energy=300, convergence_angle=20, scan_step=0.4, diffraction_step=2.5
    ... )
    >>> gold = single_atoms([79], [[3.2, 4.0]], extent=(8, 8))
    >>> scan = simulate_scan(gold, acquisition, scan_shape=(20, 20), detector_shape=(24, 24))
    >>> phase = np.angle(ssb(scan.data, scan.acquisition))
    >>> [int(i) for i in np.unravel_index(phase.argmax(), phase.shape)]
    [8, 10]
    """
    given = check_4d(data)
    data = numpy_or_dask(given)
    if regularization is not None and not (np.isfinite(regularization) and regularization >= 0):
        raise ValueError(f"regularization must be zero or above, not {regularization!r}.")
    task = plan(data, acquisition)
    counts = data.dtype.kind in "iub"
    finish = partial(_image, task=task, regularization=regularization, counts=counts)
    if is_lazy(data):
        image = _lazy(data, task, finish)
        return image if data is given else image.compute()
    data = np.asarray(data)
    return finish([_read(data, task, group) for group in task.groups()])


def plan(data: np.ndarray | da.Array, acquisition: Acquisition) -> DirectTask:
    """Find out which detector pixels see overlaps.

    Parameters
    ----------
    data
        From `check_4d`.
    acquisition
        As for `ssb`, which says what is raised.
    """
    check_acquisition(acquisition).require(*NEEDED)
    if acquisition.center is None:
        acquisition = acquisition.replace(center=disc_center(data))
    return _plan((data.shape[0], data.shape[1]), (data.shape[2], data.shape[3]), acquisition)


def spectra_of_pixels(
    data: np.ndarray | da.Array, task: DirectTask, pixels: slice
) -> NDArray[np.complex64]:
    """Return G of some of the task's pixels, in electrons, (pixels, Q_y, Q_x), computed at once.

    Parameters
    ----------
    data
        From `check_4d`.
    task
        From `plan`.
    pixels
        Which of its pixels.
    """
    select = task.selection(pixels)
    data = numpy_or_dask(data)
    if is_lazy(data):
        spectra: NDArray[np.complex64] = map_scan_blocks(select, data, _spectra).compute()
        return spectra
    return _spectra(_selected_rows(np.asarray(data), select))


def _plan(
    scan_shape: tuple[int, int], detector_shape: tuple[int, int], acquisition: Acquisition
) -> DirectTask:
    assert acquisition.beam_energy is not None
    assert acquisition.convergence_angle is not None
    assert acquisition.scan_step is not None
    step = np.array(acquisition.diffraction_step) * 1e-3
    index = np.moveaxis(np.indices(detector_shape), 0, -1).reshape(-1, 2)
    turn = scan_frame_matrix(acquisition.scan_rotation or 0.0, bool(acquisition.flip_y))
    angles = ((index - np.array(acquisition.center)) * step) @ turn.T
    edge = float(np.sqrt(np.prod(step)))
    semi_angle = acquisition.convergence_angle * 1e-3
    within = np.hypot(*angles.T) < semi_angle + 0.5 * edge
    _check_disc(int(within.sum()), semi_angle, step, detector_shape, acquisition)
    electron_wavelength = wavelength(acquisition.beam_energy)
    rows, columns = scan_shape
    step_y, step_x = acquisition.scan_step
    return DirectTask(
        acquisition,
        lens_of(acquisition, angles, edge),
        (index[within, 0], index[within, 1]),
        angles[within],
        scan_shape,
        (
            electron_wavelength * np.fft.fftfreq(rows, step_y),
            electron_wavelength * np.fft.rfftfreq(columns, step_x),
        ),
    )


def disc_center(data: np.ndarray | da.Array) -> tuple[float, float]:
    """Find the middle of the bright-field disc [px], (ky, kx).

    Parameters
    ----------
    data
        Patterns, from `check_4d`; at most 4 × 32 × 32 of them are read.

    Raises
    ------
    ValueError
        Patterns hold NaN or infinite pixels, or no counts.
    """
    every = tuple(slice(None, None, max(1, size // PATTERNS_FOR_CENTER)) for size in data.shape[:2])
    pattern = np.asarray(data[every].mean(axis=(0, 1)), float)
    if not np.isfinite(pattern).all():
        raise ValueError(
            "The centre of the bright-field disc cannot be found: patterns hold NaN or infinite "
            "pixels. Replace them, or give center."
        )
    # Few pixels may be hot, so the level of the disc is that of its brighter part on the whole.
    bright = pattern[pattern >= 0.1 * np.sort(pattern.ravel())[-max(1, pattern.size // 100)]]
    disc = pattern > 0.5 * np.median(bright)
    if not disc.any():
        raise ValueError("The patterns hold no counts: there is nothing to image.")
    y, x = np.nonzero(disc)
    return float(y.mean()), float(x.mean())


def _check_disc(
    pixels: int,
    semi_angle: float,
    step: NDArray[np.float64],
    detector_shape: tuple[int, int],
    acquisition: Acquisition,
) -> None:
    """Raise an error unless most of the disc lies on the detector, and on several pixels."""
    expected = np.pi * semi_angle**2 / np.prod(step)
    if expected < 4:
        raise ValueError(
            f"The bright-field disc of {acquisition.convergence_angle:g} mrad covers "
            f"{expected:.1f} detector pixels of {step[0] * 1e3:g} × {step[1] * 1e3:g} mrad; direct "
            "ptychography needs at least 4. Check convergence_angle and diffraction_step."
        )
    if pixels < 0.5 * expected:
        raise ValueError(
            f"Of the bright-field disc of {acquisition.convergence_angle:g} mrad around "
            f"{acquisition.center} px only {100 * pixels / expected:.0f} % lies on the detector of "
            f"{detector_shape[0]} × {detector_shape[1]} pixels. Check center, convergence_angle "
            "and diffraction_step."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Selected:
    """What some pixels of the detector recorded, and the electrons in all of them, if counted."""

    counts: NDArray[np.float32]
    total: float


def _select(
    block: np.ndarray,
    place: tuple[int, int],
    *,
    pixels: tuple[NDArray[np.intp], ...],
    count: bool,
) -> _Selected:
    """Take some pixels of frames (rows, columns, ky, kx): (pixels, rows, columns)."""
    del place
    chosen = np.moveaxis(block[:, :, pixels[0], pixels[1]], -1, 0).astype(np.float32)
    if not np.isfinite(chosen).all():
        raise ValueError(
            "Patterns hold NaN or infinite pixels within the bright-field disc; replace them first."
        )
    # Pixels beside the disc may be dead.
    electrons = np.nansum(block, dtype=float) if count else 0.0
    return _Selected(chosen, float(electrons))


def _read(data: np.ndarray, task: DirectTask, group: slice) -> tuple[OverlapSums, float]:
    """Overlaps of a group of pixels of NumPy data, and the electrons that it has counted."""
    return _overlaps(_selected_rows(data, task.selection(group)), task, group)


def _selected_rows(data: np.ndarray, select: Callable[..., _Selected]) -> list[list[_Selected]]:
    rows = scan_row_blocks(data.shape, data.dtype.itemsize)
    return [[select(data[place], (place.start, 0))] for place in rows]


def _spectra(parts: list[list[_Selected]]) -> NDArray[np.complex64]:
    """Fourier transforms over the scan, in electrons."""
    counts = np.block([[part.counts for part in row] for row in parts])
    spectra: NDArray[np.complex64] = scipy.fft.rfft2(counts, axes=(1, 2), overwrite_x=True)
    return spectra


def _overlaps(
    parts: list[list[_Selected]], task: DirectTask, group: slice
) -> tuple[OverlapSums, float]:
    electrons = sum(part.total for row in parts for part in row)
    sums = add_overlaps(_spectra(parts), task.angles[group], task.frequencies, task.lens)
    return sums, electrons


def _lazy(data: da.Array, task: DirectTask, finish: partial[np.ndarray]) -> da.Array:
    import dask
    import dask.array as da
    from dask.graph_manipulation import bind

    groups: list[Delayed] = []
    for group in task.groups():
        join = partial(_overlaps, task=task, group=group)
        overlaps = map_scan_blocks(task.selection(group), data, join)
        # One after the other, and from blocks of its own: shared ones would be read once, but all
        # groups' pixels would be held together.
        groups.append(bind(overlaps, groups[-1], seed=group.start) if groups else overlaps)
    image = dask.delayed(finish, pure=True)(groups)
    return da.from_delayed(image, task.scan_shape, np.complex64)


def _image(
    groups: list[tuple[OverlapSums, float]],
    *,
    task: DirectTask,
    regularization: float | None,
    counts: bool,
) -> np.ndarray:
    """Image from the overlaps of all groups of pixels."""
    electrons = groups[0][1] / float(np.prod(task.scan_shape))
    if not electrons > 0:
        raise ValueError("The patterns hold no counts: there is nothing to image.")
    sums = functools.reduce(operator.add, (part for part, _ in groups)).in_parts_of(electrons)
    weight = sums.weight
    weight[0, 0] = sums.signal[0, 0] = 0
    if regularization is not None:
        wiener = np.full(weight.shape, regularization * weight.max())
    else:
        # Poisson: every pixel of the disc has a variance of electrons / pixels in every pattern.
        noise = float(np.prod(task.scan_shape)) / (task.lens.norm * electrons)
        wiener = noise_to_signal(sums, task.frequencies, poisson=noise if counts else None)
    total = weight + wiener
    phase = np.divide(sums.signal, total, out=np.zeros_like(sums.signal), where=total > 0)
    return np.exp(1j * scipy.fft.irfft2(phase, s=task.scan_shape)).astype(np.complex64)


def noise_to_signal(
    sums: OverlapSums,
    frequencies: tuple[NDArray[np.floating], NDArray[np.floating]],
    *,
    poisson: float | None,
) -> NDArray[np.float64]:
    """Power of the noise of G over that of the specimen: the Wiener term for each frequency.

    Parameters
    ----------
    sums
        Of overlaps; the frequency zero is left out.
    frequencies
        Q_y and Q_x, in any unit.
    poisson
        Power of the noise of G that follows from the counts, for where no discs are apart;
        ``None``: the data are no counts.

    Returns
    -------
    ndarray
        (Q_y, Q_x), infinite where no specimen is seen above the noise.
    """
    weight = sums.weight
    if sums.quiet >= ENOUGH_QUIET:
        noise = sums.noise / sums.quiet
    elif poisson is not None:
        noise = poisson
    else:
        return np.full(weight.shape, SMALLEST_REGULARIZATION * weight.max())
    frequency = np.hypot(frequencies[0][:, None], frequencies[1])
    coarsest = max(one[1:2].max(initial=0) for one in frequencies)
    ring = (frequency / max(coarsest, 1e-30) + 0.5).astype(int).ravel()
    signal, chance, scale = (
        np.bincount(ring, part.ravel())
        for part in (np.abs(sums.signal) ** 2 - noise * weight, (noise * weight) ** 2, weight**2)
    )
    # Rings of few frequencies stand above the noise by chance.
    sure = (signal - np.sqrt(chance)).clip(0)
    power = np.divide(sure, scale, out=np.zeros_like(sure), where=scale > 0)[ring]
    with np.errstate(divide="ignore"):
        return np.where(power > 0, noise / power.clip(1e-300), np.inf).reshape(weight.shape)
