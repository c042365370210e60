"""The report on CUDA kernels, read from the output of nvcc and cuobjdump."""

from __future__ import annotations

from cuda_report import main_loop, read_ptxas, read_sass

PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z3addPf' for 'sm_90'
ptxas info    : Function properties for _Z3addPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 0 barriers
ptxas info    : Compiling entry function '_Z3mulPf' for 'sm_90'
    8 bytes stack frame, 16 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 17408 bytes smem, 480 bytes cmem[0]
"""

SASS = """
\t\tFunction : _Z3mulPf
        /*0000*/                   LDC R1, c[0x0][0x28] ;      /* 0x00000a00ff017b82 */
        /*0010*/                   MOV R2, RZ ;                /* 0x000000ff00027202 */
        /*0020*/                   FFMA R3, R4, R5, R3 ;       /* 0x0000000504037223 */
        /*0030*/              @!P0 FFMA R3, R4, R6, R3 ;       /* 0x0000000504037223 */
        /*0040*/                   LDS.128 R4, [R2] ;          /* 0x0000000002047984 */
        /*0050*/               @P1 BRA 0x20 ;                  /* 0xfffffff000f01947 */
        /*0060*/                   FADD R3, R3, R4 ;           /* 0x0000000403037221 */
        /*0070*/               @P2 BRA 0x10 ;                  /* 0xfffffff000f01947 */
        /*0080*/               @P3 BRA 0xa0 ;                  /* 0xfffffff000f01947 */
        /*0090*/                   EXIT ;                      /* 0x000000000000794d */
"""


def test_registers_shared_memory_and_spills() -> None:
    add, mul = read_ptxas(PTXAS)
    assert (add.name, add.registers, add.shared, add.spilled) == ("_Z3addPf", 12, 0, 0)
    assert (mul.name, mul.registers, mul.shared, mul.spilled) == ("_Z3mulPf", 255, 17408, 36)
    assert add.share is None


def test_the_main_loop_is_the_smallest_with_most_multiply_adds() -> None:
    ((name, sass),) = read_sass(SASS)
    assert name == "_Z3mulPf"
    assert len(sass) == 10
    assert main_loop(sass) == (2, 4)
