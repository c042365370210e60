"""audit_spills.py, which reads the disassembled kernels: what it accepts and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "csrc" / "cpu" / "kernels" / "audit_spills.py"

# A disassembly as objdump prints it. The second backward jump is not a loop: the compiler moved the
# code from address 30 on to the end.
SOUND = """
gemm.cc.o:     file format elf64-x86-64

0000000000000000 <void byhand::cpu::avx2::(anonymous namespace)::tile<1, 2, byhand::cpu::avx2::\
(anonymous namespace)::Vec, true>(byhand::cpu::GemmTile const&)>:
   0:\tpush   %rbp
   1:\tmov    0x8(%rsp),%rax
   8:\tvmovups (%rdx),%ymm3
   a:\tvbroadcastss (%rax),%ymm2
   c:\tvfmadd231ps %ymm2,%ymm3,%ymm0
  10:\tvfmadd231ps 0x20(%rdx,%rbp,1),%ymm2,%ymm1
  14:\tdec    %rcx
  18:\tjne    8 <void byhand::cpu::avx2::x+0x8>
  1c:\tvucomiss %xmm4,%xmm5
  20:\tjne    30 <void byhand::cpu::avx2::x+0x30>
  24:\tvmovups %ymm0,(%rdi)
  28:\tpop    %rbp
  2a:\tret
  30:\tvfmadd231ps (%rsi),%ymm5,%ymm0
  38:\tjmp    24 <void byhand::cpu::avx2::x+0x24>

0000000000000040 <void byhand::cpu::avx2::(anonymous namespace)::dot<1, 1>(\
byhand::cpu::GemmDot const&)>:
  40:\tvmovups (%rax),%ymm1
  44:\tvfmadd231ps (%rdx),%ymm1,%ymm0
  48:\tjne    40 <void byhand::cpu::avx2::x+0x40>
  4c:\tret
"""


def audit(listing: str, folder: Path, name: str = "gemm.cc.o") -> subprocess.CompletedProcess[str]:
    (folder / "listing").write_text(listing)
    objdump = folder / "objdump"
    objdump.write_text(f"#!/bin/sh\ncat '{folder}/listing'\n")
    objdump.chmod(0o700)
    command = [sys.executable, str(SCRIPT), "--objdump", str(objdump), "--verbose", name]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tiles_in_registers(tmp_path: Path) -> None:
    result = audit(SOUND, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    table = [line.split() for line in result.stdout.splitlines()[2:]]
    assert table == [
        ["tile<1,", "2,", "Vec,", "true>", "6", "2", "0", "0"],
        ["dot<1,", "1>", "3", "1", "0", "0"],
    ]


def test_other_objects_are_not_read(tmp_path: Path) -> None:
    assert audit("nothing", tmp_path, "conv2d.cc.o").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("dec    %rcx", "decq   -0x8(%rsp)", "tile<1, 2, Vec, true> uses the stack in its loop"),
        ("mov    0x8(%rsp),%rax", "vmovaps %ymm7,-0x20(%rsp)", "for vectors, 1 times: vmovaps"),
        ("vmovups (%rax),%ymm1", "vmovups (%rsp,%rax,4),%ymm1", "dot<1, 1> uses the stack in its"),
        ("vfmadd231ps %ymm2,%ymm3,%ymm0", "vmulps %ymm2,%ymm3,%ymm0", "has no loop of 2"),
        ("jne    8 ", "jne    1c ", "has no loop of 2"),
        ("::dot<1, 1>", "::dots<1, 1>", "there is only ['tile']"),
    ],
)
def test_what_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert SOUND.count(old) == 1
    result = audit(SOUND.replace(old, new), tmp_path)
    assert result.returncode == 1
    assert says in result.stderr


def test_rbp_is_the_stack_where_it_holds_the_frame(tmp_path: Path) -> None:
    listing = SOUND.replace("(%rdx),%ymm3", "-0x20(%rbp),%ymm3")
    assert audit(listing, tmp_path).returncode == 0
    framed = listing.replace("mov    0x8(%rsp),%rax", "mov    %rsp,%rbp")
    assert "in its loop, 1 times: vmovups -0x20(%rbp)" in audit(framed, tmp_path).stderr
