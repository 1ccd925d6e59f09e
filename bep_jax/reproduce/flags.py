"""Flags that reproductions and the other commands share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

DataDir = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: $BEP_JAX_DATA or the cache)")]
