"""The emulator of CUDA finds every planted fault, and nothing in correct programs.

Each program of tests/simt/ is correct as it stands. A macro FAULT_n plants a fault. A comment names
the finding on the line where it must be:

| comment | meaning |
|---|---|
| `// FAULT_1: race in sum` | the kind of the finding, and the kernel if one runs |
| `// FAULT_1: other` | the other access of the race |
| `// FAULT_1 strict: ...` | the same, if the program runs with `strict` |
| `// FAULT_1: schedule at 0` | the finding has the line 0 |

Several markers on one line are separated by semicolons.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from byhand.simt import Outcome, SimtError, program, run
from byhand.simt.translate import TranslationError, blanked, local_includes, translate

PROGRAMS = Path(__file__).parent / "simt"
SCHEDULES = ("forward", "reverse", "odd-even", "1", "2")
MARKER = re.compile(
    r"(?P<form>FAULT_\d+)(?P<strict> strict)?: (?P<kind>[a-z-]+)"
    r"(?: in (?P<kernel>[^;]+?))?(?P<nowhere> at 0)?\s*(?:;|$)"
)


def is_clang() -> bool:
    command = [*program._compiler(), "--version"]
    return "clang" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass
class Fault:
    """A faulty form of a program, and the finding that it must have."""

    path: Path
    form: str
    kind: str = ""
    kernel: str | None = None
    line: int = -1
    other: int | None = None
    strict: bool = False

    def __str__(self) -> str:
        return f"{self.path.stem}-{self.form.removeprefix('FAULT_')}-{self.kind}"


def faults_of(path: Path) -> list[Fault]:
    """Read the markers of a program."""
    text = path.read_text()
    code = blanked(text)
    faults = {form: Fault(path, form) for form in sorted(set(re.findall(r"\bFAULT_\d+\b", code)))}
    for number, line in enumerate(text.splitlines(), 1):
        for marker in MARKER.finditer(line.partition("//")[2]):
            fault = faults[marker["form"]]
            if marker["kind"] == "other":
                fault.other = number
                continue
            assert not fault.kind, f"{path}:{number}: {fault.form} has two findings"
            fault.kind, fault.kernel = marker["kind"], marker["kernel"]
            fault.line = 0 if marker["nowhere"] else number
            fault.strict = bool(marker["strict"])
    for fault in faults.values():
        assert fault.kind, f"{path}: {fault.form} has no marker"
    return list(faults.values())


FILES = sorted(PROGRAMS.glob("*.cu"))
FAULTS = [fault for path in FILES for fault in faults_of(path)]
NOT_SEEN_WITH_CLANG = ("vectors-1-misaligned", "vectors-3-misaligned", "structures-2-misaligned")


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_correct_program_has_no_finding(path: Path) -> None:
    assert run(path, schedules=SCHEDULES) == Outcome()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault_is_found(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if str(fault) in NOT_SEEN_WITH_CLANG and is_clang():
        pytest.skip("Clang copies a structure with memcpy, which needs no alignment")
    compiled = program.compile_program(fault.path, tmp_path, [fault.form])
    monkeypatch.setattr(program, "compile_program", lambda *_: compiled)
    options: Any = {"strict": fault.strict, "seconds": 1 if fault.kind == "hang" else 60}
    outcome = run(fault.path, **options)
    (finding,) = outcome.findings
    assert outcome.status == (0 if fault.kind == "schedule" else program.FOUND)
    found = {
        "kind": finding["kind"],
        "file": Path(finding["file"]).resolve(),
        "line": finding["line"],
        "kernel": finding.get("kernel"),
        "other": finding["other"]["line"] if "other" in finding else None,
    }
    assert found == {
        "kind": fault.kind,
        "file": fault.path.resolve(),
        "line": fault.line,
        "kernel": fault.kernel,
        "other": fault.other,
    }, finding["message"]
    assert finding["message"].endswith(".")
    # In another order of the threads, the fault may show itself in another way, but it does.
    if fault.kind not in ("schedule", "hang"):
        assert run(fault.path, schedules=["reverse"], **options).findings


def test_enough_faults_are_planted() -> None:
    assert len(FAULTS) >= 45
    assert len({fault.kind for fault in FAULTS}) >= 14


@pytest.mark.slow
def test_emulator_is_clean_under_sanitizers(tmp_path: Path) -> None:
    """Address and undefined-behaviour sanitizers watch the emulator, not the programs."""
    compiler, folder = program._compiler(), program.source_folder()
    flags = ["-std=c++20", "-g", "-O1", "-fPIC", "-fsanitize=address,undefined"]
    flags += ["-fno-sanitize-recover=all"]
    unity, runtime = tmp_path / "simt.cc", tmp_path / "simt.o"
    files = sorted((folder / "simt").glob("*.cc"))
    unity.write_text("".join(f'#include "{file}"\n' for file in files))
    paths = [f"-I{folder}", f"-I{folder / 'simt' / 'include'}"]
    subprocess.run([*compiler, *flags, *paths, "-c", unity, "-o", runtime], check=True)
    for name, form in [
        ("softmax", "NONE"),
        ("lock", "NONE"),
        ("histogram", "FAULT_6"),
        ("memory", "FAULT_10"),
    ]:
        parts = tmp_path / f"{name}-{form}"
        parts.mkdir()
        program.compile_program(PROGRAMS / f"{name}.cu", parts, [form])
        watched = parts / "watched"
        link = [*compiler, *flags, parts / "0.o", runtime, "-o", watched, "-ldl"]
        subprocess.run(link, check=True)
        done = subprocess.run([watched], capture_output=True, text=True, check=False)
        assert done.returncode == (program.FOUND if form != "NONE" else 0), done.stderr
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr


# ---- what goes wrong before a program runs


def write_program(folder: Path, text: str) -> Path:
    path = folder / "x.cu"
    path.write_text(text)
    return path


def test_there_is_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    path = write_program(tmp_path, "int main() {}\n")
    with pytest.raises(SimtError, match=r"needs a C\+\+ compiler: install g\+\+ or clang\+\+"):
        run(path)


def test_unknown_function_of_cuda_is_named(tmp_path: Path) -> None:
    path = write_program(tmp_path, "\nint main() {\n  cudaGraphLaunch(0, 0);\n}\n")
    with pytest.raises(SimtError, match=r"The emulator has no cudaGraphLaunch\.") as raised:
        run(path)
    assert f"{path}:3:" in str(raised.value)


def test_missing_header_is_named(tmp_path: Path) -> None:
    path = write_program(tmp_path, '#include "not_here.h"\nint main() {}\n')
    with pytest.raises(SimtError, match=r"not_here\.h"):
        run(path)


def test_incomplete_launch_has_a_line(tmp_path: Path) -> None:
    (tmp_path / "part.h").write_text("\n\nvoid f() { k<<<1, 2; }\n")
    path = write_program(tmp_path, '#include "part.h"\nint main() {}\n')
    with pytest.raises(SimtError, match=r"part\.h:3: a launch begins with <<< but has no >>>"):
        run(path)


def test_missing_program_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "none.cu")


@pytest.mark.slow
def test_arguments_status_and_headers_in_folders(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.h").write_text('#pragma once\n#include "b.cuh"\n')
    (tmp_path / "lib" / "b.cuh").write_text(
        "#pragma once\n__global__ void k(int* x) { *x = 5; }\n"
        "inline void go(int* x) { k<<<1, 1>>>(x); }\n"
    )
    path = write_program(
        tmp_path,
        '#include "lib/a.h"\nint main(int count, char** words) {\n  int* x;\n  cudaMalloc(&x, 4);\n'
        "  go(x);\n  cudaFree(x);\n  return count == 2 ? atoi(words[1]) : 1;\n}\n",
    )
    assert run(path, ["0"]) == Outcome()
    assert run(path, ["7"]) == Outcome(status=7)


RACE = """
__device__ int total;
__global__ void add() { ++total; }
int main() { add<<<1, 2>>>(); }
"""


@pytest.mark.slow
def test_quotation_marks_and_a_compiler_of_several_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    monkeypatch.setenv("CXX", f"env {' '.join(program._compiler())}")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    (finding,) = run(write_program(folder, RACE)).findings
    assert (finding["kind"], finding["line"], finding["other"]["line"]) == ("race", 3, 3)
    assert "variable total, byte 0" in finding["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", ["for (int i = 0; i >= 0; i ^= 1) {}", "while (!atomicAdd(x, 0)) {}"]
)
def test_thread_that_never_ends_is_found(tmp_path: Path, body: str) -> None:
    kernel = "__global__ void wait(int* x) { if (threadIdx.x == 1) " + body + " }"
    main = "int main() { int* x; cudaMalloc(&x, 4); cudaMemset(x, 0, 4);\n  wait<<<1, 2>>>(x); }"
    (finding,) = run(write_program(tmp_path, f"{kernel}\n{main}\n"), seconds=1).findings
    assert (finding["kind"], finding["line"]) == ("hang", 3)
    assert finding["thread"] == [1, 0, 0]


DEVICE_OF_ENVIRONMENT = """
int main() {
  int count = -1, driver = -1, *x = nullptr;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaDriverGetVersion(&driver);
  const cudaError_t allocation = cudaMalloc(&x, 1 << 20);
  const cudaError_t smaller = cudaMalloc(&x, 1000);
  cudaStream_t stream = nullptr;
  const cudaError_t made = cudaStreamCreate(&stream);
  printf("%s %d %d", cudaGetErrorName(error), count, driver > 0);
  const cudaError_t errors[] = {allocation, smaller, made, cudaGetLastError()};
  for (const cudaError_t e : errors) printf(" %s", cudaGetErrorName(e));
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SIMT_DEVICES", "0", "cudaErrorNoDevice 0 1" + 4 * " cudaErrorNoDevice"),
        (
            "SIMT_DRIVER",
            "0",
            "cudaErrorInsufficientDriver 0 0" + 4 * " cudaErrorInsufficientDriver",
        ),
        (
            "SIMT_MEMORY",
            "1000",
            "cudaSuccess 1 1 cudaErrorMemoryAllocation cudaSuccess cudaSuccess"
            " cudaErrorMemoryAllocation",
        ),
    ],
)
def test_device_that_the_environment_describes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    path = write_program(tmp_path, DEVICE_OF_ENVIRONMENT)
    monkeypatch.setenv(variable, value)
    with (tmp_path / "output").open("wb") as file:
        assert run(path, output=file.fileno()) == Outcome()
    assert (tmp_path / "output").read_text() == expected


# ---- the translation


def translated(text: str) -> str:
    first, _, rest = translate(text, Path("x.cu")).partition("\n")
    assert first == '#line 1 "x.cu"'
    assert rest.count("\n") == text.count("\n")
    return rest


@pytest.mark.parametrize(
    "text",
    [
        "// k<<<1, 2>>>(x);\n",
        "/* k<<<1,\n2>>>(x); extern __shared__ int s[]; */\n",
        'const char* s = "k<<<1, 2>>>(x)";\n',
        'const char* s = "\\"k<<<";\n',
        'const char* s = R"(k<<<1, 2>>>(") // )";\n',
        'const char* s = R"d(k<<<)" )d";\n',
        "char c = '\"'; int d = '\\'';\n",
        "__device__ int f(int x) { return x << 3; }\n",
        "__host__ __device__ inline float g(const float* x, int i = 0);\n",
        "std::cout << (a << (b << c));\n",
        "std::vector<std::vector<std::vector<int>>> v;\n",
        "__shared__ int s[32];\n",
        "#define STEP(x) ((x) << 1)\n",
    ],
)
def test_other_code_stays_as_it_is(text: str) -> None:
    assert translated(text) == text


LAUNCH = '::simt::launcher("{0}", SIMT_LINE, ::simt::Configuration{{{1}}}, {0})'


@pytest.mark.parametrize(
    ("text", "name", "configuration"),
    [
        ("k<<<1, 2>>>(x);", "k", ["1", "2"]),
        ("k<<<g(1, 2), dim3{3, 4}>>>(x);", "k", ["g(1, 2)", "dim3{3, 4}"]),
        ("k <<< 1, 2, 3 * sizeof(int) >>> (x);", "k", ["1", "2", "3 * sizeof(int)"]),
        ("a::k<<<1, b[i, 2], 0, s>>>(x);", "a::k", ["1", "b[i, 2]", "0", "s"]),
        ("if (y) k<<<(n >> 3), 8>>>(x);", "k", ["(n >> 3)", "8"]),
        ("all[i + 1][f(2)]<<<1, 2>>>(x);", "all[i + 1][f(2)]", ["1", "2"]),
        ("if (a > b) p->steps.of(3)[0] <<<1, 2>>>(x);", "p->steps.of(3)[0]", ["1", "2"]),
        ("return (c > 3 ? a : b)<<<1, 2>>>(x);", "(c > 3 ? a : b)", ["1", "2"]),
        ("x = y; (*k)<<<1, 2>>>(x);", "(*k)", ["1", "2"]),
        ("else k <int> <<<1, 2>>>(x);", "k <int>", ["1", "2"]),
    ],
)
def test_launch(text: str, name: str, configuration: list[str]) -> None:
    kinds = ("::dim3", "::dim3", "size_t", "::cudaStream_t")
    parts = [f"static_cast<{k}>({c})" for k, c in zip(kinds, configuration, strict=False)]
    before, _, after = text.partition(f"{name}<<<" if f"{name}<<<" in text else f"{name} <<<")
    expected = before + LAUNCH.format(name, ", ".join(parts)) + after.partition(">>>")[2]
    assert re.sub(r"\s", "", translated(text)) == re.sub(r"\s", "", expected)


def test_launch_over_several_lines_keeps_the_lines() -> None:
    lines = translated("f();\nk<<<1,\n    2>>>(x,\n  y);\ng();\n").split("\n")
    assert lines[1].startswith("::simt::launcher(")
    assert lines[3:5] == ["  y);", "g();"]


def test_launch_of_a_template() -> None:
    kernel = "template <class T, int N>\n__global__ void k(T* x) {}\n"
    last = translated(kernel + "void f() { k<A<B<2>>, 3><<<1, 2>>>(x); }\n").split("\n")[2]
    assert '::simt::template_launcher("k<A<B<2>>, 3>"' in last
    assert "{ k<A<B<2>>, 3>(simt_arguments...); })(x);" in last


def test_launch_in_a_macro_stays_in_it() -> None:
    text = "#define GO(k, ...) \\\n  do { \\\n    k<<<1, 2>>>(__VA_ARGS__); \\\n  } while (0)\n"
    lines = translated(text).split("\n")
    assert [line.endswith("\\") for line in lines] == [True, True, True, False, False]
    assert "::simt::launcher(" in lines[2]


def test_dynamic_shared_memory() -> None:
    inside = "namespace a {\n__global__ void k() {\n  extern __shared__ float s[];\n}\n}\n"
    assert "  float* const s = (float*)::simt::dynamic_shared();" in translated(inside)
    outside = "namespace a {\nextern __shared__ __align__(16) unsigned char s[];\n}\n"
    assert 'extern unsigned char s[] __asm__("simt_dynamic_memory");' in translated(outside)


@pytest.mark.parametrize(
    ("text", "is_variable"),
    [
        ("__device__ int n;", True),
        ("static __device__ float table[2][3] = {{1}};", True),
        ("__device__ __align__(16) float4 v;", True),
        ("__device__ const float* p;", True),
        ("__device__ __managed__ int n;", False),
        ("__device__ void f();", False),
        ("__host__ __device__ float f(float x) { return x; }", False),
        ("__device__ __forceinline__ int f() { return 3; }", False),
        ("template <class T>\n__device__ T f(T x = 3) { return x; }", False),
    ],
)
def test_device_variables(text: str, is_variable: bool) -> None:
    assert ("__simt_device_variable__" in translated(text)) == is_variable


@pytest.mark.parametrize(
    ("text", "is_const"),
    [
        ("__device__ const int n = 3;", True),
        ("static const __device__ float table[2] = {1};", True),
        ("int* p; __constant__ const int* const q = nullptr;", True),
        ("__device__ constexpr const char* name = nullptr;", True),
        ("__device__ const int* p;", False),
        ("__constant__ float weights[9];", False),
        ("const int a = 3; __constant__ int b;", False),
        ("__device__ const float* f(const float* const x);", False),
    ],
)
def test_constant_variables(text: str, is_const: bool) -> None:
    assert ("__simt_const_variable__" in translated(text)) == is_const


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\n\nk<<<1>>>(x);", 3, r"k<<<\.\.\.>>> needs a grid and a block.* it has 1 arguments"),
        ("k<<<1, 2, 3, 4, 5>>>(x);", 1, "it has 5 arguments"),
        ("\nk<<<1, 2;\n", 2, "begins with <<< but has no >>>"),
        ("k<<<1, 2", 1, "begins with <<< but has no >>>"),
        ("\n;<<<1, 2>>>(x);", 2, "no kernel stands before <<<"),
    ],
)
def test_wrong_launch(text: str, line: int, message: str) -> None:
    with pytest.raises(TranslationError, match=message) as raised:
        translate(text, Path("x.cu"))
    assert raised.value.line == line


def test_a_path_may_have_quotation_marks() -> None:
    assert translate("", Path('a"b\\c.cu')) == '#line 1 "a\\"b\\\\c.cu"\n'


def test_local_includes() -> None:
    text = '#include "a.h"\n  # include "b/c.cuh" // x\n#include <d.h>\n//#include "e.h"\n'
    assert local_includes(text) == ["a.h", "b/c.cuh"]
