"""Warnings from other people's imports, about which nobody here can do anything."""

import pytest

SDK_IMPORTS_OLD_NAMES = r"ignore:websockets\..* is deprecated:DeprecationWarning"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", SDK_IMPORTS_OLD_NAMES)
