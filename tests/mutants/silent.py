"""Parts of a file in which a fault changes no result: nothing that a test could hold on to.

* Texts of errors: messages, and names that are assigned beside a ``raise`` and used in it alone.
* ``reshape(-1, ...)``: NumPy takes any negative number for "what is left".
* ``<`` for ``<=`` against a tolerance (a number below 0.1, or a name that stands for one, times whatever): the two
  differ where a computed number equals the tolerance to its last bit.
* A number of 1e-100 or less: it stands for zero, to divide by.
* The steps that ``kernel(loop, steps)`` is told: they choose between a loop as it is and the same, compiled.
* The number that a generator of random directions starts from: the code that draws them serves with any.
* A comparison with a size of ``limits()``, and what it counts: both ways from there lead to the same numbers, which is
  what makes it a limit. Tests hold the two against each other by setting it, and no fault chooses a wrong one. Where
  the way is an error (``if size > limits().x: raise``), the comparison stays: it decides what is answered.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator

_NOTHING = 1e-100


def silent(tree: ast.Module) -> set[int]:
    """``id`` of the nodes that are left as they are, with all inside them."""
    found = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Raise | ast.JoinedStr)}
    refusing = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.If) and _refuses(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
            sizes = [x for one in node.args for x in (one.elts if isinstance(one, ast.Tuple) else [one])]
            found |= {id(one.operand) for one in sizes if isinstance(one, ast.UnaryOp)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "kernel":
            found |= {id(steps) for steps in node.args[1:]}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "default_rng":
            found |= {id(seed) for seed in node.args}
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and 0.0 < node.value <= _NOTHING:
            found.add(id(node))
        if isinstance(node, ast.Compare) and id(node) not in refusing and any(map(_is_size, _operands(node))):
            found.add(id(node))
        if isinstance(node, ast.FunctionDef):
            found |= {id(statement) for statement in _of_messages(node)}
    return found


def _refuses(node: ast.If) -> bool:
    """Whether what follows a condition is an error."""
    return any(isinstance(statement, ast.Raise) for statement in node.body)


def _of_messages(function: ast.FunctionDef) -> Iterator[ast.Assign]:
    """Assignments to a name that is read in ``raise`` statements alone."""
    read = _read(function)
    in_raises = sum((_read(node) for node in ast.walk(function) if isinstance(node, ast.Raise)), Counter[str]())
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if 0 < in_raises[name] == read[name]:
                yield node


def _read(node: ast.AST) -> Counter[str]:
    return Counter(x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Load))


def against_tolerances(tree: ast.Module) -> set[int]:
    """``id`` of the comparisons with a tolerance, which no number equals, or with a size where both ways serve."""
    constants = _tolerances(tree.body, set())
    found = _compared(tree, constants)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            found |= _compared(function, constants | _tolerances(ast.walk(function), constants))
    return found


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
        if any(_is_tolerance(part, known) for part in (value, *_operands(value)))
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


def _is_size(node: ast.AST) -> bool:
    """A size of ``limits()``."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "limits"
    )
