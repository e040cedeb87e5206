"""Tokens as VideoSDK's SDKs sign them, and as those do who should not."""

import time
from typing import Any, Final

import jwt

APIKEY: Final = "6f1e-operator"
SECRET: Final = "canary-operator-secret-of-enough-length"
KEYS: Final = f"{APIKEY}:{SECRET}"
PERMISSIONS: Final = ("allow_join",)
HOUR_S: Final = 3600


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """One that is good for an hour; a claim that is None is left out."""
    stock = {"apikey": APIKEY, "permissions": list(PERMISSIONS), "exp": int(time.time()) + HOUR_S}
    merged = {name: value for name, value in {**stock, **claims}.items() if value is not None}
    return jwt.encode(merged, secret, algorithm)
