"""The mutations are what they say: each is Python, differs from the file in one place, and is shown to a reader."""

from mutants.__main__ import chosen, equivalent
from mutants.mutations import mutations
from mutants.trying import FIRST, ROOT, TESTS, files, suite_of

SOURCE = b'''"""1 + 1"""
LIMIT = 1e-9

@cache(2)
def f(x: int = 3) -> float:
    """x - 1"""
    x += 1.5
    if x <= LIMIT and not x:
        said = x + 7
        raise ValueError("2 - 1", said)
    return -(x + 2) * \xc3\xa9[0]
'''.replace(b"\xc3\xa9", "é".encode())


def test_every_kind_of_fault_is_made_and_nothing_else_is_touched():
    found = mutations("mme/engine/x.py", SOURCE)
    said = {(m.line, m.after) for m in found}
    assert (2, "LIMIT = 1e-05") in said
    assert {(7, "x -= 1.5"), (7, "pass"), (7, "x += 3.0")} <= said
    assert {(8, "if x > LIMIT and not x:"), (8, "if x <= LIMIT and x:")} <= said
    assert (8, "if x < LIMIT and not x:") not in said  # no number equals a tolerance to its last bit
    assert (8, "if x <= LIMIT or not x:") in said
    assert {(11, "return (x + 2) * é[0]"), (11, "return -(x - 2) * é[0]"), (11, "return -(x) * é[0]")} <= said
    assert {m.line for m in found} == {2, 7, 8, 11}  # no docstring, decorator, default or message
    for mutation in found:
        compile(mutation.applied(SOURCE), "x.py", "exec")
        assert mutation.applied(SOURCE) != SOURCE


def test_what_numpy_takes_for_the_same_is_no_fault_and_whole_bounds_are():
    said = {
        m.after for m in mutations("mme/engine/x.py", b"def f(x):\n    return x.reshape(-1, 3)[-1:] if x < 2 else x\n")
    }
    assert not any("-2, 3" in after for after in said)
    assert any("-1, 4" in after for after in said)
    assert any("[-2:]" in after for after in said)
    assert any("x <= 2" in after for after in said)


def test_a_seed_chooses_the_same_mutations_again():
    assert chosen(["residual"], 5, 3) == chosen(["residual"], 5, 3)
    assert chosen(["residual"], 5, 3) != chosen(["residual"], 5, 4)
    assert not {m.key for m in chosen([*TESTS], 10**6, 1)} & set(equivalent())


def test_first_principles_are_tried_first_and_what_names_the_room_next():
    found = suite_of("mme/inference/fixed/kenward_roger.py")
    assert found[0] == FIRST
    assert found.index("tests/inference/test_kenward_roger.py") < found.index("tests/inference/test_profile_bounds.py")


def test_what_is_said_to_be_equivalent_is_still_there():
    sources = [path for folder in TESTS for path in files(folder)]
    every = {m.key for path in sources for m in mutations(str(path.relative_to(ROOT)), path.read_bytes())}
    assert set(equivalent()) <= every
