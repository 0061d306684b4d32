"""The driver of the runtime in C, built with sanitizers."""

import pytest
from c_network import DRIVER, Driver, build

from benchmarks.c_decoder import SANITIZERS


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    folder = tmp_path_factory.mktemp("c-network")
    program = build(folder / "driver", DRIVER, (*SANITIZERS, "-DSQZ_MAX_ACTIVATION=1048576u"))
    return Driver(program, folder)
