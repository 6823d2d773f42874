"""The order of the examples: from the whole way to single questions."""

ORDER = (
    "plot_ricom_from_file.py",
    "plot_hyperspy.py",
    "plot_virtual_detectors.py",
    "plot_kernel_choice.py",
    "plot_find_rotation.py",
    "plot_descan.py",
    "plot_electric_field.py",
    "plot_segmented_detector.py",
    "plot_live_ricom.py",
    "plot_restore_image.py",
    "plot_scan_distortions.py",
)


class TaskOrder:
    """Sort key for sphinx-gallery; examples that are not listed come last, by name."""

    def __init__(self, src_dir: str) -> None:
        """Take the folder of the examples, which all lie in one."""

    def __call__(self, filename: str) -> tuple[int, str]:
        """Return the place of an example."""
        place = ORDER.index(filename) if filename in ORDER else len(ORDER)
        return place, filename
