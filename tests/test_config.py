"""Configuration: layers merge, hostile values are one line, identity excludes execution."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.config import ArmConfig, RunConfig, config_digest, identity, make_config, read_config
from audit.configuring import configure, default_out, preset
from audit.errors import BadInput


def test_layers_rise_in_priority_and_tables_merge():
    arm = {"learning_rate": 0.1, "batch_size": 8, "epochs": 2}
    config = make_config([{"seed": 1, "standard": arm}, {"seed": 2, "standard": {"epochs": 5}}])
    assert config.seed == 2
    assert isinstance(config.standard, ArmConfig)
    assert (config.standard.learning_rate, config.standard.epochs) == (0.1, 5)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"epsilon": [0]}, "epsilon"),
        ({"epsilon": [-2]}, "epsilon"),
        ({"epsilon": [float("nan")]}, "epsilon"),
        ({"epsilon": []}, "epsilon"),
        ({"epsilon": [2, 2.0]}, "epsilon"),
        ({"models": 0}, "models"),
        ({"models": "many"}, "models"),
        ({"inclusion_probability": 1.0}, "inclusion_probability"),
        ({"hidden": [0]}, "hidden"),
        ({"seed": -1}, "seed"),
        ({"delta": 2}, "delta"),
        ({"design": "bernoulli"}, "design"),
        ({"epsilom": 2}, "epsilom"),
        ({"dp": {"learning_rate": 0.1}}, "dp"),
        ({"dp": {"learning_rate": "fast", "batch_size": 1, "epochs": 1}}, "dp.learning_rate"),
        ({"standard": 3}, "standard"),
        ({"data": 7}, "data"),
    ],
)
def test_illegal_values_name_field_value_and_rule_in_one_line(fields: dict, name: str):
    with pytest.raises(BadInput) as caught:
        make_config([fields])
    assert caught.value.name.startswith(name)
    assert "\n" not in str(caught.value)


def test_a_single_value_of_several_is_shown_as_it_was_typed():
    with pytest.raises(BadInput, match=r"^epsilon = -1\.0: each epsilon must"):
        make_config([{"epsilon": (-1.0,)}])


def test_epsilons_are_sorted_and_execution_is_no_identity():
    one = make_config([{"epsilon": [8, 2], "device": "cpu", "data_root": "a"}])
    other = make_config([{"epsilon": [2, 8], "device": "cuda", "data_root": "b"}])
    assert one.epsilon == (2.0, 8.0)
    assert identity(one) == identity(other)
    assert config_digest(one) == config_digest(other)
    assert config_digest(one) != config_digest(make_config([{"epsilon": [2, 8], "seed": 1}]))


@pytest.mark.parametrize("name", ["digits", "adult"])
def test_a_shipped_config_equals_naming_the_data_set(name: str):
    root = Path(__file__).resolve().parent.parent / "configs"
    from_file = configure(root / f"{name}.toml", {})
    assert from_file == configure(None, {"data": name})
    assert preset(name) == read_config(root / f"{name}.toml")
    assert from_file.dp is not None
    assert from_file.dp.tuning


def test_unknown_data_has_no_preset():
    assert preset("../configs/digits") == {}
    assert preset("FILE.csv") == {}


def test_bad_files(tmp_path: Path):
    for name, content in (("a.toml", b"x = "), ("b.toml", b"\xff\xfe"), ("c.toml", b"\x00")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput):
            read_config(tmp_path / name)
    for missing, words in ((tmp_path / "none.toml", "does not exist"), (tmp_path, "is not a file")):
        with pytest.raises(BadInput, match=words):
            read_config(missing)


def test_the_same_command_finds_its_run_again_and_another_does_not():
    two = configure(None, {"epsilon": (2.0,)})
    assert default_out(two) == default_out(configure(None, {"epsilon": (2.0,), "device": "cpu"}))
    assert default_out(two) != default_out(configure(None, {"epsilon": (4.0,)}))
    hostile = configure(None, {"data": "../../x/</script>é.csv"})
    assert default_out(hostile).parent == Path("runs")
    assert default_out(hostile).name.isascii()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 5000, "nested too deeply"),
        ("x = " + "9" * 5000, "not valid TOML"),
        ("x = 2020-13-01", "not valid TOML"),
        ("#" + "x" * 2**20, "larger than"),
    ],
)
def test_toml_that_breaks_its_reader(tmp_path: Path, text: str, words: str):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(BadInput, match=words):
        read_config(tmp_path / "c.toml")


def test_a_config_that_never_ends_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        with pytest.raises(BadInput, match="is not a file"):
            read_config(path)
    with pytest.raises(BadInput, match="cannot be read"):
        configure(Path("x" * 9000), {})


def test_a_number_that_cannot_be_written_is_refused_all_the_same():
    """TOML's hexadecimal integers may have more digits than Python writes in decimal."""
    with pytest.raises(BadInput, match="too long to show"):
        make_config([{"models": 16**6000}])


_LINES = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{} = {}".format,
        st.sampled_from([*RunConfig.model_fields, "dp.epochs", "standard.options", "x"]),
        st.one_of(
            st.floats(), st.integers(), st.text(max_size=20).map(repr),
            st.sampled_from(["[]", "{}", "[nan]", "true", "0xff", "1979-05-27", '["g"]', "[[1]]"]),
        ),
    ),
)  # fmt: skip


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.lists(_LINES, max_size=4))
def test_whatever_a_config_says_it_is_one_or_one_line(tmp_path: Path, lines: list[str]):
    text = "\n".join(lines).encode("utf-8", errors="replace")
    (tmp_path / "c.toml").write_bytes(text)
    said = "a configuration"
    try:
        assert configure(tmp_path / "c.toml", {}).models
    except BadInput as error:
        said = str(error)
    assert said.isprintable()
