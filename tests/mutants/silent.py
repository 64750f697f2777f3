"""Parts of a file in which a fault changes no result: nothing that a test could hold on to.

* Texts of errors: messages.
* ``reshape(-1, ...)``: NumPy takes any negative number for "what is left".
* ``<`` for ``<=`` against a tolerance (a number below 0.1, or a name that stands for one, as those of other files in
  capitals do, times whatever): the two differ where a computed number equals the tolerance to its last bit.
* A number of 1e-100 or less: it stands for zero, to divide by.
* The steps that ``kernel(loop, steps)`` is told, or a ``self._loop(loop, steps)`` that asks it: they choose between a
  loop as it is and the same, compiled.
* The bytes that ``require(bytes, ...)`` is told: an estimate of memory, which the machine's own decides about.
* One more than a whole number of twenty or more that a module gives a name: how many steps, knots, records or levels
  are many is a choice, whose last digit means nothing. So does ``<`` for ``<=`` against such a number.
* The number that a generator of random directions starts from: the code that draws them serves with any.
* A comparison with a size of ``limits()``, and what it counts: both ways from there lead to the same numbers, which is
  what makes it a limit. Tests hold the two against each other by setting it, and no fault chooses a wrong one. Where
  the way is an error (``if size > limits().x: raise``), the comparison stays: it decides what is answered.
  So do "and" and "or" between two of them. A name that a function gives such a size is that size.
* ``limits().size // numbers``, with what it is no more or no less than: how many are made at a time.
* ``np.int32 if size < 2**31 else np.int64``: the wider integers hold what the narrower ones do, and what these do not
  hold takes more memory than a test has. The size of a cache (``lru_cache``).
* What zeros are replaced by before something is divided by them, as in ``size[size == 0.0] = 1.0``, or in
  ``np.where(size > 0.0, size, 1.0)``: columns of that size are zeros, whatever their unit.
* ``for _ in range(2)``: passes over the same numbers, each of which takes rounding that the one before has left.
* The least number of counts of which the largest is taken, ``np.bincount(at, minlength=1).max()``.
* What is assigned to a name that is read in the above alone: texts, sizes and steps that are made in a line before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

_NOTHING = 1e-100
_WIDTHS = {"np.int32", "np.int64"}
# A whole number of so many or more is a size: one more is as good.
_MANY = 20


def silent(tree: ast.Module) -> set[int]:
    """``id`` of the nodes that are left as they are, with all inside them."""
    found = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Raise | ast.JoinedStr)}
    found |= {id(size) for size in _sizes(tree)}
    refusing = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.If) and _refuses(node)}
    found |= {id(node) for node in _with_names_of_sizes(tree)} - refusing
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
            sizes = [x for one in node.args for x in (one.elts if isinstance(one, ast.Tuple) else [one])]
            found |= {id(one.operand) for one in sizes if isinstance(one, ast.UnaryOp)}
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("kernel", "self._loop"):
            found |= {id(steps) for steps in node.args[1:]}
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lru_cache":
            found |= {id(size) for size in node.keywords}
        if isinstance(node, ast.IfExp) and {ast.unparse(node.body), ast.unparse(node.orelse)} == _WIDTHS:
            found.add(id(node.test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "default_rng":
            found |= {id(seed) for seed in node.args}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
            found |= {id(size) for size in node.args[:1]}
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and 0.0 < node.value <= _NOTHING:
            found.add(id(node))
        if isinstance(node, ast.Compare) and id(node) not in refusing and any(map(_is_size, _operands(node))):
            found.add(id(node))
        if _is_at_a_time(node):
            found.add(id(node))
        found |= {id(one) for one in _without_meaning(node)}
    found |= {
        id(n) for n in ast.walk(tree) if isinstance(n, ast.BoolOp) and all(id(part) in found for part in n.values)
    }
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        _add_what_they_read(function, found)
    _add_what_they_read(tree, found)
    return found


def _sizes(tree: ast.Module) -> Iterator[ast.Constant]:
    """The sizes that a module gives names."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for _, value in zip(*_pairs(node), strict=True):
                if isinstance(value, ast.Constant) and type(value.value) is int and value.value >= _MANY:
                    yield value


def _with_names_of_sizes(tree: ast.Module) -> Iterator[ast.Compare]:
    """Comparisons with a name that its function gives a size of ``limits()``."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        pairs = [
            pair
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for pair in zip(*_pairs(node), strict=True)
        ]
        names = {target.id for target, value in pairs if isinstance(target, ast.Name) and _is_size(value)}
        for node in ast.walk(function):
            if isinstance(node, ast.Compare) and any(
                isinstance(x, ast.Name) and x.id in names for x in _operands(node)
            ):
                yield node


def _without_meaning(node: ast.AST) -> list[ast.expr]:
    """Numbers that stand for the size of zeros, for passes, or for counts of nothing."""
    match node:
        case ast.Assign(targets=[ast.Subscript(value=one, slice=ast.Compare(left=same, ops=[ast.Eq()]))], value=value):
            return [value] if ast.dump(same) == _read(one) and isinstance(value, ast.Constant) else []
        case (
            ast.Call(args=[ast.Compare(left=one, ops=[ast.Gt()]), same, ast.Constant() as value])
            | ast.Call(args=[ast.Compare(left=one, ops=[ast.Eq()]), ast.Constant() as value, same])
        ):
            return [value] if ast.unparse(node.func) == "np.where" and ast.dump(one) == ast.dump(same) else []
        case ast.For(
            target=ast.Name(id="_"), iter=ast.Call(func=ast.Name(id="range"), args=[ast.Constant() as passes])
        ):
            return [passes]
        case ast.Call(func=ast.Attribute(value=ast.Call(func=function, keywords=words), attr="max")):
            counts = ast.unparse(function) == "np.bincount"
            return [word.value for word in words if counts and isinstance(word.value, ast.Constant)]
    return []


def _read(node: ast.expr) -> str:
    """An expression as it looks where it is read."""
    return ast.dump(ast.parse(ast.unparse(node), mode="eval").body)


def _is_at_a_time(node: ast.AST) -> bool:
    """Whether a size of ``limits()`` is divided among so many, or bounded once it is."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("max", "min"):
        return any(map(_is_at_a_time, node.args))
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv) and _is_size(node.left)


def _refuses(node: ast.If) -> bool:
    """Whether what follows a condition is an error."""
    return any(isinstance(statement, ast.Raise) for statement in node.body)


def _add_what_they_read(scope: ast.Module | ast.FunctionDef, silent: set[int]) -> None:
    """Add the assignments to names that silent nodes alone read; of a module, to its private names."""
    inside = {id(part) for node in ast.walk(scope) if id(node) in silent for part in ast.walk(node)}
    while new := [node for node in _assigned(scope) if id(node) not in inside and _is_read_in(inside, node, scope)]:
        silent |= {id(node) for node in new}
        inside |= {id(part) for node in new for part in ast.walk(node)}


def _assigned(scope: ast.Module | ast.FunctionDef) -> Iterator[ast.Assign]:
    """Assignments to one name; of a module, those at its top that begin with an underscore."""
    whole = isinstance(scope, ast.Module)
    for node in scope.body if whole else ast.walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) if not whole or name.startswith("_"):
                yield node


def _is_read_in(inside: set[int], node: ast.Assign, scope: ast.AST) -> bool:
    """Whether a name is read, and nowhere else."""
    name = node.targets[0].id  # type: ignore[attr-defined]
    reads = [x for x in ast.walk(scope) if isinstance(x, ast.Name) and x.id == name and isinstance(x.ctx, ast.Load)]
    return bool(reads) and all(id(x) in inside for x in reads)


def against_tolerances(tree: ast.Module) -> set[int]:
    """``id`` of the comparisons with a tolerance, which no number equals, or with a size where both ways serve."""
    constants = _imported(tree) | _tolerances(tree.body, set())
    found = _compared(tree, constants)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            found |= _compared(function, constants | _tolerances(ast.walk(function), constants))
    return found


def _imported(tree: ast.Module) -> set[str]:
    """Names in capitals that stand for numbers of another file: tolerances and sizes."""
    names = (one.name for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names)
    return {name for name in names if name.isupper() and len(name) > 1}


def _compared(tree: ast.AST, tolerances: set[str]) -> set[int]:
    compared = (node for node in ast.walk(tree) if isinstance(node, ast.Compare))
    return {id(node) for node in compared if any(_is_tolerance(x, tolerances) for x in _operands(node))}


def _tolerances(nodes: Iterable[ast.AST], known: set[str]) -> set[str]:
    """Names that are assigned a tolerance, or a product with one."""
    return {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign)
        for targets, values in [_pairs(node)]
        for target, value in zip(targets, values, strict=True)
        if isinstance(target, ast.Name)
        if any(_is_tolerance(part, known) or _is_many(part) for part in (value, *_operands(value)))
    }


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    """What is compared, and what it is a sum or product of, the negative, the root, or the largest or smallest of."""
    if isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp):
        parts = [node.operand]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("max", "min", "np.sqrt", "sqrt"):
        parts = node.args
    else:
        return
    for part in parts:
        yield part
        yield from _operands(part)


def _pairs(node: ast.Assign) -> tuple[list[ast.expr], list[ast.expr]]:
    """Targets and values of an assignment, one by one where they are tuples."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return target.elts, value.elts
    return [target], [value]


def _is_tolerance(node: ast.AST, constants: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in constants
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) and 0.0 < node.value < 0.1
    return _is_size(node)


def _is_many(node: ast.AST) -> bool:
    """A number that says how much is much."""
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value >= _MANY


def _is_size(node: ast.AST) -> bool:
    """A size of ``limits()``."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "limits"
    )
