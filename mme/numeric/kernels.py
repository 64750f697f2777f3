"""Loops that no library has and NumPy cannot vectorise: plain Python for a few rows, compiled for many."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

from mme.numeric.limits import limits
from mme.numeric.memory import require_in_process

# Bytes without which the compiler ends the process.
_COMPILER = 2**25

Loop = TypeVar("Loop", bound=Callable[..., Any])


def kernel(loop: str | Callable[..., Any], steps: int) -> Callable[..., Any]:
    """The loop (its name, if it stands here), compiled when it will run more than a few thousand steps."""
    plain: Callable[..., Any] = globals()[loop] if isinstance(loop, str) else loop
    return plain if steps <= limits().interpreted_steps else _compiled(plain)


@cache
def of_sizes(plain: Callable[..., Any], **sizes: int) -> Callable[..., Any]:
    """A loop in whose file these names are other numbers: what runs over a known size is unrolled by the compiler."""
    called = "_".join([plain.__name__, *[str(sizes[name]) for name in sorted(sizes)]])
    return FunctionType(plain.__code__, {**plain.__globals__, **sizes}, called)


@cache
def argument(plain: Callable[..., Any], signature: str) -> Any:
    """A loop compiled by itself for loops that take it as an argument: the compiler need not see through it again."""
    import numba

    return numba.cfunc(signature, cache=True, error_model="numpy")(_bound(plain))


def callback(plain: Callable[..., Any], arguments: str) -> tuple[str, str]:
    """Name and LLVM's text of a loop as a function of C, which takes of an array its address and shape.

    ``arguments`` has a word each: ``i`` and ``f`` numbers, ``I1``, ``F2``, ``U1``, ... arrays of so many dimensions.
    """
    import numba

    types: dict[str, Any] = {"i": numba.int64, "f": numba.float64, "u": numba.uint32}
    taken, given, signature = [], [], []
    for at, word in enumerate(arguments.split()):
        shape = [f"n{at}_{axis}" for axis in range(int(word[1:] or 0))]
        taken += [f"a{at}", *shape]
        given.append(f"carray(a{at}, ({', '.join(shape)},))" if shape else f"a{at}")
        number = types[word[0].lower()]
        address = numba.types.CPointer(number)  # type: ignore[no-untyped-call]
        signature += [address if shape else number, *[numba.int64] * len(shape)]
    space = {"loop": _compiled(plain, True), "carray": numba.carray}  # type: ignore[attr-defined]
    exec(f"def entry({', '.join(taken)}):\n    return loop({', '.join(given)})", space)
    entry: Any = space["entry"]
    made = numba.cfunc(numba.float64(*signature), error_model="numpy")(entry)
    return made.native_name, made.inspect_llvm()


@cache
def _compiled(plain: Any, inner: bool = False) -> Callable[..., Any]:
    """Compile a loop; an inner one is called by compiled loops alone, and needs no way in from Python."""
    if plain is fetch:
        return _fetch_of_compiler()
    import numba

    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True} if inner else {"cache": True}
    any_order = getattr(plain, "any_order", False)
    return numba.njit(nogil=True, error_model="numpy", fastmath=any_order, **options)(_bound(plain))


def _bound(plain: Any) -> FunctionType:
    """A copy of a loop that calls compiled loops: its helpers are compiled first, and stand in it for themselves."""
    require_in_process(_COMPILER, "compiling the loops of this fit needs")
    helpers = {name: plain.__globals__.get(name) for name in plain.__code__.co_names}
    compiled = {name: _compiled(helper, True) for name, helper in helpers.items() if isinstance(helper, FunctionType)}
    bound = FunctionType(plain.__code__, {**plain.__globals__, **compiled}, plain.__name__)
    bound.__qualname__ = f"{plain.__name__}_{state(plain):x}"
    return bound


def state(plain: Any) -> int:
    """A number for the state of the files that a loop and those it calls stand in: the cache looks at the first."""
    states = [os.stat(file) for file in sorted(_files(plain)) if os.path.exists(file)]
    return crc32(repr([(state.st_mtime_ns, state.st_size) for state in states]).encode())


def _files(plain: FunctionType) -> set[str]:
    called = (plain.__globals__.get(name) for name in plain.__code__.co_names)
    others = (_files(one) for one in called if isinstance(one, FunctionType) and one is not plain)
    return {plain.__code__.co_filename}.union(*others)


def in_any_order(loop: Loop) -> Loop:
    """Let the compiler take the sums of a loop in any order, and so by vector instructions."""
    vars(loop)["any_order"] = {"reassoc", "contract"}
    return loop


def fetch(array: np.ndarray, i: int, j: int, k: int) -> None:
    """Ask for the line of memory of a number of an array (a, b, c) that is about to be written: in compiled loops.

    A load would do, but a processor completes its steps in order: behind one load that waits few more can begin.
    """


def _fetch_of_compiler() -> Any:
    """What compiled loops call for :func:`fetch`: an instruction."""
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    tools: Any = cgutils
    byte, number = tools.voidptr_t, tools.int32_t
    instruction = tools.ir.FunctionType(tools.ir.VoidType(), [byte, number, number, number])
    written, kept_long, data = number(1), number(3), number(1)

    def fetched(_: Any, array: Any, i: Any, j: Any, k: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = signature.args[0]
            here = context.make_array(kind)(context, builder, values[0])
            address = tools.get_item_pointer(context, builder, kind, here, list(values[1:]))
            called = tools.get_or_insert_function(builder.module, instruction, "llvm.prefetch.p0i8")
            builder.call(called, [builder.bitcast(address, byte), written, kept_long, data])
            return context.get_dummy_value()

        return types.void(array, types.int64, types.int64, types.int64), generate

    return intrinsic(fetched)


def elimination_tree(indptr: np.ndarray, indices: np.ndarray, n: int) -> np.ndarray:
    """Parent of each column (n: a root), from the lower rows of A (Liu 1990, with paths cut short)."""
    parent, ancestor = np.full(n, n), np.full(n, n)
    for i in range(n):
        for at in range(indptr[i], indptr[i + 1]):
            j = indices[at]
            while j < i:
                above, ancestor[j] = ancestor[j], i
                if above == n:
                    parent[j] = i
                    break
                j = above
    return parent


def postorder(parent: np.ndarray) -> np.ndarray:
    """The columns, children before parents and every subtree in one piece."""
    n = parent.size
    child, sibling = np.full(n + 1, -1), np.full(n, -1)
    for j in range(n - 1, -1, -1):
        sibling[j], child[parent[j]] = child[parent[j]], j
    order, path = np.empty(n, dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    path[0], depth, done = n, 1, 0
    while depth > 0:
        j = child[path[depth - 1]]
        if j == -1:
            depth -= 1
            if depth > 0:
                order[done] = path[depth]
                done += 1
            continue
        child[path[depth - 1]] = sibling[j]
        path[depth] = j
        depth += 1
    return order


def count_columns(indptr: np.ndarray, indices: np.ndarray, parent: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Entries in each column of L, from the lower columns of A (Gilbert, Ng and Peyton 1994).

    Row i of L is a subtree with root i, whose leaves are among the entries of row i of A: a column gains one for every
    row of which it is a leaf, and loses one where two leaves' paths meet, and one for each child that it takes over.
    """
    n = parent.size
    first, counts = np.full(n + 1, -1), np.zeros(n + 1, dtype=np.int64)
    for k in range(n):
        j = order[k]
        counts[j] = 1 if first[j] == -1 else 0  # a leaf of the tree is one of its own row
        while j < n and first[j] == -1:
            first[j] = k
            j = parent[j]
    seen, last, top = np.full(n, -1), np.full(n, -1), np.arange(n)
    for k in range(n):
        j = order[k]
        counts[parent[j]] -= 1
        for at in range(indptr[j], indptr[j + 1]):
            i = indices[at]
            if i == j or first[j] <= seen[i]:
                continue
            seen[i], before = first[j], last[i]
            last[i] = j
            counts[j] += 1
            if before == -1:
                continue
            root = before
            while root != top[root]:
                root = top[root]
            counts[root] -= 1
            while before != root:
                top[before], before = root, top[before]
        if parent[j] < n:
            top[j] = parent[j]
    for k in range(n):
        counts[parent[order[k]]] += counts[order[k]]
    return counts[:n]


def supernodes(indptr: np.ndarray, indices: np.ndarray, n: int) -> np.ndarray:
    """First column of each column's run: in a run of L each column has the rows of the one before it, less one."""
    head = np.arange(n)
    for j in range(1, n):
        above, own, below = indptr[j - 1], indptr[j], indptr[j + 1]
        if j - head[j - 1] < 96 and below - own == own - above - 1:
            same = True
            for at in range(own, below):
                same = same and indices[at] == indices[at - own + above + 1]
            if same:
                head[j] = head[j - 1]
    return head


def fill(indptr: np.ndarray, indices: np.ndarray, parent: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """Rows of L by columns (from ``begin``), ascending, from the lower rows of A: row i is a subtree with root i."""
    n = parent.size
    rows, at = np.empty(begin[n], dtype=np.int64), begin[:n].copy()
    seen = np.full(n, -1)
    for i in range(n):
        seen[i] = i
        rows[at[i]] = i
        at[i] += 1
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            while seen[j] != i:
                seen[j] = i
                rows[at[j]] = i
                at[j] += 1
                j = parent[j]
    return rows


def add_products(
    out: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    columns: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
) -> None:
    """Add (P V)_ij to out (pairs, c) at rows i (pairs,) of a sparse P and ``columns`` j (pairs, c) of a dense V.

    Each column of V is a row of memory: a row of P picks numbers of it that are near one another.
    """
    for pair in range(i.size):
        for c in range(j.shape[1]):
            total, column = 0.0, j[pair, c]
            for at in range(indptr[i[pair]], indptr[i[pair] + 1]):
                total += data[at] * columns[column, indices[at]]
            out[pair, c] += total
