"""Direct products of structures: ``us(trait):ar1(time)``, ``us(trait):corh(site):id(g)``, ``A(g):ar1(time)``."""

from __future__ import annotations

from dataclasses import dataclass

from mme.formula.bar import Along
from mme.formula.lattices import KINDS
from mme.formula.nesting import without_parentheses
from mme.formula.syntax import Call, Name, Node, Number, Op

# What may stand round a factor whose relationship is given apart, and round one whose levels are independent.
RELATED = ("A", "ped", "vm", "giv")
_INDEPENDENT = "id"


@dataclass(frozen=True)
class DirectProduct:
    """The parts of a product: structures of columns by their words, chains, and factors, some with a relationship."""

    columns: tuple[tuple[str, Node], ...]
    along: Along
    factors: tuple[Node, ...]
    related: tuple[str, ...]

    @property
    def is_one_bar(self) -> bool:
        """Whether a bar says the same: one structure beside factors that are crossed; ar1() along one of them."""
        if self.products_of_levels or len(self.columns) + bool(self.along) > 1:
            return False
        return not self.along or (len(self.along) == 1 and self.along[0][0] == "ar1") or not self.factors

    @property
    def products_of_levels(self) -> bool:
        """Whether a relationship stands beside chains or other factors: levels are then all combinations."""
        return bool(self.related) and (bool(self.along) or len(self.factors) > 1)


def direct(node: Node, words: dict[str, str]) -> DirectProduct | None:
    """The parts of a product; None for anything else. ``words``: covariances by function name.

    Examples
    --------
    >>> from mme.formula.parser import parse_expression
    >>> found = direct(parse_expression("us(trait):ar1(time):A(g)"), {"us": "unstructured"})
    >>> found.columns[0][0], found.along[0][0], found.related
    ('unstructured', 'ar1', ('g',))
    """
    columns: list[tuple[str, Node]] = []
    along: list[tuple[str, Node]] = []
    factors: list[Node] = []
    related: list[str] = []
    for part in _parts(node):
        match part:
            case Name():
                factors.append(part)
            case Call(function, (Name() as name,), ()) if function in (*RELATED, _INDEPENDENT):
                factors.append(name)
                related += [name.value] if function in RELATED else []
            case Call(function, (place,), ()) if function in KINDS and not _has_bar(place):
                along.append((KINDS[function], place))
            case Call(function, (Name() as name,), ()) if function in words:
                columns.append((words[function], name))
            case Call(function, (Name() as name, Number(count)), ()) if function in ("fa", "rr") and count == int(
                count
            ):
                columns.append((f"{function}{int(count)}", name))
            case Call("fa" | "rr" as function, (Name() as name,), (("k", Number(count)),)) if count == int(count):
                columns.append((f"{function}{int(count)}", name))
            case Call("fa" | "rr" as function, (Name() as name,), ()):
                columns.append((f"{function}1", name))
            case _:
                return None
    return DirectProduct(tuple(columns), tuple(along), tuple(factors), tuple(related))


def _parts(node: Node) -> list[Node]:
    node = without_parentheses(node)
    if isinstance(node, Op) and node.symbol == ":":
        return [part for arg in node.args for part in _parts(arg)]
    return [node]


def _has_bar(node: Node) -> bool:
    return isinstance(node, Op) and node.symbol in ("|", "||")
