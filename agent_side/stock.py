"""Makes a class a subclass of the stock AvatarAudioOut where videosdk-agents is loaded."""

import importlib
import sys
from typing import Final

_twins: Final[dict[type, type]] = {}


def also_stock(cls: type) -> type:
    """`cls`, or where videosdk-agents is loaded, `cls` that is its AvatarAudioOut too."""
    if "videosdk.agents" not in sys.modules:
        return cls
    try:
        stock = importlib.import_module("videosdk.agents.avatar").AvatarAudioOut
    except (ImportError, SyntaxError, AttributeError):
        return cls
    if issubclass(cls, stock):
        return cls
    if cls not in _twins:
        _twins[cls] = type(cls.__name__, (cls, stock), {"__doc__": cls.__doc__})
    return _twins[cls]
