"""The mutants of CUDA kernels: which faults are found, and that a planted fault is caught."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from byhand.simt.program import compile_program
from cuda_mutants import HEADER, equivalent_mutants, find_faults, plant, sources, units_of

# A correct program of two warps. Each of its mutants either gives another result or does something
# that the emulator finds.
PROGRAM = """\
#include "mutant.h"
__global__ void reverse(const int* x, int count, int* y) {
  __shared__ int copy[33];
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) copy[i] = x[i];
  __syncthreads();
  const int vote = __any_sync(0xffffffffu, i == 40);
  if (i >= count) return;
  y[i] = copy[count - 1 - i] + vote;
}

int main() {
  constexpr int kCount = 33;
  int x[kCount], y[kCount], *device_x, *device_y;
  for (int i = 0; i < kCount; ++i) x[i] = i;
  cudaMalloc(&device_x, sizeof x);
  cudaMalloc(&device_y, sizeof y);
  cudaMemcpy(device_x, x, sizeof x, cudaMemcpyHostToDevice);
  reverse<<<1, 64>>>(device_x, kCount, device_y);
  cudaMemcpy(y, device_y, sizeof y, cudaMemcpyDeviceToHost);
  cudaFree(device_x);
  cudaFree(device_y);
  for (int i = 0; i < kCount; ++i)
    if (y[i] != kCount - 1 - i + (i == 32)) return 1;
  return 0;
}
"""


def changes(code: str) -> list[str]:
    """Return the mutants of the body of a device function."""
    text = f"__device__ void f() {{\n{code}\n}}\n"
    return [mutant.changed for mutant in plant(text, find_faults(text), "f.cu", 1)[1]]


def test_bounds() -> None:
    assert changes("for (int i = 0; i < n * m; ++i) f(i);") == [
        "for (int i = 0; i < n * m + 1; ++i) f(i);",
        "for (int i = 0; i < n * m - 1; ++i) f(i);",
    ]
    assert changes("const int end = min(a, b[1]) * 2;") == [
        "const int end = min(a, b[1]) + 1 * 2;",
        "const int end = min(a, b[1]) - 1 * 2;",
    ]


def test_conditions() -> None:
    assert changes("if (a && f(b, c)) x = y;") == [
        "if (true && f(b, c)) x = y;",
        "if (a && true) x = y;",
    ]
    assert changes("if (a || b) return;") == ["if (false || b) return;", "if (a || false) return;"]
    assert changes("if (a) return;") == ["if (false) return;"]
    assert changes("return a ? int64_t{1} : 0;") == ["return true ? int64_t{1} : 0;"]
    assert changes("x = y & (1u << lane) - 1;") == ["x = ~0 & (1u << lane) - 1;", "x = y & ~0;"]
    assert changes("x &= a ? b : c;") == ["x &= ~0;", "x &= true ? b : c;"]


def test_barriers_and_masks_of_lanes() -> None:
    assert changes("__syncthreads();\n__syncwarp(mask);") == [";", ";"]
    assert changes("x = __shfl_sync(~0u, x, 0);") == ["x = __shfl_sync(0x7fffffffu, x, 0);"]
    assert changes("x = __any_sync(mask, x);") == ["x = __any_sync(0xffffffffu, x);"]


def test_what_is_decided_at_compile_time_stays() -> None:
    assert not changes("if constexpr (n < 4 && m) f();")
    assert not changes("constexpr bool kFew = n < 4;")
    assert not changes("static_assert(n < 4);  // if (i < n) __syncthreads();")
    assert not find_faults("void host() {\n  if (i < n) f();\n}\n")


@pytest.mark.slow
def test_each_mutant_of_a_program_is_caught(tmp_path: Path) -> None:
    faults = find_faults(PROGRAM)
    planted, mutants = plant(PROGRAM, faults, "reverse.cu", 1)
    assert planted.count("\n") == PROGRAM.count("\n")
    (tmp_path / "mutant.h").write_text(HEADER)
    (tmp_path / "reverse.cu").write_text(planted)
    program = compile_program(tmp_path / "reverse.cu", tmp_path)

    def is_caught(number: int) -> bool:
        environment = {**os.environ, "BYHAND_MUTANT": str(number)}
        done = subprocess.run([program], env=environment, capture_output=True, check=False)
        return done.returncode != 0

    assert len(mutants) == 8
    assert not is_caught(0)
    assert all(is_caught(mutant.number) for mutant in mutants)


def test_every_file_has_tests() -> None:
    assert "pool2d" in units_of("pool2d.cu")
    assert {"gemm", "linear", "conv2d"} <= set(units_of("tile_product.cuh"))
    assert {"conv2d"} <= set(units_of("conv2d_loaders.cuh"))
    for path in sources():
        assert units_of(path.name) or not find_faults(path.read_text())


def test_every_equivalent_mutant_exists() -> None:
    found = set()
    for path in sources():
        text = path.read_text()
        found |= {m.key for m in plant(text, find_faults(text), path.name, 1)[1]}
    assert set(equivalent_mutants()) <= found
