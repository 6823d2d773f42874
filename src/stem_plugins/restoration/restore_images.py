"""Remove noise and scan distortion from STEM images.

One function for every model: the image is turned so that the fast scan runs along x to the right,
brought to mean 0 and standard deviation 1 as a whole, restored in pieces with a halo, and brought
back. So the result follows every change of gain and offset,
``restore(a·x + b) = a·restore(x) + b``, and memory is bounded by the piece, not by the image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stem_plugins.lazy.blocks import is_lazy
from stem_plugins.lazy.processors import torch_device, torch_threads
from stem_plugins.restoration.evidence import REPLICAS, Evidence, examine, spread_map
from stem_plugins.restoration.image_checks import (
    check_orientation,
    fill_missing,
    real_images,
    warn_of_image,
    warn_of_scan_axis,
)
from stem_plugins.restoration.noise_colour import NoiseColour, find_noise_colour
from stem_plugins.restoration.pieces import apply_in_pieces, cut, piece_sizes, strip_height
from stem_plugins.restoration.standardization import FARTHEST, scale_of
from stem_plugins.restoration.training_range import pedestal_of, warn_outside

if TYPE_CHECKING:
    import dask.array as da
    import torch

    from stem_plugins.restoration.image_models import ImageModel

__all__ = ["restore"]

Callback = Callable[[float], object]

#: About what share of the time it takes to find out where rows belong.
SHARE_OF_ROWS = 0.4

#: Sides below which rows cannot be compared [px].
SMALLEST_EXAMINED = 8


def restore(
    image: np.ndarray | da.Array,
    *,
    model: str | Path = "default",
    scan_axis: int = -1,
    scan_direction: Literal[1, -1] = 1,
    ensemble: bool = False,
    remove_pedestal: bool = False,
    return_evidence: bool = False,
    tile: int | None = None,
    halo: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: str = "auto",
    threads: int | None = None,
    callback: Callback | None = None,
) -> np.ndarray | da.Array | tuple[np.ndarray | da.Array, Evidence]:
    """Restore an image or a stack of images: noise, row jitter and fast-scan tail are removed.

    Parameters
    ----------
    image
        (y, x) or a stack (..., y, x), real, of any type, NumPy or dask. Pixels that are NaN are
        filled in from around them for the network, and are NaN in the result; a warning says so.
    model
        ``"default"``: the network that comes with this package. ``"fft"``: a filter in
        overlapping windows, without weights (`local_fourier_filter`). ``"tk_r_em:hrstem"`` and
        its five sisters: the published networks, once imported from your own copy. Or the path
        of a file of weights.
    scan_axis
        Along which of the two image axes the beam scans fast: -1 (along x, as almost all
        microscopes do) or -2 (along y). It matters: rows are what jitter shifts.
    scan_direction
        1: towards larger indices; -1: towards smaller ones (mirrored images). The tail of the
        detector points there.
    ensemble
        Average with the restoration of the image flipped along the slow axis: twice the time, a
        little less noise.
    remove_pedestal
        Subtract the intensity at which the noise ends, that of no electrons: the offset that the
        electronics adds. Where the noise does not grow with intensity nothing is subtracted, and
        a warning says so.
    return_evidence
        Return `Evidence` too: what speaks for and against the restored image, pixel by pixel, at
        about seven times the time, with the whole image in memory. It warns where the image lies
        outside what the network was trained on.
    tile
        Side of the pieces that are restored at a time [px]; ``None``: chosen for memory.
    halo
        How far pieces overlap on either side [px]; ``None``: what the model needs.
    precision
        ``"bfloat16"`` is faster where the processor computes in it.
    device
        ``"auto"``: a GPU if torch sees one, otherwise the processor.
    threads
        Processor threads of torch; ``None``: as many as there are cores. Dask data use dask's.
    callback
        Called with the share that is done, 0 to 1, after every piece; what it raises stops the
        restoration. Not for dask data, whose progress dask shows.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        float32, the shape and the intensity scale of `image`, on its scan grid. With
        `return_evidence`, a pair of it and an `Evidence`.

    Raises
    ------
    ValueError
        The image is complex, RGB or less than two-dimensional, or an option is unknown.
    FileNotFoundError
        The model's weights are not there; the message says how to get them.

    Notes
    -----
    The default network is described in its model card (docs, "Restoration network"). Of an image
    that was strongly smoothed along its rows after it was recorded the low-pass is found
    (`estimate_low_pass`), and is in the result, too. An image whose pixels all have one value comes
    back as it is.

    References
    ----------
    T. Friedrich, thesis, University of Antwerp (2023), chapter 2, for the distortions.
    I. Lobato, T. Friedrich, S. Van Aert, npj Computational Materials 10, 10 (2024), for the
    published networks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.indices((128, 128))
    >>> clean = 2 + np.cos(y / 3) * np.cos(x / 3)
    >>> noisy = rng.poisson(5 * clean) / 5
    >>> restored = restore(noisy, model="fft")
    >>> bool(np.std(restored - clean) < 0.5 * np.std(noisy - clean))
    True
    """
    image = real_images(image)
    scan_axis = check_orientation(image.ndim, scan_axis, scan_direction)
    task = _Task(
        model,
        scan_axis,
        scan_direction,
        ensemble,
        remove_pedestal,
        return_evidence,
        tile,
        halo,
        precision,
        device,
        threads,
    )
    # Weights that are not there are said now, not when a lazy result is computed.
    task.load()
    maps: np.ndarray | da.Array
    if is_lazy(image):
        maps = _restore_lazy(image, task)
    else:
        maps = _restore_stack(np.asarray(image), task, callback)
    if not return_evidence:
        return maps[0]
    return maps[0], Evidence(consistency=maps[1], unexplained=maps[2], spread=maps[3])


@dataclasses.dataclass(frozen=True)
class _Task:
    """The options of `restore`; travels to wherever dask computes."""

    model: str | Path
    scan_axis: int
    scan_direction: int
    ensemble: bool
    pedestal: bool
    evidence: bool
    tile: int | None
    halo: int | None
    precision: str
    device: str
    threads: int | None

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', not {self.precision!r}.")
        for name in ("tile", "halo", "threads"):
            value = getattr(self, name)
            if value is not None and not value >= (0 if name == "halo" else 1):
                raise ValueError(f"{name} must be a positive number of pixels, not {value!r}.")

    @property
    def maps(self) -> int:
        """How many maps the task gives for each image."""
        return 4 if self.evidence else 1

    def load(self) -> ImageModel:
        """Return the model on its device."""
        from stem_plugins.restoration.image_models import load_model

        return load_model(self.model, device=torch_device(self.device))


def _restore_stack(stack: np.ndarray, task: _Task, callback: Callback | None = None) -> np.ndarray:
    """Restore the images of a NumPy stack one after another: (maps, ..., y, x)."""
    images = stack.reshape(-1, *stack.shape[-2:])
    result = np.empty((task.maps, *images.shape), np.float32)
    with torch_threads(task.threads):
        for index, image in enumerate(images):

            def report(share: float, done: int = index) -> None:
                if callback is not None:
                    callback((done + share) / len(images))

            result[:, index] = _restore_image(image, task, report)
    return result.reshape(task.maps, *stack.shape)


def _restore_lazy(stack: da.Array, task: _Task) -> da.Array:
    """Restore the images of a dask stack, one image in memory at a time and thread."""
    import dask.array as da

    chunks = dict.fromkeys(range(stack.ndim - 2), 1) | {stack.ndim - 2: -1, stack.ndim - 1: -1}
    # Dask's own threads are as many as the cores.
    alone = dataclasses.replace(task, threads=task.threads or 1)
    stack = stack.rechunk(chunks)
    return da.map_blocks(
        partial(_restore_stack, task=alone),
        stack,
        new_axis=0,
        chunks=((task.maps,), *stack.chunks),
        dtype=np.float32,
        meta=np.empty((0,) * (stack.ndim + 1), np.float32),
    )


def _restore_image(image: np.ndarray, task: _Task, report: Callback) -> np.ndarray:
    """Restore one image (y, x); return it and its evidence, (maps, y, x) float32."""
    warn_of_image(image)
    filled, missing = fill_missing(image)
    maps = np.zeros((task.maps, *image.shape), np.float32)
    mean, deviation = scale_of(filled)
    if deviation == 0:
        maps[0] = filled
        report(1.0)
        return maps
    rounds = 1 + (REPLICAS if task.evidence else 0)

    def in_rounds(done: int) -> Callback:
        return lambda share: report((done + share) / rounds)

    # In double precision, but into single: copies of a large image would be most of the memory.
    in_double: dict[str, Any] = {"dtype": float, "casting": "unsafe"}
    scaled = np.subtract(filled, mean, out=np.empty(image.shape, np.float32), **in_double)
    turned = _turned(np.divide(scaled, deviation, out=scaled, **in_double), task)
    colour = _colour_of(turned, task)
    if task.load().noise_is_whitened and colour == NoiseColour():
        warn_of_scan_axis(turned)
    restored = _restore_scaled(turned, colour, task, in_rounds(0))
    np.multiply(_turned_back(restored, task), deviation, out=maps[0], **in_double)
    np.add(maps[0], mean, out=maps[0], **in_double)
    if (task.evidence or task.pedestal) and min(image.shape) >= SMALLEST_EXAMINED:
        _examine(maps, turned, restored, (mean, deviation), task, in_rounds)
    if missing is not None:
        maps[:, missing] = np.nan
    return maps


def _examine(
    maps: np.ndarray,
    turned: np.ndarray,
    restored: np.ndarray,
    scale: tuple[float, float],
    task: _Task,
    in_rounds: Callable[[int], Callback],
) -> None:
    """Put the evidence, where it is wanted, into the maps, and take a pedestal off the image.

    `turned` and `restored` are standardised with the mean and deviation in `scale`; further
    restorations report to ``in_rounds(number)``.
    """
    mean, deviation = scale
    found = examine(turned, restored)
    if (trained := task.load().trained_on) is not None:
        warn_outside(trained, found.noise, restored)
    if task.pedestal:
        pedestal = pedestal_of(found.noise, float(restored.mean()))
        maps[0] -= 0 if pedestal is None else pedestal * deviation + mean
    if task.evidence:
        number = itertools.count(1)

        def restore_again(one: np.ndarray) -> np.ndarray:
            return _restore_scaled(one, _colour_of(one, task), task, in_rounds(next(number)))

        spread = spread_map(restored, found, restore_again)
        maps[1] = _turned_back(found.consistency, task)
        maps[2] = _turned_back(found.unexplained, task)
        maps[3] = _turned_back(spread, task) * deviation


def _turned(image: np.ndarray, task: _Task) -> np.ndarray:
    """Turn an image so that the fast scan runs along x to the right."""
    turned = image.T if task.scan_axis == -2 else image
    return turned[:, :: task.scan_direction]


def _turned_back(image: np.ndarray, task: _Task) -> np.ndarray:
    turned = image[:, :: task.scan_direction]
    return turned.T if task.scan_axis == -2 else turned


def _colour_of(image: np.ndarray, task: _Task) -> NoiseColour:
    """What is to be taken off before the model sees the image."""
    return find_noise_colour(image) if task.load().noise_is_whitened else NoiseColour()


def _restore_scaled(
    image: np.ndarray, colour: NoiseColour, task: _Task, report: Callback
) -> np.ndarray:
    """Restore a standardised image whose fast scan runs along x to the right."""
    if not task.ensemble:
        return _restore_once(image, colour, task, report)
    restored = _restore_once(image, colour, task, lambda share: report(share / 2))
    upside_down = image[::-1]
    mirrored = _restore_once(
        upside_down, _colour_of(upside_down, task), task, lambda share: report((1 + share) / 2)
    )
    restored += mirrored[::-1]
    restored /= 2
    return restored


def _restore_once(
    image: np.ndarray, colour: NoiseColour, task: _Task, report: Callback
) -> np.ndarray:
    model = task.load()
    rows, begun = None, 0.0
    if model.find_rows is not None:
        rows, begun = np.empty((len(image), 2), np.float32), SHARE_OF_ROWS
        for share, kept, found in _found_rows(image, task, colour):
            rows[kept] = found
            report(begun * share)

    def run(piece: np.ndarray, where: slice) -> np.ndarray:
        return _run_piece(colour.removed(piece), None if rows is None else rows[where], task)

    sizes = piece_sizes((image.shape[0], image.shape[1]), model, task.tile)
    halo = model.halo if task.halo is None else -(-task.halo // model.grid) * model.grid
    result = np.empty(image.shape, np.float32)
    for share, place, part in apply_in_pieces(run, image, sizes, halo):
        result[place] = part
        report(begun + (1 - begun) * share)
    result = colour.put_back(result)
    if model.mean_is_kept:
        # Outliers do not count, as for the standardisation.
        result += np.float32(
            image.clip(-FARTHEST, FARTHEST).mean(dtype=float) - result.mean(dtype=float)
        )
    return result


def _found_rows(
    image: np.ndarray, task: _Task, colour: NoiseColour
) -> Iterator[tuple[float, slice, np.ndarray]]:
    """Find where the rows of an image belong, strip by strip: share done, rows, shifts."""
    import torch

    model = task.load()
    assert model.find_rows is not None
    for needed, kept in cut(len(image), strip_height(image.shape[1], model), model.halo):
        with _ready_for_torch(task) as device:
            strip = _tensor(colour.removed(image[needed]), model, device)
            with torch.inference_mode():
                shifts = model.find_rows(strip)[0].float().cpu().numpy()
        first = kept.start - needed.start
        yield kept.stop / len(image), kept, shifts[first : first + kept.stop - kept.start]


def _run_piece(piece: np.ndarray, rows: np.ndarray | None, task: _Task) -> np.ndarray:
    """Run the model on a piece (y, x) whose rows are known, if the model wants to know."""
    import torch

    model = task.load()
    height, width = piece.shape
    with _ready_for_torch(task) as device, torch.inference_mode():
        image = _tensor(piece, model, device)
        if rows is None:
            result = model.run(image)
        else:
            below = np.pad(rows, ((0, image.shape[-2] - height), (0, 0)), mode="edge")
            result = model.run(image, torch.from_numpy(below)[None].to(device))
        restored: np.ndarray = result[0, 0, :height, :width].float().cpu().numpy()
        return restored


def _tensor(piece: np.ndarray, model: ImageModel, device: str) -> torch.Tensor:
    """A piece (y, x), as large as the model wants it, as (1, 1, y, x)."""
    import torch

    rest_y, rest_x = (-size % model.multiple for size in piece.shape)
    mode: Literal["reflect", "edge"] = "reflect" if min(piece.shape) > 8 else "edge"
    padded = np.pad(piece, ((0, rest_y), (0, rest_x)), mode=mode)
    return torch.from_numpy(padded)[None, None].to(device)


@contextlib.contextmanager
def _ready_for_torch(task: _Task) -> Iterator[str]:
    """Name the device and compute in the precision that the task asks for."""
    device = torch_device(task.device)
    with _precision(task.precision, device):
        yield device


def _precision(precision: str, device: str) -> contextlib.AbstractContextManager[object]:
    import torch

    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
