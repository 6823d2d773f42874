"""Reading and writing: Merlin files, other 4D formats, and calibrated results."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
