import pytest


@pytest.fixture(scope='session')
def diffusers():
    diffusers = pytest.importorskip('diffusers')
    diffusers.utils.logging.set_verbosity_error()  # it advises to install accelerate whenever it reads a model
    diffusers.utils.logging.disable_progress_bar()
    return diffusers
