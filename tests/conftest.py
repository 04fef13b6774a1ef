"""What all tests share."""

import pytest
from hypothesis import settings

# A shared machine is slow at times; a property is about what is true, not about how fast.
settings.register_profile("canary", deadline=None, max_examples=100)
settings.load_profile("canary")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write what the golden stories tell now as what they must tell")
    parser.addoption("--soak", type=int, default=1, metavar="N", help="make the soak N times as long")
