"""Gene regulatory networks and regulation-aware embeddings from single cells.

Import as ``import grnformer_sc as grs``. Namespaces are loaded on first use, so that the import itself
loads neither torch nor matplotlib.
"""

import logging as _logging

import lazy_loader as _lazy

__version__ = "0.1.0"

_attached, __dir__, _names = _lazy.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]  # noqa: PLE0604  (names come from the stub)


def __getattr__(name: str) -> object:
    return _attached(name)


_logging.getLogger(__name__).addHandler(_logging.NullHandler())
