"""What a run says about what it was built with."""

from recsys.blas import kernels
from recsys.nightly.run_report import library_versions, why_other_bytes


def test_versions_name_libraries_and_kernels():
    versions = library_versions()
    assert versions.items() >= kernels().items()
    assert {"python", "processor", "C library", "numpy", "implicit", "recsys"} <= set(versions)
    assert all(isinstance(version, str) for version in versions.values())


def test_a_run_of_other_bytes_has_a_likely_reason():
    now = {"numpy": "2.4", "BLAS": "openblas 0.3 Haswell"}
    then = now | {"BLAS": "openblas 0.3 SkylakeX"}
    assert why_other_bytes(then, now) == (
        "the likely reason: it was built with BLAS openblas 0.3 SkylakeX, now openblas 0.3 Haswell"
    )
    assert "numpy unknown, now 2.4; BLAS unknown" in why_other_bytes({}, now)
    assert "rows from before its time" in why_other_bytes(now, now)
