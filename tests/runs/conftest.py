import pytest

from purejaxrrl.runs import identity


@pytest.fixture(scope="module")
def no_git():
    """As if the library were in no checkout: tests that open hundreds of folders do not ask git each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "commit", lambda: None)
        yield
