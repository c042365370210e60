"""The choice of the instruction set, and what show_config() says of it."""

import byhand
import pytest
from byhand import runtime
from byhand._core import testing
from test_threads import run


def test_baseline_is_always_there() -> None:
    assert testing.isas()[0] == "baseline"


@pytest.mark.parametrize("name", testing.isas())
def test_environment_forces_an_instruction_set(name: str) -> None:
    result = run("from byhand._core import testing; print(testing.isa())", BYHAND_ISA=name)
    assert result.stdout.strip() == name


def test_the_best_that_runs_is_the_default() -> None:
    result = run("from byhand._core import testing; print(testing.isa(), testing.isas()[-1])")
    assert len(set(result.stdout.split())) == 1


@pytest.mark.parametrize("name", ["sse9", "AVX2", "baseline "])
def test_an_unknown_instruction_set_is_an_error(name: str) -> None:
    result = run("import byhand", BYHAND_ISA=name)
    assert result.returncode != 0
    assert "BYHAND_ISA" in result.stderr and f'"{name}"' in result.stderr
    assert "baseline, avx2" in result.stderr
    with pytest.raises(ValueError, match="name must be one of"):
        testing.set_isa(name)


def test_set_isa_changes_and_restores(isa: str) -> None:
    assert testing.isa() == isa
    active = [row["name"] for row in runtime.config()["instruction_sets"] if row["active"]]
    assert active == [isa]


def test_show_config_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    byhand.show_config()
    text = capsys.readouterr().out
    assert byhand.__version__ in text
    for row in runtime.config()["instruction_sets"]:
        assert row["name"] in text
    assert text.count("active") == 1
    assert f"{byhand.get_num_threads()} of" in text
