"""Optional imports with the exact line that installs what is missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def need(module: str, *, extra: str = "", package: str = "") -> ModuleType:
    """Import a module or raise `ImportError` with the pip line that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        line = f"pip install 'grnformer-sc[{extra}]'" if extra else f"pip install {package or module}"
        msg = f"this step needs {module!r}, which is not installed. Fix: {line}"
        raise ImportError(msg) from error
