"""Models that `restore` can apply: found by name, ready to run on standardised images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import torch

from stem_plugins.models import Weights, check_tensors, find_weights, load_weights
from stem_plugins.restoration import cgrdn, row_aware_network
from stem_plugins.restoration.local_fourier import WINDOW, local_fourier_filter
from stem_plugins.restoration.training_range import TrainingRange

__all__ = ["ImageModel", "load_model"]

#: Designs that this version can build, and the newest version of each.
DESIGNS = {
    row_aware_network.DESIGN: row_aware_network.DESIGN_VERSION,
    cgrdn.DESIGN: cgrdn.VERSION,
}


@dataclasses.dataclass(frozen=True)
class ImageModel:
    """One way to restore an image.

    Parameters
    ----------
    name
        As the user gave it.
    run
        Restores standardised images, (n, 1, y, x) float32, fast scan along x; the sides are
        multiples of `multiple`. Takes what `find_rows` has found too, where there is one.
    multiple
        Sides of what `run` takes are multiples of this [px].
    grid
        Places at which an image may be cut are multiples of this [px].
    halo
        Pixels beyond a piece that it needs to agree with the whole image.
    whole_rows
        Whether pieces should be whole scan rows, since rows are looked at as wholes.
    network
        The torch module, to be moved between devices; ``None``: there is none.
    trained_on
        Range of the training images; ``None``: unknown, or the model was not trained.
    mean_is_kept
        Whether results are brought back to the mean of the image: no distortion changes it.
    noise_is_whitened
        Whether what colours the noise is taken off before (`noise_colour`): tails and low-passes.
    find_rows
        Finds out where rows belong, (n, y, 2), from standardised images of whole rows;
        ``None``: the model does not ask for it.
    """

    name: str
    run: Callable[..., torch.Tensor]
    multiple: int
    grid: int
    halo: int
    whole_rows: bool
    network: torch.nn.Module | None = None
    trained_on: TrainingRange | None = None
    mean_is_kept: bool = False
    noise_is_whitened: bool = False
    find_rows: Callable[[torch.Tensor], torch.Tensor] | None = None


@functools.lru_cache(maxsize=4)
def _load(path: Path | None, name: str, stamp: int, device: str) -> ImageModel:
    del stamp  # a file that was written anew is read anew
    if path is None:
        return ImageModel(
            name, local_fourier_filter, multiple=1, grid=WINDOW, halo=WINDOW, whole_rows=False
        )
    weights = load_weights(path, designs=DESIGNS)
    if weights.design == cgrdn.DESIGN:
        published = cgrdn.cgrdn_from_weights(weights).to(device)
        # Its authors' files are transposed as they are read: the network, too, sees rows along x.
        return ImageModel(name, published, 2, 2, 64, whole_rows=False, network=published)
    network = _row_aware(weights).to(device)
    # Channels last is twice as fast on processors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ImageModel(
        name,
        network.restore,
        multiple=row_aware_network.MULTIPLE,
        grid=row_aware_network.GRID,
        halo=row_aware_network.HALO,
        whole_rows=True,
        network=network,
        trained_on=TrainingRange.from_details(weights.details),
        mean_is_kept=True,
        noise_is_whitened=True,
        find_rows=network.find_rows,
    )


def load_model(name: str | Path, *, device: str = "cpu") -> ImageModel:
    """Find a model by name and make it ready; the last few stay in memory.

    Parameters
    ----------
    name
        ``"default"``, ``"fft"``, an imported one such as ``"tk_r_em:hrstem"``, or a file.
    device
        Torch's name of the device.

    Returns
    -------
    ImageModel

    Raises
    ------
    ValueError, FileNotFoundError
        There is no such model, or its file is damaged or newer than this version.

    Examples
    --------
    >>> load_model("fft").halo
    96
    """
    if str(name) == "fft":
        return _load(None, "fft", 0, device)
    path = find_weights(name)
    return _load(path, str(name), path.stat().st_mtime_ns, device)


def _row_aware(weights: Weights) -> row_aware_network.RestorationNetwork:
    network = row_aware_network.RestorationNetwork()
    check_tensors(
        weights, {name: tuple(value.shape) for name, value in network.state_dict().items()}
    )
    network.load_state_dict(
        {name: torch.tensor(array, dtype=torch.float32) for name, array in weights.tensors.items()}
    )
    return network.eval().requires_grad_(False)
