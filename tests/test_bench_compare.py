"""`byhand bench compare`, and the reader of the benchmarks' JSON files."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import bench_documents as made
import pytest
from byhand.bench import compare, documents
from byhand.bench.results import Times
from byhand.bench.run import FORMAT
from byhand.cli.app import app
from cli_support import only_line
from typer.testing import CliRunner, Result


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def run(*arguments: object) -> Result:
    # Wide, because a line that is too long would be wrapped.
    words = ["bench", "compare", *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "300"})


def slowed(content: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return the file with all times of byhand multiplied by a factor."""
    content = copy.deepcopy(content)
    for part in content.get("parts", [content]):
        for result in part["results"]:
            times = result["entries"][0]["times"]
            if times is not None:
                times["rounds"] = [factor * seconds for seconds in times["rounds"]]
    return content


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ((1.0, 1.1, 1.2), (1.3, 1.21, 1.4), "slower"),
        ((1.3, 1.21, 1.4), (1.0, 1.1, 1.2), "faster"),
        ((1.0, 1.1, 1.2), (1.15, 1.3, 1.4), "no"),
        ((1.0, 1.1, 1.2), (1.2, 1.3, 1.4), "no"),
        ((1.0, 1.1), (5.0, 5.1, 5.2), "?"),
        ((1.0, 1.1, 1.2), (5.0,), "?"),
    ],
)
def test_a_difference_is_beyond_noise_if_the_rounds_do_not_overlap(
    a: tuple[float, ...], b: tuple[float, ...], word: str
) -> None:
    assert compare.verdict(Times(a), Times(b)) == word


@pytest.mark.parametrize(("rounds", "one_in"), [(3, 10), (5, 126), (7, 1716)])
def test_the_legend_has_the_chance_of_separate_rounds(rounds: int, one_in: int) -> None:
    """Of all orders of two samples from the same distribution, two keep them apart."""
    assert math.comb(2 * rounds, rounds) / 2 == one_in
    assert f"1 of {one_in} " in compare.LEGEND


def test_the_arithmetic() -> None:
    """The medians are 2 and 3 for byhand, 4 and 5 for NumPy in the first case, 8 and 8 in both."""
    a = [
        made.result("x", "g", {"byhand": [1.0, 2.0, 3.0], "numpy": [4.0, 4.0, 4.0]}),
        made.result("y", "g", {"byhand": [2.0, 2.0, 2.0], "numpy": [8.0, 8.0, 8.0]}),
    ]
    b = [
        made.result("y", "g", {"byhand": [1.0, 1.0, 1.0], "numpy": [8.0, 8.0, 8.0]}),
        made.result("x", "g", {"byhand": [3.5, 3.0, 2.5], "numpy": [5.0, 5.0, 5.0]}),
    ]
    first, second = (documents.parse(made.file_of("gemm", own), "") for own in (a, b))
    pairs, only_a, only_b = compare.matched(first, second)
    assert only_a == only_b == []
    assert [(pair.a.case["label"], pair.ratio, pair.verdict) for pair in pairs] == [
        ("x", 1.5, "no"),
        ("y", 0.5, "faster"),
    ]
    changes = compare.peer_changes(pairs)
    assert changes["byhand"] == pytest.approx(math.sqrt(1.5 * 0.5))
    assert changes["numpy"] == pytest.approx(math.sqrt(5 / 4 * 8 / 8))
    assert not compare.is_above(pairs[0], 1.05)  # within noise


def test_a_table_of_two_reports(tmp_path: Path) -> None:
    a = write(tmp_path, "a.json", made.report())
    b = write(tmp_path, "b.json", slowed(made.report(), 1.3))
    result = run(a, b)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "Machine, versions and settings are the same in both files."
    row = next(line.split() for line in lines if line.startswith("gemm 256x256x256 NN"))
    assert row[3:] == ["550", "us", "715", "us", "1.300", "slower", "18%", "18%", "0.90", "0.90"]
    row = next(line.split() for line in lines if line.startswith("seed 0"))
    assert row[2:8] == ["2.00", "s", "2.60", "s", "1.300", "?"]
    assert "5 cases: 4 slower, 0 faster, 0 within noise, 1 with too few rounds." in lines
    assert "numpy took 1.000 times as long." in lines


@pytest.mark.parametrize(("limit", "code"), [(1.05, 1), (1.29, 1), (1.31, 0)])
def test_fail_above(tmp_path: Path, limit: float, code: int) -> None:
    a = write(tmp_path, "a.json", made.report())
    b = write(tmp_path, "b.json", slowed(made.report(), 1.3))
    result = run(a, b, "--fail-above", limit)
    assert result.exit_code == code, result.output
    assert ("gemm 64x64x64 NN, 2 threads: 1.30 x, more than" in result.output) == (code == 1)
    assert run(b, a, "--fail-above", limit).exit_code == 0


def test_a_slower_case_within_noise_does_not_fail(tmp_path: Path) -> None:
    a = write(tmp_path, "a.json", made.report())
    b = write(tmp_path, "b.json", slowed(made.report(), 1.15))  # the spread is 18 %
    result = run(a, b, "--fail-above", 1.05)
    assert "gemm" not in result.stderr and "slower" in result.stdout
    assert "mlp, 2 threads: 1.15 x" in result.stderr  # its spread is 10 %


def test_byhand_that_fails_in_b_is_an_error(tmp_path: Path) -> None:
    content = made.report()
    content["parts"][0]["results"][0]["entries"][0] |= {"problem": "FAILED: [x]", "times": None}
    b = write(tmp_path, "b.json", content)
    result = run(write(tmp_path, "a.json", made.report()), b)
    assert result.exit_code == 1
    assert "gemm 64x64x64 NN: B: FAILED: [x]" in result.stdout
    assert "byhand in B: FAILED: [x]" in result.stderr
    # A failure in A that is mended in B is none.
    assert run(b, tmp_path / "a.json").exit_code == 0


@pytest.mark.parametrize("is_in_b", [True, False])
def test_byhand_without_a_time_in_b_is_an_error(tmp_path: Path, is_in_b: bool) -> None:
    """For example, its accuracy no longer reaches the target."""
    content = made.report()
    entries = content["parts"][2]["results"][0]["entries"]
    if is_in_b:
        entries[0] |= {"times": None, "note": "not reached"}
    else:
        del entries[0]
    a, b = write(tmp_path, "a.json", made.report()), write(tmp_path, "b.json", content)
    result = run(a, b)
    assert result.exit_code == 1
    said = "no time (not reached), but A has one" if is_in_b else "no time, but A has one"
    assert f"seed 0: B: {said}" in result.stdout
    assert result.stderr == f"accuracy: seed 0, 2 threads: byhand in B: {said}\n"
    assert run(b, a).exit_code == run(b, b).exit_code == 0


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    result = run(write(tmp_path, "a.json", made.report()), tmp_path / "b.json")
    assert result.exit_code == 1
    assert only_line(result) == f"byhand: {tmp_path / 'b.json'}: No such file or directory\n"


def test_a_setting_or_a_contender_of_one_file_only_is_a_difference() -> None:
    a, b = made.file_of("gemm", made.cubes()), made.file_of("gemm", made.cubes())
    b["arguments"]["seconds"] = 0.5
    b["versions"]["torch"] = "PyTorch 2.0"
    first, second = (documents.parse(content, "") for content in (a, b))
    assert compare.differences(first, second) == [
        "version of torch: not measured in A, PyTorch 2.0 in B",
        "seconds of gemm: not set in A, 0.5 in B",
    ]
    assert compare.differences(second, first) == [
        "version of torch: PyTorch 2.0 in A, not measured in B",
        "seconds of gemm: 0.5 in A, not set in B",
    ]


def test_what_differs_comes_first(tmp_path: Path) -> None:
    other = slowed(made.report(), 1)
    sets = [{"name": "avx512", "active": True}]
    other["machine"] |= {"cpu": "Another", "byhand": {"instruction_sets": sets}}
    other["parts"][0]["arguments"]["rounds"] = 7
    for part in other["parts"]:
        part["versions"]["numpy"] = "NumPy 2.1"
    result = run(write(tmp_path, "a.json", made.report()), write(tmp_path, "b.json", other))
    assert result.output.splitlines()[0] == (
        "The files differ. cpu: Made-up <CPU> & Sons in A, Another in B; "
        "instruction set: avx2 in A, avx512 in B; "
        "version of numpy: NumPy 2.0 in A, NumPy 2.1 in B; rounds of gemm: 3 in A, 7 in B."
    )


def test_cases_in_one_file_only_are_named(tmp_path: Path) -> None:
    a = write(tmp_path, "a.json", made.file_of("gemm", made.cubes()))
    b = write(tmp_path, "b.json", made.file_of("gemm", made.cubes()[1:]))
    result = run(a, b)
    assert result.exit_code == 0
    assert "Only in A:\n  gemm: gemm 64x64x64 NN, 2 threads\n" in result.output
    assert "Only in B:\n  gemm: gemm 64x64x64 NN, 2 threads\n" in run(b, a).output


def test_other_threads_have_nothing_in_common(tmp_path: Path) -> None:
    content = made.file_of("gemm", made.cubes())
    a = write(tmp_path, "a.json", content)
    for result in content["results"]:
        result["threads"] = 1
    result_of_run = run(a, write(tmp_path, "b.json", content), "--fail-above", 1.05)
    assert result_of_run.exit_code == 1
    assert "threads: 2 in A, 1 in B" in result_of_run.stdout.splitlines()[0]
    assert "no case is in both files: measure both with" in result_of_run.stderr


def test_a_case_that_is_there_twice_is_paired_in_order() -> None:
    twice = [made.cubes()[0], made.cubes()[0]]
    first = documents.parse(made.file_of("gemm", twice), "")
    second = documents.parse(made.file_of("gemm", twice[:1]), "")
    pairs, only_a, _ = compare.matched(first, second)
    assert len(pairs) == len(only_a) == 1


def test_a_file_reads_back_as_it_was_written() -> None:
    results = [*made.cubes(), *made.errors(), *made.training(), *made.accuracy()]
    part = documents.parse(made.file_of("mixed", results), "x").parts[0]
    assert part.results == results


def without(path: list[str | int]) -> dict[str, Any]:
    content = made.report()
    *folders, last = path
    place: Any = content
    for step in folders:
        place = place[step]
    del place[last]
    return content


FIRST: list[str | int] = ["parts", 0, "results", 0]


@pytest.mark.parametrize(
    "path",
    [
        ["format"],
        ["machine"],
        ["command_line"],
        ["memory_rate"],
        ["memory_rate", 0, "rates"],
        ["memory_rate", 1, "bytes"],
        ["parts", 0, "arguments"],
        ["parts", 1, "arguments", "command"],
        ["parts", 0, "versions"],
        ["parts", 0, "results"],
        [*FIRST, "case"],
        [*FIRST, "case", "label"],
        [*FIRST, "threads"],
        [*FIRST, "flops"],
        [*FIRST, "fma_peak"],
        [*FIRST, "entries"],
        [*FIRST, "entries", 0, "contender"],
        [*FIRST, "entries", 0, "times", "rounds"],
        ["parts", 2, "results", 0, "entries", 1, "ends"],
    ],
    ids=str,
)
def test_a_missing_key_is_named(path: list[str | int]) -> None:
    with pytest.raises(documents.DocumentError) as caught:
        documents.parse(without(path), "some.json")
    message = str(caught.value)
    assert message.startswith("some.json: ")
    if path == ["format"]:
        assert "not a file that `byhand bench` writes" in message
    else:
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        assert message == f"some.json: {name[1:]} is missing"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["format"], FORMAT + 1, f"format {FORMAT + 1}"),
        (["format"], 1, "measure again"),
        (["format"], True, "format is True"),
        (["parts"], [], "parts is empty"),
        (["parts"], {}, "parts must be a list"),
        (["parts", 0], 3, r"parts\[0\] must be an object, got 3"),
        ([*FIRST, "threads"], 0, "threads must be above zero"),
        ([*FIRST, "fma_peak"], "fast", "fma_peak must be a number"),
        ([*FIRST, "fma_peak"], 10**400, "fma_peak must be a number"),
        ([*FIRST, "case", "group"], [1], "case.group must be a text"),
        ([*FIRST, "entries", 0, "times", "rounds"], [], "rounds must hold times above zero"),
        ([*FIRST, "entries", 0, "times", "rounds"], [0.0], "rounds must hold times above zero"),
        ([*FIRST, "entries", 0, "times", "rounds"], [True], r"rounds\[0\] must be a number"),
        ([*FIRST, "entries", 0, "times", "rounds"], [-1.0], r"rounds\[0\] must be a number"),
        ([*FIRST, "entries", 0, "problem"], 5, "problem must be a text"),
        (["memory_rate", 0, "rates"], [0], "rates must hold rates above zero"),
        (["parts", 2, "results", 0, "entries", 0, "ends"], [1.0], "ends has 1 numbers"),
    ],
)
def test_a_wrong_value_is_named(path: list[str | int], value: Any, said: str) -> None:
    content: Any = made.report()
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(documents.DocumentError, match=said):
        documents.parse(content, "some.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"format": NaN}', "NaN is not a number of JSON"),
        ("[]", "not a file that `byhand bench` writes"),
        ('{"layers": 3}', "not a file that `byhand bench` writes"),
    ],
)
def test_a_broken_or_foreign_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(documents.DocumentError, match=said):
        documents.read(path)
    result = run(path, path)
    assert result.exit_code == 2 and "A.json" in result.output
