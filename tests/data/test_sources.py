import subprocess
import sys

import pytest

from compress.data.sources import SOURCES


@pytest.mark.parametrize("name", ["samples", "folder", "digits"])
def test_every_source_is_registered(name):
    assert name in SOURCES


def test_photos_need_no_torch():
    program = "import sys, compress.data.sources; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
