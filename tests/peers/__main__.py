"""How many expectations of which suite hold: ``./run peers``."""

from __future__ import annotations

import sys

from peers.expectations import SUITES, by_model, expectations, find


def main() -> int:
    """Print a row for each suite, then what fails. Returns 1 where anything does."""
    print(f"{'suite':16}{'hold':>6}{'differ for a reason':>21}{'fail':>6}")
    failures: list[str] = []
    total = [0, 0, 0]
    for suite in SUITES:
        counts = [0, 0, 0]
        for cases in by_model(expectations(suite)).values():
            found = find(cases)
            for case in cases:
                counts[0 if found[case.id].holds else 1 if case.differs else 2] += 1
                if not found[case.id].holds and not case.differs:
                    failures.append(f"{case.id}: {case.formula}: {case.check} is {found[case.id].said}")
        print(f"{suite:16}{counts[0]:6}{counts[1]:21}{counts[2]:6}")
        total = [a + b for a, b in zip(total, counts, strict=True)]
    print(f"{'all':16}{total[0]:6}{total[1]:21}{total[2]:6}")
    print(*failures, sep="\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
