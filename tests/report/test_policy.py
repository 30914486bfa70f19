"""Policies as people write them, well and badly: a policy, or one line that says what is wrong."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import AuditError, BadInput
from audit.report.policy import Policy, parse_policy
from audit.resources import resource_dir
from audit.reviewed import policy_of

POLICIES = resource_dir("configs") / "policies"


def said(text: str) -> str:
    """The one line that refuses ``text``."""
    with pytest.raises(BadInput) as error:
        parse_policy(text, "p.toml")
    line = str(error.value)
    assert "\n" not in line
    assert line.isprintable()
    return line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["asks nothing"]),
        ("[checks]\ncross_check = false", ["asks nothing"]),
        ('arms = ["dp-2"]', ["asks nothing"]),
        ('[claim]\nverdct = "consistent"', ["claim.verdct", "Did you mean verdict?"]),
        ("[acuracy]\nloss_at_most = 0.1", ["acuracy", "Did you mean accuracy?"]),
        ("zzz = 1", ["zzz", "There is arms, claim"]),
        ('[claim]\nverdict = "passed"', ["claim.verdict", "consistent", "not_violated"]),
        ("[claim]\nverdict = true", ["claim.verdict"]),
        ("[claim]\nepsilon_at_most = 0", ["claim.epsilon_at_most", "greater than 0"]),
        ("[claim]\nepsilon_at_most = nan", ["finite"]),
        ("[claim]\nepsilon_at_most = inf", ["claim.epsilon_at_most"]),
        ('[claim]\nepsilon_at_most = "4"', ["claim.epsilon_at_most", "number"]),
        ("[claim]\nepsilon_at_most = true", ["claim.epsilon_at_most"]),
        ("[claim]\ndelta_at_most = 1", ["claim.delta_at_most", "less than 1"]),
        ("[claim]\ndelta_below_one_over_n = 1", ["claim.delta_below_one_over_n"]),
        ("[accuracy]\nloss_at_most = 3", ["accuracy.loss_at_most = 3", "less than 1"]),
        ("[accuracy]\nloss_at_most = -0.1", ["accuracy.loss_at_most"]),
        ('[accuracy]\ngroupings = ["sex"]', ["groupings has no effect without"]),
        ("[accuracy]\nsmallest_group = 5", ["smallest_group has no effect without"]),
        ("[accuracy]\nworst_group_loss_at_most = 0.1\nsmallest_group = 2", ["smallest_group = 2"]),
        ("[accuracy]\nworst_group_loss_at_most = 0.1\ngroupings = []", ["groupings"]),
        ("[accuracy]\nworst_group_loss_at_most = 0.1\ngroupings = [1]", ["groupings"]),
        ("[exposure]\nauc_at_most = 0.4", ["exposure.auc_at_most", "0.5"]),
        ("[exposure]\ntpr_at_1_percent_fpr_at_most = 0.001", ["0.01"]),
        ("[fields]\nstated = true", ['must be "all" or a list']),
        ('[fields]\nstated = "none"', ['must be "all" or a list']),
        ("[fields]\nstated = []", ["fields.stated"]),
        ("claim = 3", ["claim"]),
        ("[[claim]]\nverdict = 1", ["claim"]),
        ("[claim", ["not valid TOML"]),
        ("a = 1\na = 2", ["not valid TOML"]),
        ("x = " + "[" * 5000, ["too deep"]),
        ("x = " + "9" * 5000, ["not valid TOML"]),
        ("[claim]\nepsilon_at_most = 0x" + "f" * 5000, ["claim.epsilon_at_most", "too long"]),
        ('[claim]\n"a\\u202e\\n</script>" = 3', ["\\u202e"]),
        ("[claim]\n" + "k" * 5000 + " = 3", ["is no rule"]),
    ],
)
def test_what_is_no_policy_is_refused_by_name_value_and_rule(text: str, words: list[str]):
    line = said(text)
    for word in words:
        assert word in line
    assert len(line) < 1000


def test_the_shipped_policies_are_policies_and_ask_something():
    files = list(POLICIES.glob("*.toml"))
    assert [file.stem for file in files] == ["default"]
    policy, digest = policy_of("default")
    assert policy.asks()
    assert len(digest) == 64


def test_every_rule_of_the_shipped_policy_can_be_switched_on():
    """The example's commented rules: uncommented, they are still a policy."""
    lines = (POLICIES / "default.toml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(
        line.removeprefix("# ") if "=" in line or line.startswith("# [") else line for line in lines
    )
    policy = parse_policy(text, "default.toml")
    assert policy.arms == ["dp-2"]
    for section in (policy.claim, policy.accuracy, policy.exposure, policy.checks, policy.fields):
        for key, value in section:
            assert value is not None, key
            assert value is not False, key


def test_every_rule_is_explained():
    page = Path(__file__).resolve().parents[2] / "docs" / "commands" / "check.md"
    text = page.read_text(encoding="utf-8")
    for section, field in Policy.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        for key in [section] if inner is None else [f"{section}.{name}" for name in inner]:
            assert f"`{key}`" in text, key


def test_a_policy_is_found_by_path_or_by_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "default"
    own.write_text("[claim]\nepsilon_at_most = 1\n")
    assert policy_of("default")[0].claim.epsilon_at_most == 1.0
    own.unlink()
    assert policy_of("default")[0].claim.epsilon_at_most == 8.0
    for name, word in (
        ("defalt", "one of default"),
        ("none.toml", "does not exist"),
        (str(tmp_path), "is not a file"),
        ("/dev/zero", "is not a file"),
        ("x" * 300 + ".toml", "cannot be read"),
    ):
        with pytest.raises(BadInput, match=word):
            policy_of(name)
    (tmp_path / "big.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(BadInput, match="larger than"):
        policy_of("big.toml")
    (tmp_path / "latin.toml").write_bytes("# \xe4".encode("latin-1"))
    with pytest.raises(BadInput, match="UTF-8"):
        policy_of("latin.toml")


def _refused_in_one_line(text: str) -> bool:
    """Whether ``text`` is refused; a policy it is, or one printable line."""
    try:
        parse_policy(text, "p.toml")
    except AuditError as error:
        line = str(error)
    else:
        return False
    return "\n" not in line and len(line) < 1000


_TEXT = (POLICIES / "default.toml").read_text(encoding="utf-8")


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32), junk=st.text(max_size=6))
def test_hundreds_of_mutated_policies_are_refused_or_read(seed: int, junk: str):
    """Characters cut, doubled, replaced, lines moved: never anything but a policy or a line."""
    rng, text = random.Random(seed), _TEXT
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.randrange(len(text)) for _ in range(2))
        b = min(b, a + 40)
        text = rng.choice(
            [text[:a] + text[b:], text[:a] + junk + text[b:], text[:b] + text[a:],
             text.replace(text[a:b] or "=", junk, 1)]
        )  # fmt: skip
    try:
        tomllib.loads(text)
        broken = False
    except (ValueError, RecursionError):
        broken = True
    assert _refused_in_one_line(text) or not broken


_SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=10),
    st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=3),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_in_the_place_of_any_rule(data: st.DataObject):
    sections = ["claim", "accuracy", "exposure", "checks", "fields"]
    section = data.draw(st.sampled_from(sections))
    keys = [name for part in sections for name in getattr(Policy(), part).model_dump()]
    key = data.draw(st.one_of(st.sampled_from(keys), st.text("abcdefg_", min_size=1, max_size=9)))
    value = data.draw(_SCALARS)
    text = f"[{section}]\n{key} = {_toml(value)}\n"
    assert tomllib.loads(text) is not None
    refused = _refused_in_one_line(text)
    if key not in getattr(Policy(), section).model_dump():
        assert refused


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return (
            '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
