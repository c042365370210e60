"""An emulator of CUDA. `byhand simt` runs CUDA C++ programs on a CPU and finds their faults."""

from byhand.simt.program import Outcome, SimtError, run

__all__ = ["Outcome", "SimtError", "run"]
