from .averaged_weights import average_weights
from .published_restoration import import_published_restoration, iter_import_published_restoration
from .registry import data_folder, find_weights, list_weights, load_weights
from .weights_file import Weights, check_tensors, read_weights, save_weights, weights_header

__all__ = [
    "Weights",
    "average_weights",
    "check_tensors",
    "data_folder",
    "find_weights",
    "import_published_restoration",
    "iter_import_published_restoration",
    "list_weights",
    "load_weights",
    "read_weights",
    "save_weights",
    "weights_header",
]
