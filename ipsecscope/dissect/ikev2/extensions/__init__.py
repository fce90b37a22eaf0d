"""IKEv2 extensions: one file per RFC. Importing this package fills the registries; nothing else has to change."""

from __future__ import annotations

import importlib
import pkgutil

# A file laid into this folder is found here: adding an extension touches that file alone.
MODULES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))

for _name in MODULES:
    importlib.import_module(f"{__name__}.{_name}")
