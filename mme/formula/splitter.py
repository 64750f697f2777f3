"""Take the random terms out of the right side of a formula, in whatever words they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mme.errors import FormulaError
from mme.formula.algebra import Terms, expand
from mme.formula.bar import BARS, BY_LEVEL, COLUMNS, FACTORS, STRUCTURES, Along, Bar, bar_in
from mme.formula.colons import as_bar
from mme.formula.direct import RELATED, DirectProduct, direct
from mme.formula.lattices import axes_of, title
from mme.formula.nesting import called_as, columns_crossed, crossed, groupings, levels_of, without_parentheses
from mme.formula.slots import OVERLAY, TOGETHER, slots
from mme.formula.smoothing import bars_of, smooth_in, smooth_of, without
from mme.formula.syntax import Call, Name, Node, Number, Op, deparse, is_sum, shortened, summands

_LOGICAL = {"TRUE": True, "True": True, "T": True, "FALSE": False, "False": False, "F": False}


class Splitter:
    """Walks down the sums of a formula, collecting the bars and returning what is left."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.bars: list[Bar] = []

    def bare(self, terms: Node) -> Node:
        """Put the parentheses round a bar that is all of the right side: ``y ~ 1 | g``.

        A bar binds looser than a sum, so that R reads ``y ~ x + 1 | g`` as ``(x + 1 | g)`` without a fixed x.
        """
        if not (isinstance(terms, Op) and terms.symbol in BARS):
            return terms
        left, right = (shortened(deparse(part)) for part in terms.args)
        if bar_in(terms.args[0]) or bar_in(terms.args[1]) or is_sum(terms.args[0]) or is_sum(terms.args[1]):
            raise self._error(
                terms,
                f"a bar beside other terms needs parentheses: without them it takes all of '{left}' and of '{right}'. "
                "Write y ~ x + (1 | g), or y ~ (x + 1 | g) for random slopes without their fixed effects",
            )
        return Op("(", (terms,), terms.start)

    def strip(self, node: Node) -> Node | None:
        """Return ``node`` without its bars (None: nothing is left)."""
        match node:
            case Op("(", (Op("|" | "||") as bar,)):
                if along := axes_of(bar.args[0]):
                    self._add_field(bar, along, bar.args[1])
                else:
                    self._add(bar, "unstructured")
                return None
            case Op() if along := axes_of(node):
                self._add_field(node, along, None)
                return None
            case Call(function, (Name(),), ()) if function in (*RELATED, "id") and (found := direct(node, COLUMNS)):
                self._add_direct(node, found)
                return None
            case Op() if (found := direct(node, COLUMNS)) and not found.is_one_bar:
                self._add_direct(node, found)
                return None
            case Op() if call := as_bar(node, (*STRUCTURES, *FACTORS)):
                self.strip(call)
                self.bars[-1] = replace(self.bars[-1], levels=True)
                if found := direct(node, COLUMNS):
                    self.bars[-1] = replace(self.bars[-1], related=found.related, chain=found.along)
                return None
            case Call(function, (Op("|" | "||") as bar,)) if function in (*STRUCTURES, *FACTORS, "ou"):
                self._add_called(node, bar)
                return None
            case Call(function) if function == BY_LEVEL:
                self._add_by_level(node)
                return None
            case Call() | Op() if curves := smooth_of(node):
                return self._add_smooth(*curves)
            case Op("(", (inner,)) if bar_in(inner) is not None:
                return self.strip(inner)
            case Op() if is_sum(node):
                return self._strip_sum(node)
        self._refuse_bar(node)
        return node

    def require_smooths_alone(self, fixed: Node | None) -> None:
        """Refuse a smooth inside another term, where its fixed part alone would be left of it."""
        terms = [] if fixed is None else [term for sign, term in summands(fixed) if sign != "-"]
        inside = [term for term in terms if smooth_of(term) is None]
        for node in (*inside, *(variable for bar in self.bars for variable in bar.left.variables)):
            if smooth := smooth_in(node):
                written = deparse(smooth)[:-1]
                raise self._error(
                    smooth,
                    f"{smooth.function}() stands alone between plus signs; a curve a level of a factor is f + "
                    f"{written}, by = f), one about a common curve {written}) + f + {written}, by = f)",
                )

    def _add_called(self, call: Call, bar: Op) -> None:
        """Add a bar inside a call that names its structure: ``cs(x | g)``, ``fa(env | g, 2)``, ``ou(time | g)``."""
        if call.function in STRUCTURES:
            self._add_structured(call, bar)
        elif call.function in FACTORS:
            self._add_factors(call, bar)
        else:
            self._add_process(call, bar)

    def _add_smooth(self, call: Call, by: Node | None) -> Node:
        """``s(x)``, or ``s(x, by = f)``; its fixed part is what is left."""
        columns = () if by is None else tuple(columns_crossed(crossed(self.formula, by)))
        hom = dict(call.keywords).get("hom")
        if hom is not None and by is None:
            raise self._error(
                hom, f"hom says that curves have one variance: write {call.function}(x, by = f, hom = TRUE)"
            )
        self.bars += bars_of(call, by, columns, hom is not None and self._logical(hom, "hom"))
        fixed: Node = without(call, "by")
        for column in reversed(columns):
            fixed = Op(":", (column, fixed), column.start)
        return fixed

    def _logical(self, value: Node, what: str) -> bool:
        if not isinstance(value, Name) or value.value not in _LOGICAL:
            raise self._error(value, f"{what} must be TRUE or FALSE")
        return _LOGICAL[value.value]

    def _strip_sum(self, node: Node) -> Node | None:
        remaining: Node | None = None
        for sign, part in summands(node):
            if sign == "-":
                self._refuse_bar(part)
                remaining = Op("-", (part,) if remaining is None else (remaining, part), part.start)
            elif (kept := self.strip(part)) is not None:
                remaining = kept if remaining is None else Op("+", (remaining, kept), part.start)
        return remaining

    def _add_structured(self, call: Call, bar: Op) -> None:
        heterogeneous, homogeneous, common = STRUCTURES[call.function]
        for keyword, value in call.keywords:
            if keyword != "hom" or homogeneous is None:
                raise self._error(call, f"{call.function}() round a bar takes no '{keyword}'")
            common = self._logical(value, "hom")
        if bar.symbol == "||":
            raise self._error(bar, f"'||' inside {call.function}(): write {call.function}(... | g)")
        self._add(bar, homogeneous if common and homogeneous is not None else heterogeneous)

    def _add_factors(self, call: Call, bar: Op) -> None:
        """``fa(0 + env | gen, k = 2)``, ``rr(...)``: glmmTMB's ``d`` says the same."""
        count = 1
        for keyword, value in call.keywords:
            number = value.value if isinstance(value, Number) else 0.0
            if keyword not in ("k", "d") or number < 1 or number != int(number):
                raise self._error(value, f"{call.function}() takes k, the whole number of its factors, of at least 1")
            count = int(number)
        if bar.symbol == "||":
            raise self._error(bar, f"'||' inside {call.function}(): write {call.function}(... | g, k = {count})")
        self._add(bar, f"{call.function}{count}")

    def _add_process(self, call: Call, bar: Op) -> None:
        """``ou(time | series)``, or glmmTMB's ``ou(time + 0 | series)``: the left side is a number, not a basis."""
        if call.keywords:
            raise self._error(call, f"ou() takes no '{call.keywords[0][0]}'")
        times, series = expand(bar.args[0], self.formula), groupings(self.formula, bar.args[1])
        if bar.symbol == "||" or len(times.terms) != 1 or len(times.terms[0]) != 1 or times.offsets:
            raise self._error(bar, "ou() takes one time: write ou(time | series)")
        if len(series) != 1:
            raise self._error(bar, "ou() takes one factor of series: write ou(time | a:b) for their combinations")
        (time,), name = times.terms[0], series[0]
        title = f"ou({called_as(time)} | {called_as(name)})"
        self.bars.append(Bar(Terms(True, ()), title, tuple(columns_crossed(name)), time=time))

    def _add_by_level(self, call: Call) -> None:
        """``dsum((x | g) | arm)``."""
        before, left, column = len(self.bars), None, None
        match call:
            case Call(args=(Op("|", (inner, by)),), keywords=()):
                column = crossed(self.formula, by)
                left = self.strip(Op("(", (inner,)) if isinstance(inner, Op) and inner.symbol in BARS else inner)
        if column is None or left is not None or len(self.bars) == before:
            problem = "dsum() takes random terms and one factor: write dsum((x | g) | arm), dsum(us(trait):A(g) | a:b)"
            raise self._error(call, problem)
        of = column if isinstance(column, Call) else levels_of(tuple(columns_crossed(column)))
        self.bars[before:] = [replace(bar, by=of) for bar in self.bars[before:]]

    def _add_field(self, node: Op, along: Along, fields: Node | None) -> None:
        """``ar1(row):ar1(col)``, or ``(ar1(row):ar1(col) | trial)`` with a field for each trial."""
        names = [] if fields is None else groupings(self.formula, fields)
        if node.symbol == "||" or len(names) > 1:
            raise self._error(node, "a field takes one factor of fields: write (ar1(row):ar1(col) | a:b)")
        factors = tuple(part for name in names for part in columns_crossed(name))
        self.bars.append(Bar(Terms(True, ()), title(along, *map(called_as, names)), factors, along=along))

    def _add_direct(self, node: Node, found: DirectProduct) -> None:
        """``us(trait):ar1(time):A(g)`` and other products."""
        written = deparse(node)
        if not found.along and not found.factors:
            problem = f"'{written}' has no grouping factor whose levels repeat the covariance"
            raise self._error(node, f"{problem}: write {written}:id(g), or {written}:A(g) with a relationship")
        if len(found.columns) > 2:
            raise self._error(node, f"'{written}' has {len(found.columns)} structures of columns: two are the most")
        left = Terms(not found.columns, (tuple(column for _, column in found.columns),) if found.columns else ())
        name = (
            written
            if found.along or len(found.factors) != 1 or found.products_of_levels
            else called_as(found.factors[0])
        )
        self.bars.append(
            Bar(
                left,
                name,
                found.factors,
                found.columns[0][0] if len(found.columns) == 1 else "unstructured",
                along=found.along,
                products=found.columns if len(found.columns) == 2 else (),
                related=found.related,
                written=written,
                levels=bool(found.columns),
            )
        )

    def _add(self, bar: Op, covariance: str) -> None:
        left, grouping = bar.args
        nested = bar_in(left) or bar_in(grouping)
        if nested is not None:
            raise self._error(nested, "a bar within a bar")
        basis = expand(left, self.formula)
        if basis.offsets:
            raise self._error(left, "an offset belongs outside the bars")
        if not basis.intercept and not basis.terms:
            raise self._error(left, "nothing is left of this bar: (1 | g) is a random intercept, (0 + x | g) a slope")
        together = without_parentheses(grouping)
        if isinstance(together, Call) and together.function in (TOGETHER, OVERLAY):
            self._add_together(together, bar, basis, covariance)
            return
        names = groupings(self.formula, grouping)
        for part in _uncorrelated(basis) if bar.symbol == "||" else [basis]:
            self.bars += [Bar(part, called_as(name), tuple(columns_crossed(name)), covariance) for name in names]

    def _add_together(self, call: Call, bar: Op, basis: Terms, covariance: str) -> None:
        """``(x | str(animal, dam))``: the basis for each of the columns, whose labels are levels of one factor.

        ``overlay(a, b)``, alone or inside ``str()``, is one coefficient of several columns.
        """
        parts = slots(call, self.formula)
        if len(parts) < 2 or call.keywords:
            word = call.function
            raise self._error(call, f"{word}() takes two columns or more, whose labels are levels of one factor")
        if bar.symbol == "||":
            raise self._error(
                bar, f"'||' with {call.function}(): write diag(... | {deparse(call)}) for no correlations"
            )
        factors, shares, weights = (tuple(part) for part in zip(*parts, strict=True))
        self.bars.append(Bar(basis, called_as(factors[0]), factors, covariance, None, (), True, shares, weights))

    def require_apart(self) -> None:
        """Refuse two grouping factors of one name: one of ``str()`` beside another, a column ``a:b`` beside a:b."""
        names = [bar.name for bar in self.bars]
        factors = dict(zip(names, (bar.factors for bar in self.bars), strict=True))
        for bar in self.bars:
            if bar.factors != factors[bar.name] and not bar.together:
                raise self._error(
                    bar.factors[0],
                    f"two grouping factors are called '{bar.name}', a column and a crossing: rename the column",
                )
        for bar in self.bars:
            if bar.together and names.count(bar.name) > 1:
                inside = ", ".join(map(deparse, bar.factors))
                place = re.search(rf"\b({TOGETHER}|{OVERLAY})\s*\(", self.formula)
                raise FormulaError.at(
                    self.formula,
                    place.start() if place else 0,
                    f"'{bar.name}' is a grouping factor beside {TOGETHER}({inside}): give its other term a copy of the "
                    "column under another name",
                )

    def _refuse_bar(self, node: Node) -> None:
        bar = bar_in(node)
        if bar is None:
            return
        if node is bar:
            raise self._error(bar, "a random term needs parentheses round it, as in (1 | g)")
        raise self._error(bar, "a random term stands alone between plus signs, in its own parentheses")

    def _error(self, node: Node, problem: str) -> FormulaError:
        return FormulaError.at(self.formula, node.start, problem)


def _uncorrelated(basis: Terms) -> Iterator[Terms]:
    """``(1 + x + f || g)`` is ``(1 | g) + (0 + x | g) + (0 + f | g)``: a factor keeps its block, as in lme4."""
    if basis.intercept:
        yield Terms(True, ())
    for term in basis.terms:
        yield Terms(False, (term,))
