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

# The same for AArch64. d8 is the lower half of a register that a function must restore, and no
# vector of the tile. x29 is a register like any other, because no instruction sets it from sp.
ARM = """
gemm.cc.o:     file format elf64-littleaarch64

0000000000000000 <void byhand::cpu::neon::(anonymous namespace)::tile<1, 2, byhand::cpu::neon::\
(anonymous namespace)::Vec, false>(byhand::cpu::GemmTile const&)>:
   0:\tstp\td8, d9, [sp, #-16]!
   4:\tldp\tq1, q0, [x8]
   8:\tld1r\t{v3.4s}, [x29]
   c:\tfmla\tv8.4s, v3.4s, v1.4s
  10:\tfmla\tv9.4s, v0.4s, v3.s[0]
  14:\tsubs\tx9, x9, #0x1
  18:\tb.ne\t4 <void byhand::cpu::neon::x+0x4>  // b.any
  1c:\tcbz\tx3, 28 <void byhand::cpu::neon::x+0x28>
  20:\ttbnz\tw4, #1, 4 <void byhand::cpu::neon::x+0x4>
  24:\tb\t40 <void byhand::cpu::neon::y>
  28:\tldp\td8, d9, [sp], #16
  2c:\tret

0000000000000040 <void byhand::cpu::neon::(anonymous namespace)::dot<1, 1>(\
byhand::cpu::GemmDot const&)>:
  40:\tldr\tq1, [x0], #16
  44:\tfmla\tv0.4s, v1.4s, v2.4s
  48:\tcbnz\tx4, 40 <void byhand::cpu::neon::y>
  4c:\tret
"""


def audit(
    listing: str, folder: Path, name: str = "gemm.cc.o", *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "listing").write_text(listing)
    objdump = folder / "objdump"
    objdump.write_text(f"#!/bin/sh\ncat '{folder}/listing'\n")
    objdump.chmod(0o700)
    command = [sys.executable, str(SCRIPT), "--objdump", str(objdump), "--verbose", *options, name]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tiles_in_registers(tmp_path: Path) -> None:
    result = audit(SOUND, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    table = [line.split() for line in result.stdout.splitlines()[2:]]
    assert table == [
        ["tile<1,", "2,", "Vec,", "true>", "6", "2", "33%", "0", "0"],
        ["dot<1,", "1>", "3", "1", "33%", "0", "0"],
    ]


def test_tiles_of_aarch64(tmp_path: Path) -> None:
    result = audit(ARM, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    table = [line.split() for line in result.stdout.splitlines()[2:]]
    assert table == [
        ["tile<1,", "2,", "Vec,", "false>", "6", "2", "33%", "0", "0"],
        ["dot<1,", "1>", "3", "1", "33%", "0", "0"],
    ]


def test_only_loops_are_checked(tmp_path: Path) -> None:
    listing = ARM.replace("stp\td8, d9, [sp, #-16]!", "str\tq8, [sp, #-16]!")
    assert audit(listing, tmp_path, "gemm.cc.o", "--loops").returncode == 0
    listing = listing.replace("ldp\tq1, q0, [x8]", "ldp\tq1, q0, [sp, #32]")
    assert "in its loop" in audit(listing, tmp_path, "gemm.cc.o", "--loops").stderr


def test_winograd_has_no_dot(tmp_path: Path) -> None:
    dot = SOUND[SOUND.index("0000000000000040") :]
    result = audit(SOUND.replace(dot, ""), tmp_path, "conv2d_winograd.cc.o")
    assert (result.returncode, result.stderr) == (0, "")
    assert "there is only ['dot', 'tile']" in audit(SOUND, tmp_path, "conv2d_winograd.cc.o").stderr


def test_another_format_is_an_error(tmp_path: Path) -> None:
    result = audit(SOUND.replace("elf64-x86-64", "elf64-s390"), tmp_path)
    assert result.returncode == 1
    assert "must print one of the formats" in result.stderr


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
        ("::dot<1, 1>", "::even_tile<1, 1>", "there is only ['even_tile', 'tile']"),
    ],
)
def test_what_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert SOUND.count(old) == 1
    result = audit(SOUND.replace(old, new), tmp_path)
    assert result.returncode == 1
    assert says in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ldp\tq1, q0, [x8]", "ldp\tq1, q0, [sp, #32]", "tile<1, 2, Vec, false> uses the stack in"),
        ("stp\td8, d9, [sp, #-16]!", "str\tq8, [sp, #-16]!", "for vectors, 1 times: str q8"),
        ("stp\td8, d9, [sp, #-16]!", "mov\tx29, sp", "in its loop, 1 times: ld1r {v3.4s}, [x29]"),
        ("cbnz\tx4, 40 ", "cbnz\tx4, 44 ", ""),
        ("cbnz\tx4, 40 ", "cbnz\tx4, 4c ", "dot<1, 1> has no loop"),
        ("fmla\tv9.4s, v0.4s, v3.s[0]", "fmul\tv9.4s, v0.4s, v3.s[0]", "has no loop of 2"),
    ],
)
def test_what_is_refused_on_aarch64(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert ARM.count(old) == 1
    result = audit(ARM.replace(old, new), tmp_path)
    assert result.returncode == bool(says)
    assert says in result.stderr


def test_rbp_is_the_stack_where_it_holds_the_frame(tmp_path: Path) -> None:
    listing = SOUND.replace("(%rdx),%ymm3", "-0x20(%rbp),%ymm3")
    assert audit(listing, tmp_path).returncode == 0
    framed = listing.replace("mov    0x8(%rsp),%rax", "mov    %rsp,%rbp")
    assert "in its loop, 1 times: vmovups -0x20(%rbp)" in audit(framed, tmp_path).stderr
