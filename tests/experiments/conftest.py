import pytest


@pytest.fixture(autouse=True, scope="module")
def no_git():
    """As if the library were in no checkout, here and in the programs that tests start: edits meanwhile make no other run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", "/nowhere")
        yield
