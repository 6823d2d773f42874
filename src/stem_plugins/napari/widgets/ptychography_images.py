"""The images of a reconstruction as layers of the main viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stem_plugins.napari.ptychography_layers import (
    images_of,
    layer_acquisition,
    parameters_of,
    probe_layer,
    slices_layer,
)
from stem_plugins.napari.widgets.run_images import RunImages

if TYPE_CHECKING:
    from stem_plugins.ptychography.result import PtychographyResult

__all__ = ["ReconstructionImages", "title_of"]

#: What stands before the names of a run's layers.
TITLES = {"dgp": "DGP", "pixelated": "Pixelated"}


def title_of(result: PtychographyResult, name: str) -> str:
    """Name of the layer of an image.

    Parameters
    ----------
    result
        Knows who drew the object.
    name
        From `stem_plugins.napari.ptychography_layers.images_of`.
    """
    return f"{TITLES[result.settings['prior']]} {name}"


class ReconstructionImages(RunImages):
    """Show phase, absorption, slices and probe of one run after the other."""

    def show(self, result: PtychographyResult, scan: Any) -> None:
        """Show a result in its layers; those that a user has removed stay away.

        Parameters
        ----------
        result
            Of the run.
        scan
            Layer of the scan.
        """
        acquisition, parameters = layer_acquisition(result), parameters_of(result)
        # First, so that it lies below.
        title = title_of(result, "probe")
        if title not in self.unwanted:
            self.results.show_layer(title, probe_layer(result, title), scan)
        for name, (image, unit) in images_of(result).items():
            title = title_of(result, name)
            if title not in self.unwanted:
                self.results.show(title, image, acquisition, unit, parameters, scan)
        title = title_of(result, "slices")
        if len(result.slices) > 1 and title not in self.unwanted:
            self.results.show_layer(title, slices_layer(result, title), scan)
