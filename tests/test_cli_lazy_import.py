import subprocess
import sys


def output_of(code: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_command_line_loads_scipy_stats_only_when_it_is_asked_for_something():
    code = (
        "import sys; import recsys.cli.main; import recsys.signals.text;"
        "loaded = 'scipy.stats._stats_py' in sys.modules;"
        "import scipy.stats; from scipy.stats import norm; import scipy.stats.distributions;"
        "print(loaded, round(norm.cdf(0.0), 3), scipy.stats.norm is norm,"
        " sys.modules['scipy.stats'] is scipy.stats, scipy.stats.__file__ is not None)"
    )
    assert output_of(code) == ["False", "0.5", "True", "True", "True"]


def test_the_library_leaves_the_modules_of_its_caller_alone():
    code = (
        "import sys; import recsys, recsys.signals.text;"
        "print('recsys.cli.lazy_import' in sys.modules,"
        " sys.modules['scipy.stats'].__file__ is None)"
    )
    assert output_of(code) == ["False", "False"]
