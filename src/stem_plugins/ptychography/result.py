"""What a ptychographic reconstruction gives, and its file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stem_plugins.io.output_files import complete_or_nothing
from stem_plugins.optics.acquisition import Acquisition
from stem_plugins.ptychography.resolution import InformationLimit, information_limit

if TYPE_CHECKING:
    import h5py

__all__ = ["PtychographyResult", "load_ptychography"]

#: Of the file; a newer one than this program knows is refused.
FORMAT = 1
SUFFIX = ".h5"

#: Arrays of the result that stand in the file under their own names.
ARRAYS = (
    *("slices", "absorption", "probe", "positions"),
    *("losses", "held_out_losses", "rates", "snapshots"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class PtychographyResult:
    """Object and probe of a scan, and how they were found.

    Parameters
    ----------
    slices
        Phase of each slice [rad], (slices, y, x) in the frame of the scan; atoms are bright.
    absorption
        Of each slice, μ in ``exp(iφ - μ)``, or ``None`` where the object only shifts phases.
    probe
        Modes of the probe, (modes, y, x) complex, in the frame of the detector, orthogonal, the
        strongest first, with ``Σ|P|² = 1`` over all; the middle is pixel ``n // 2``.
    positions
        Of the probe [Å], (scan_y, scan_x, 2), vectors (y, x) in the frame of the scan.
    losses
        Mean loss of the patterns that were fitted, one per iteration.
    held_out_losses
        The same for patterns that were not; empty where none were held out.
    rates
        How far each iteration went: the learning rate of the networks' optimiser, or the part of
        a full step of the pixels'.
    snapshots
        Phases on the way [rad], (n, y, x), one every so many iterations as was asked.
    sampling
        Pixel of `slices` [Å], (y, x).
    probe_sampling
        Pixel of `probe` [Å], (y, x).
    slice_thickness
        From slice to slice [Å], as refined where it was, or ``None`` for one slice.
    acquisition
        The calibration, with the centre that was used.
    settings
        Everything that was chosen, by the user or from the data.
    stopped
        Why it ended.
    refined
        Where refined: background, in parts of the mean counts; tilt [mrad], (y, x); descan
        [detector px], for y and then for x its constant and its change from the scan's middle to
        the last row and to the last column; aberrations [rad at the aperture's edge].
    state
        What `iterative_ptychography` needs to go on; empty where it was not kept.
    """

    slices: NDArray[np.float32]
    absorption: NDArray[np.float32] | None
    probe: NDArray[np.complex64]
    positions: NDArray[np.float64]
    losses: NDArray[np.float64]
    held_out_losses: NDArray[np.float64]
    rates: NDArray[np.float64]
    snapshots: NDArray[np.float32]
    sampling: tuple[float, float]
    probe_sampling: tuple[float, float]
    slice_thickness: float | None
    acquisition: Acquisition
    settings: Mapping[str, Any]
    stopped: str
    refined: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
    state: Mapping[str, NDArray] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def origin(self) -> tuple[float, float]:
        """Place of pixel (0, 0) in the scan's frame [Å]: that of scan position (0, 0)."""
        return 0.0, 0.0

    @property
    def phase(self) -> NDArray[np.float32]:
        """Phase of all slices together [rad], (y, x)."""
        return self.slices.sum(axis=0)

    @property
    def object(self) -> NDArray[np.complex64]:
        """Transmission of all slices together, (y, x) complex."""
        found = np.exp(1j * self.phase)
        if self.absorption is not None:
            found = found * np.exp(-self.absorption.sum(axis=0))
        return found.astype(np.complex64)

    @property
    def powers(self) -> NDArray[np.float64]:
        """Share of each mode in the probe's intensity."""
        shares = np.square(np.abs(self.probe), dtype=float).sum(axis=(1, 2))
        return shares / shares.sum()

    @property
    def information_limit(self) -> InformationLimit:
        """Highest frequency at which the phase shows peaks above its noise."""
        return information_limit(self.phase, sampling=self.sampling)

    def __repr__(self) -> str:
        slices, rows, columns = self.slices.shape
        return (
            f"PtychographyResult({slices} × {rows} × {columns} pixels of {self.sampling[0]:.3g} Å, "
            f"{len(self.probe)} probe modes, {len(self.losses)} iterations, {self.stopped})"
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write everything into one HDF5 file, complete or not at all.

        Parameters
        ----------
        path
            Ends in ``.h5``.
        overwrite
            Replace an existing file.

        Raises
        ------
        ValueError
            The name has another ending.
        FileExistsError
            The file is there already.
        """
        import h5py

        path = Path(path)
        if path.suffix != SUFFIX:
            raise ValueError(f"A reconstruction is written as {SUFFIX}, not as {path.name!r}.")
        with (
            complete_or_nothing(path, overwrite=overwrite) as (temporary,),
            h5py.File(temporary, "w") as file,
        ):
            self._write(file)
        return path

    def _write(self, file: h5py.File) -> None:
        description = {
            "format": FORMAT,
            "sampling": self.sampling,
            "probe_sampling": self.probe_sampling,
            "slice_thickness": self.slice_thickness,
            "acquisition": self.acquisition.to_dict(),
            "settings": dict(self.settings),
            "stopped": self.stopped,
            "refined": dict(self.refined),
        }
        file.attrs["stem_plugins_ptychography"] = json.dumps(description)
        for name in ARRAYS:
            array = getattr(self, name)
            if array is not None:
                _write_array(file, name, array)
        for name, array in self.state.items():
            _write_array(file, f"state/{name}", array)


def _write_array(file: h5py.File, name: str, array: np.ndarray) -> None:
    """Write an array with checksums, so that a damaged file is noticed when it is read."""
    file.create_dataset(name, data=array, fletcher32=bool(np.ndim(array) and np.size(array)))


def load_ptychography(path: str | Path) -> PtychographyResult:
    """Read a reconstruction from the file that `PtychographyResult.save` wrote.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It holds no reconstruction, is damaged, or was written by a newer version.
    """
    import h5py

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}.")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path)
    except OSError as error:
        raise ValueError(f"{path.name} is no HDF5 file, or damaged.") from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path.name} is damaged: a part of its description is missing."
        ) from error


def _read(file: h5py.File, path: Path) -> PtychographyResult:
    written = file.attrs.get("stem_plugins_ptychography")
    if written is None:
        raise ValueError(
            f"{path.name} holds no reconstruction that iterative_ptychography() has written."
        )
    description = json.loads(written)
    if description["format"] > FORMAT:
        raise ValueError(
            f"{path.name} was written by a newer version of stem-plugins. Update to read it."
        )
    missing = [name for name in ARRAYS if name not in file and name != "absorption"]
    if missing:
        raise ValueError(f"{path.name} is damaged: {', '.join(missing)} is missing.")
    arrays: dict[str, Any] = {name: file[name][()] if name in file else None for name in ARRAYS}
    state = {name: array[()] for name, array in file["state"].items()} if "state" in file else {}
    return PtychographyResult(
        **arrays,
        sampling=tuple(description["sampling"]),
        probe_sampling=tuple(description["probe_sampling"]),
        slice_thickness=description["slice_thickness"],
        acquisition=Acquisition.from_dict(description["acquisition"]),
        settings=description["settings"],
        stopped=description["stopped"],
        refined=description["refined"],
        state=state,
    )
