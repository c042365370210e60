"""The report on CUDA kernels, read from the output of nvcc and cuobjdump."""

from __future__ import annotations

from pathlib import Path

import pytest
from cuda_report import (
    PRODUCTS,
    Kernel,
    faults,
    main_loop,
    page_table,
    read_ptxas,
    read_sass,
    read_threads,
    write_table,
)

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


# Names as nvcc 13.0 makes them, of a product and of the high and the low tile of a convolution.
PREFIX = "_ZN6byhand4cuda41_GLOBAL__N__7a5ba256_9_conv2d_cu_8ad38dd4"
HIGH, LOW = (
    "INS0_9TileShapeILi64ELi128ELi8EEEEEv",
    "INS0_9TileShapeILi32ELi256ELi8EEEEEv",
)
PRODUCT_NAMES = [
    "_ZN6byhand4cuda14product_kernelINS0_7OperandES2_NS0_5StoreEEEvT_T0_T1_",
    f"{PREFIX}14forward_kernel{HIGH}NS_11Conv2dShapeENS1_6BlocksEPKfS8_S8_Pf",
    f"{PREFIX}21backward_input_kernel{HIGH}NS_11Conv2dShapeENS1_10PhaseStepsENS1_6BlocksEPKfS9_Pf",
    f"{PREFIX}22backward_weight_kernel{HIGH}NS_11Conv2dShapeElNS1_6BlocksEPKfS8_Pf",
]


def test_main_loops_of_products_are_checked() -> None:
    low = Kernel(f"{PREFIX}14forward_kernel{LOW}", multiply_adds=54, instructions=100)
    good = [Kernel(name, multiply_adds=75, instructions=100) for name in PRODUCT_NAMES]
    assert faults([*good, low], has_code=True) == []
    for i, name in enumerate(PRODUCT_NAMES):
        others = good[:i] + good[i + 1 :]
        assert faults(others, has_code=True) == [
            f"{[*PRODUCTS][i]}: there is no kernel of this name"
        ]
        low = Kernel(name, multiply_adds=74, instructions=100)
        assert faults([*others, low], has_code=True) == [
            f"{name}: 74% of the main loop are multiply-adds"
        ]
        assert faults([*others, Kernel(name)], has_code=True) == [
            f"{name}: the main loop was not found"
        ]
    assert faults([], has_code=False) == []
    assert faults([Kernel("f", spilled=8)], has_code=False) == ["f spills 8 bytes"]


def test_threads_of_blocks() -> None:
    text = (
        ".nv.info\n\tAttribute:\tEIATTR_REGCOUNT\n\n.nv.info._Z3addPf\n"
        "\tAttribute:\tEIATTR_MAX_THREADS\n\tFormat:\tEIFMT_SVAL\n\tValue:\t0x100 0x1 0x1 \n"
        "\n.nv.info._Z3mulPf\n\tAttribute:\tEIATTR_REGCOUNT\n"
    )
    assert read_threads(text) == {"_Z3addPf": 256}


@pytest.mark.parametrize(
    ("registers", "shared", "threads", "warps"),
    [
        (32, 0, 256, 64),  # everything fits
        (40, 0, 256, 48),  # registers: 51 warps, 48 of them as whole groups of four
        (168, 12800, 128, 12),  # registers: three blocks
        (16, 0, 32, 32),  # the number of blocks
        (16, 100 * 1024, 1024, 64),  # shared memory: two blocks
        (64, 0, 1024, 32),
    ],
)
def test_occupancy(registers: int, shared: int, threads: int, warps: int) -> None:
    kernel = Kernel("", registers=registers, shared=shared, threads=threads)
    assert kernel.occupancy == warps / 64


def test_table_of_a_page(tmp_path: Path) -> None:
    kernels = [
        Kernel("_Z3addIiEvT_", registers=32, threads=256),
        Kernel("_Z3addIfEvT_", registers=40, threads=256),
        Kernel("_Z3mulv", 168, 12800, 128, multiply_adds=512, instructions=600),
    ]
    table = page_table([Path("a.cu")], [kernels])
    assert table.splitlines()[2:] == [
        "| a.cu | `add` | 2 | 256 | 32 to 40 | 0 | 75 to 100 % |  |",
        "| a.cu | `mul` | 1 | 128 | 168 | 12800 | 19 % | 85 % |",
    ]
    page = tmp_path / "page.md"
    begin, end = "<!-- The table of tools/cuda_report.py -->", "<!-- The end of the table -->"
    page.write_text(f"A\n{begin}\nold\n{end}\nB\n")
    write_table(page, table)
    assert page.read_text() == f"A\n{begin}\n\n{table}\n\n{end}\nB\n"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="has no markers"):
        write_table(page, table)
