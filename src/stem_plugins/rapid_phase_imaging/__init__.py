"""AI-assisted rapid phase imaging: the phase of a thin specimen, strip by strip of the scan."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
