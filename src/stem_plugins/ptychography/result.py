"""What a ptychographic reconstruction gives, and its file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
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

#: Of the file; a newer one than this program knows is refused, and one without digest, too.
FORMAT = 2
SUFFIX = ".h5"

#: Attributes of the file: what is no array, as JSON, and the SHA-256 of it and of all arrays.
DESCRIPTION, DIGEST = "stem_plugins_ptychography", "stem_plugins_sha256"

#: Kinds of numbers that a result has; a damaged file may tell of others.
NUMBERS = "biufc"

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
        Where refined: background of each pixel, in parts of the counts of a whole pattern; tilt
        [mrad], (y, x); descan [detector px], for y and then for x its constant and its change from
        the scan's middle to the last row and to the last column; aberrations [rad at the
        aperture's edge].
    state
        What `iterative_ptychography` needs to go on; empty where it was not kept.
    provenance
        How it was made, kept over a resume: the versions of ``stem_plugins`` and ``torch``, when it
        was ``begun`` (ISO 8601, with time zone), and whether a ``vacuum`` pattern, a ``probe``, a
        ``mask`` and a ``scan_mask`` were given.
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
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

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
        description, arrays = self._description(), self._arrays()
        file.attrs[DESCRIPTION] = description
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs[DIGEST] = _digest(description, arrays.items())

    def digest(self) -> str:
        """SHA-256 of everything, as the file has it: two with the same one are equal."""
        return _digest(self._description(), self._arrays().items())

    def _description(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "sampling": self.sampling,
                "probe_sampling": self.probe_sampling,
                "slice_thickness": self.slice_thickness,
                "acquisition": self.acquisition.to_dict(),
                "settings": dict(self.settings),
                "stopped": self.stopped,
                "refined": dict(self.refined),
                "provenance": dict(self.provenance),
            }
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        """All arrays by their names in the file, none of them copied."""
        named = {name: getattr(self, name) for name in ARRAYS}
        named |= {f"state/{name}": array for name, array in self.state.items()}
        return {name: np.asarray(array) for name, array in named.items() if array is not None}


def _digest(description: str, arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """SHA-256 of the description, and of name, type, shape and bytes of every array."""
    found = hashlib.sha256(description.encode())
    for name, array in sorted(arrays, key=lambda one: one[0]):
        # Zeros, which no text holds, keep what follows one another apart.
        found.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


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
    OSError
        It may not be read.
    ValueError
        It holds no reconstruction, is damaged, or was written by another version.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the file of a reconstruction ({SUFFIX}).")
    # Who may not read it is told so, and not that it is damaged.
    with path.open("rb"):
        pass
    try:
        description, arrays = _content(path)
        if description["format"] == FORMAT:
            return _result(description, arrays)
        newer = description["format"] > FORMAT
    # Whatever HDF5, JSON and the calibration say of what is no longer as it was written.
    except Exception as error:
        raise ValueError(
            f"{path.name} is damaged, or holds no reconstruction that iterative_ptychography() has "
            "written. Use another copy of it, or reconstruct anew without resume."
        ) from error
    raise ValueError(
        f"{path.name} was written by a newer version of stem-plugins. Update to read it."
        if newer
        else f"{path.name} was written by an older version of stem-plugins, whose files do not "
        "tell whether they are damaged. Reconstruct anew without resume."
    )


def _content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Everything in a file, once it is known to be what was written."""
    import h5py

    arrays: dict[str, np.ndarray] = {}
    # Arrays that claim to be larger than their file would be made of nothing.
    room = path.stat().st_size

    def take(name: str, item: h5py.Dataset | h5py.Group) -> None:
        nonlocal room
        if isinstance(item, h5py.Dataset):
            room -= item.nbytes
            if room < 0 or item.dtype.kind not in NUMBERS:
                raise ValueError(f"{name} is none of a result's arrays")
            arrays[name] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        written, digest = file.attrs[DESCRIPTION], file.attrs.get(DIGEST)
        if digest is None and json.loads(written)["format"] == 1:
            return {"format": 1}, {}
        file.visititems(take)
    if digest != _digest(written, arrays.items()):
        raise ValueError("the content is not that of which the digest was made")
    return json.loads(written), arrays


def _result(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> PtychographyResult:
    always: dict[str, Any] = {name: arrays[name] for name in ARRAYS if name != "absorption"}
    return PtychographyResult(
        **always,
        absorption=arrays.get("absorption"),
        sampling=tuple(description["sampling"]),
        probe_sampling=tuple(description["probe_sampling"]),
        slice_thickness=description["slice_thickness"],
        acquisition=Acquisition.from_dict(description["acquisition"]),
        settings=description["settings"],
        stopped=description["stopped"],
        refined=description["refined"],
        state={
            name.removeprefix("state/"): array
            for name, array in arrays.items()
            if name.startswith("state/")
        },
        provenance=description["provenance"],
    )
