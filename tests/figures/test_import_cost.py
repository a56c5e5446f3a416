"""What `import figures` costs, in seconds of work: how long the clock runs depends on who else is on the machine."""

import resource
import subprocess
import sys

import pytest


def seconds(code):
    """User and system time of a fresh interpreter, the least of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


@pytest.mark.parametrize("code", ["import figures", "import figures.cli"])
def test_importing_figures_costs_less_than_half_a_second_more_than_python_itself(code):
    assert seconds(code) - seconds("pass") < 0.5


def test_the_measure_sees_half_a_second_of_work():
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    assert seconds(busy) - seconds("pass") > 0.4
