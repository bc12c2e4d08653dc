"""Put off loading a module that a library imports and this package does not use.

Only the command line does this: it changes `sys.modules`, which belongs to the caller of a
library.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


def load_on_first_use(name: str) -> None:
    """Let a module be imported without loading it, unless it is loaded already.

    A placeholder in `sys.modules` loads the module when code first reads one of its attributes,
    and is replaced by it. `importlib.util.LazyLoader` does not help here: it loads the module at
    an `import` in another file.

    Parameters
    ----------
    name
        Full name of the module.

    Examples
    --------
    >>> load_on_first_use("xml.sax")
    >>> import xml.sax
    >>> xml.sax.ContentHandler.__module__
    'xml.sax.handler'
    """
    if name in sys.modules:
        return
    placeholder = ModuleType(name)

    def load(attribute: str) -> Any:
        if sys.modules.get(name) is placeholder:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    placeholder.__dict__["__getattr__"] = load
    sys.modules[name] = placeholder
    package, _, submodule = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), submodule, placeholder)  # as an import does
