"""Fast, trustworthy imaging from 4D-STEM data.

The public names are loaded on first use (see ``__init__.pyi``), so that importing the
package costs a fraction of a second and loads none of torch, HyperSpy, pyxem or napari.
"""

import lazy_loader

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
