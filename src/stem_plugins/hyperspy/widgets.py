"""Sliders for the interactive riCOM in notebooks, in the form of HyperSpy's own widgets."""

from __future__ import annotations

from typing import Any

import ipywidgets
from hyperspy_gui_ipywidgets.utils import add_display_arg
from link_traits import link

from stem_plugins.hyperspy.interactive import InteractiveRicom

__all__ = ["interactive_ricom_ipywidgets"]


@add_display_arg
def interactive_ricom_ipywidgets(obj: InteractiveRicom, **kwargs: Any) -> dict[str, Any]:
    """Build the sliders of an interactive riCOM.

    Parameters
    ----------
    obj
        The model that the sliders change.

    Returns
    -------
    dict
        ``"widget"``: the box to display; ``"wdict"``: the single widgets by name.
    """
    wdict = _sliders(obj)
    parameters = ("kernel_size", "pass_band", "descan", "rotation", "flip_y", "detector")
    for name in (*parameters, "message"):
        link((obj, name), (wdict[name], "value"))
    wdict["estimate_rotation"].on_click(lambda button: obj.estimate_rotation())
    wdict["keep_rotation"].on_click(lambda button: obj.keep_rotation())
    rotation = ipywidgets.HBox([wdict["estimate_rotation"], wdict["keep_rotation"]])
    sliders = [wdict[name] for name in parameters]
    box = ipywidgets.VBox([*sliders[:-1], rotation, sliders[-1], wdict["message"]])
    return {"widget": box, "wdict": wdict}


def _sliders(obj: InteractiveRicom) -> dict[str, ipywidgets.Widget]:
    style = {"description_width": "11em"}
    layout = ipywidgets.Layout(width="36em")
    common = {"style": style, "layout": layout}
    return {
        "kernel_size": ipywidgets.IntSlider(
            value=obj.kernel_size,
            min=3,
            max=obj.largest_kernel,
            step=2,
            description="Kernel [positions]",
            **common,
        ),
        "pass_band": ipywidgets.FloatRangeSlider(
            value=obj.pass_band,
            min=0.0,
            max=obj.highest_frequency,
            step=obj.highest_frequency / 200,
            readout_format=".3f",
            description=f"Pass band [{obj.frequency_unit}]",
            **common,
        ),
        "descan": ipywidgets.Dropdown(
            options=["none", "plane", "parabola"], description="Remove descan", **common
        ),
        "rotation": ipywidgets.FloatSlider(
            value=obj.rotation,
            min=-180.0,
            max=180.0,
            step=0.5,
            description="Rotation [°]",
            **common,
        ),
        "flip_y": ipywidgets.Checkbox(value=obj.flip_y, description="Mirror y", **common),
        "estimate_rotation": ipywidgets.Button(
            description="Estimate rotation",
            tooltip="The rotation at which the deflections are free of curl, atoms bright.",
        ),
        "keep_rotation": ipywidgets.Button(
            description="Keep rotation", tooltip="Write rotation and mirroring into the signal."
        ),
        "detector": ipywidgets.FloatRangeSlider(
            value=obj.detector,
            min=0.0,
            max=float(obj.edges[-1]),
            step=float(obj.edges[1]),
            readout_format=".1f",
            description=f"Virtual detector [{obj.unit}]",
            **common,
        ),
        "message": ipywidgets.Label(),
    }
