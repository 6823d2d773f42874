"""Save all result images of a panel, asking where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from stem_plugins.napari.planes import flat_image
from stem_plugins.napari.widgets.words import words_of
from stem_plugins.napari.writer import save_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari.layers import Image

__all__ = ["ask_and_save", "result_paths", "save_results"]

COLOR_SUFFIXES = (".tif", ".png")
KINDS = "colours fit into .tif and .png only, stacks into all others"
SUFFIXES = (".tif", ".zspy", ".hspy", ".png", ".npy")


def result_paths(path: str | Path, names: Iterable[str]) -> dict[str, Path]:
    """Names of the files for several images.

    Parameters
    ----------
    path
        ``scan.tif`` gives ``scan_riCOM.tif`` and so on.
    names
        Of the images.

    Examples
    --------
    >>> {name: file.name for name, file in result_paths("scan.tif", ["COM x"]).items()}
    {'COM x': 'scan_COM-x.tif'}
    """
    path = Path(path)
    return {
        name: path.with_name(f"{path.stem}_{name.replace(' ', '-')}{path.suffix}") for name in names
    }


def save_results(
    path: str | Path, results: Iterable[tuple[str, Image]], *, overwrite: bool = False
) -> list[Path]:
    """Save all result images with their calibration.

    Parameters
    ----------
    path
        As for `result_paths`; the suffix chooses the format.
    results
        The images by name.
    overwrite
        Whether existing files may be replaced.

    Returns
    -------
    list of pathlib.Path
        What was written: of colour pictures only what the format can hold.

    Raises
    ------
    FileExistsError
        One of the files exists and ``overwrite`` is False; then none is written.
    ValueError
        The format is not known or cannot hold an image.
    """
    layers = {name: layer for name, layer in results if _fits(path, layer)}
    if not layers:
        raise ValueError(f"None of the images fits into a file of this kind: {KINDS}.")
    paths = result_paths(path, layers)
    existing = [target.name for target in paths.values() if target.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{', '.join(existing)} exist already. Choose another name.")
    for name, target in paths.items():
        save_layer(target, layers[name], overwrite=overwrite)
    return list(paths.values())


def _fits(path: str | Path, layer: Image) -> bool:
    suffix = Path(path).suffix.lower()
    if suffix == ".png" and flat_image(layer).ndim - bool(layer.rgb) > 2:
        return False
    return not layer.rgb or suffix in COLOR_SUFFIXES


def ask_and_save(
    parent: QWidget,
    results: Iterable[tuple[str, Image]],
    name: str,
    *,
    whole: Mapping[str, Callable[[Path, bool], object]] | None = None,
) -> str:
    """Ask for a name and save all result images.

    Parameters
    ----------
    parent
        Of the dialogs.
    results
        The images by name.
    name
        To suggest.
    whole
        Further formats by suffix: each is called with the path, and whether an existing file may be
        replaced, and writes everything into that one file.

    Returns
    -------
    str
        What was done, or why not, for the user; empty when the user changed their mind.
    """
    results, whole = list(results), whole or {}
    if not results:
        return "There are no images yet: run first."
    chosen, selected_filter = QFileDialog.getSaveFileName(
        parent,
        "Save all images of the panel, each as NAME_IMAGE",
        name,
        ";;".join(f"{suffix} (*{suffix})" for suffix in (*SUFFIXES, *whole)),
    )
    if not chosen:
        return ""
    path = Path(chosen if Path(chosen).suffix else chosen + selected_filter.split(" ")[0])
    into_one = whole.get(path.suffix.lower())
    targets = [path] if into_one else result_paths(path, dict(results)).values()
    overwrite = False
    if any(target.exists() for target in targets):
        answer = QMessageBox.question(parent, "Save", "Some files exist already. Replace them?")
        overwrite = answer == QMessageBox.StandardButton.Yes
        if not overwrite:
            return ""
    try:
        if into_one:
            into_one(path, overwrite)
            return f"Saved {path.name}."
        written = save_results(path, results, overwrite=overwrite)
    except (ValueError, OSError) as error:
        return words_of(error)
    left_out = [name for name, layer in results if not _fits(path, layer)]
    note = f" Not {', '.join(left_out)}: {KINDS}." if left_out else ""
    return f"Saved {', '.join(file.name for file in written)}.{note}"
