"""The longest comparison with ale-py runs beside the other tests, in a process of its own, and is looked at last."""

import pytest
from background import Comparison

_STARTED = {}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("beside") is not None)


def pytest_collection_finish(session):
    if session.config.option.collectonly:
        return
    for item in session.items:
        if mark := item.get_closest_marker("beside"):
            _STARTED[item.nodeid] = Comparison(*mark.args)


def pytest_unconfigure():
    for comparison in _STARTED.values():
        comparison.kill()


@pytest.fixture
def beside(request) -> Comparison:
    """The comparison that the test's mark `beside` started."""
    return _STARTED[request.node.nodeid]
