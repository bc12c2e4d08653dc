"""Put off loading a module that a library imports and this package does not use.

Only the command line does this: it patches `sys.modules`, which belongs to the caller's
process when the package is imported by one.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


def load_when_asked(name: str) -> None:
    """Let a module be imported without being loaded, unless it is already.

    What stands for it loads it when it is first asked for anything, and is itself again
    from then on. `importlib.util.LazyLoader` does not do: an `import` elsewhere loads it.

    Parameters
    ----------
    name
        Of the module, whole.

    Examples
    --------
    >>> load_when_asked("xml.sax")
    >>> import xml.sax
    >>> xml.sax.ContentHandler.__module__
    'xml.sax.handler'
    """
    if name in sys.modules:
        return
    standing = ModuleType(name)

    def ask(attribute: str) -> Any:
        if sys.modules.get(name) is standing:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    standing.__dict__["__getattr__"] = ask
    sys.modules[name] = standing
    package, _, inside = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), inside, standing)  # as an import does
