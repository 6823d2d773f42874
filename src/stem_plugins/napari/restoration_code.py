"""Python code that restores an image as the panel Restore does."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stem_plugins.napari.planes import is_over_scan
from stem_plugins.napari.restoration import RestoreSettings

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["python_code"]


def python_code(layer: Image, settings: RestoreSettings) -> str:
    """Write a script that restores the image of a layer.

    Parameters
    ----------
    layer
        Of the image or stack.
    settings
        Of the panel; what is as by default is left out.

    Returns
    -------
    str
        Python code; it leaves the restored image in ``restored``, and the maps in ``evidence``.
    """
    plain = dataclasses.replace(settings, model=str(settings.model))
    options = "".join(
        f", {field.name}={getattr(plain, field.name)!r}"
        for field in dataclasses.fields(plain)
        if getattr(plain, field.name) != field.default
    )
    data = f"napari.current_viewer().layers[{layer.name!r}].data"
    results = "restored, evidence" if settings.return_evidence else "restored"
    return (
        "import napari\n\n"
        "import stem_plugins\n\n"
        f"image = {data}{'[:, :, 0, 0]' if is_over_scan(layer) else ''}\n"
        f"{results} = stem_plugins.restore(image{options})\n"
    )
