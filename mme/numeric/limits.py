"""Sizes at which the library takes one way of computing rather than another, and how much memory it may take.

Both sides of such a size give the same numbers, but for digits that the quicker way may lose where it says so: it is a
matter of time and memory. One record holds them all, :class:`Limits`; whoever computes asks for the record of the
moment when it computes, never when it is imported. Tolerances, which decide what the numbers are, stand beside the
algebra that they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the library may take, and from which size on it computes another way.

    Attributes
    ----------
    memory : int or None
        Bytes that may still be taken; None: as many as the system says are free. What would take more is refused.
    interpreted_steps : int
        Steps of a loop up to which it runs as plain Python: loading the compiler takes longer.
    unrolled_steps : int
        Steps of a loop over rows from which on it is compiled for the numbers of columns that there are: a second.
    factor_entries_32_bits : int
        Entries of a sparse factor that CHOLMOD counts in 32 bits: a third of what these hold, as it stores zeros.
    records_in_panel : int
        Records handled at a time, so that what is made of them stays in the cache.
    held_rows, columns_in_passes : int
        Numbers of X, or of a term, from which on what is made of them is not held, but made anew by panels; and columns
        of a term up to which it is absorbed in passes over these.
    records_in_chunk : int
        Rows of a table that are read at a time where it comes in chunks: a few MB for each column.
    precision_entries_checked : int
        Entries of the inverse of a covariance up to which it is factorised, to refuse a singular one: a second.
    factor_operations : float
        Operations of a factor of Henderson's equations, minutes, beyond which they are solved by iteration unasked.
    tabular_animals : int
        Animals of a pedigree up to which A is made whole, by rows (72 MB, 15 ms): quicker than compiled walks.
    relationship_columns : int
        Columns of A carried side by side in a walk: four cache lines a row, which hide the jump to each parent.
    dense_fixed, dense_fixed_operations : int, float
        Columns of X, and records times their squares (some seconds), beyond both of which X is better sparse where most
        of its entries are zero.
    dense_whatever_fill : int
        Random effects left after absorption up to which their factor is dense whatever its fill: LAPACK is quicker.
    dense_effects, dense_meetings : int
        Random effects of a generalised model beside an absorbed factor, and pairs of theirs with its levels (32 MB), up
        to which their Schur complement is dense.
    merged_records, merged_share : int, float
        Records of a generalised model from which on those alike are made one; the share that may differ, to pay.
    compiled_records, compiled_coefficients : int
        Records of generalised models from which on their levels are passed over by a compiled loop (below, making it
        takes longer than a fit: a process beside makes it), with up to so many coefficients a level.
    machine_code : bool
        Whether loops that are on disk as machine code serve models of any size.
    records_of_start : int
        Records of a generalised model by which its search finds a start: of more, every second, third, ... is taken.
    records_of_second_start : int
        Records of a generalised model of several variances up to which it is searched from large ones too.
    kept_densities : int
        Records times nodes of a quadrature up to which log densities are kept for the gradient (a few hundred MB).
    dear_factor : float
        Products of a factor for each record, beyond which the mode is searched by the factor of another point.
    separation_entries : int
        Entries of X, a second, up to which a generalised fit that did not converge is tried for separation.
    simulated_records : int
        Records of the responses that a diagnosis of a generalised fit draws: a second or two.
    dense_up_to : int
        Random effects left after absorption beyond which a dense factor is not considered while sparsity may help.
    dense_operations : float
        Operations of a dense factor, of 14,400 effects in 1.7 GB, beyond which it is not considered: it takes minutes.
    awaited_operations : float
        Operations of a factor, two seconds, beyond which ``engine="auto"`` searches by iteration where it can.
    summed_products, listed_products : int
        Products of the levels of the absorbed block from which on a loop that is on disk adds them up anew in every
        evaluation, which is quicker then; and beyond which it does wherever it is: a list of them takes 36 bytes each.
    probes, most_probes : int
        Random probes with which the iterative engine begins, doubled up to so many while their error is too large.
    probed_steps : int
        Points at which a search by the iterative engine asks for slopes, after which it is given up.
    solver_steps : int
        Steps of conjugate gradients after which a solve is given up.
    nearly_dense : float
        Products that go to a matrix, as a share of its entries, beyond which it is as good as dense; its factor, as a
        share of a triangle, beyond twice this.
    fill_of_absorption : float
        Products for each entry that there is, beyond which all effects are factorised together: absorption fills up.
    blocks_for_a_pair, blocks_remembered : int
        Blocks for each pair of levels that meet, from which on those that occur are sought among sorted keys; and of
        two factors, up to which their places are remembered: models of one shape follow one another.
    share_without_zeros : float
        A map from levels to products of which less than this share is not zero is kept without zeros.
    levels_in_panel : int
        Levels handled at a time in an evaluation: a few arrays of this length stay in the second-level cache.
    groups_a_pattern : int
        Groups for each pattern of occasions, from which on a product is made pattern by pattern, not group by group.
    numbers_of_indicators : int
        Records times levels up to which sums by level are products with the indicators of levels.
    designs_known, numbers_of_known : int
        Designs whose criterion is kept for other responses, and the numbers of X and Z that each may have.
    unmerged_numbers : int
        Numbers of all levels in an evaluation up to which no levels are sought that can stand for one another.
    dense_factor_entries : int
        Entries of a matrix up to which products with it are made densely.
    orthogonal_operations : float
        Operations that an evaluation by orthogonal transformations may take; what is made once for all may take ten
        times as many. Beyond, very unequal variances are evaluated by the ordinary way, with digits lost.
    information_entries : int
        Entries of the matrices of derivatives in closed form (200 MB each) beyond which differences are taken.
    svd_operations : float
        Operations up to which one level of many columns is decomposed by LAPACK's singular values, the most exact way:
        a second. Beyond, by the Gram matrix of the shorter side.
    many_columns, columns_for_one : int
        Columns of a level beyond which, where levels are fewer than their squares, LAPACK is quicker level by level;
        and for each that is not zero, up to which a product with all of them is quicker.
    panel_numbers : int
        Numbers of a panel of a product of two matrices, which stays in the second-level cache.
    pair_product_cost, compiled_product_cost : float
        What one product for a pair of levels by itself costs, in multiplications of such a panel; and compiled.
    interpreted_products : int
        Such products, of all pairs, from which on they are compiled: below, loading the compiler takes longer.
    pair_numbers, solved_numbers : int
        Numbers of the products of pairs of levels, and of the right-hand sides of a sparse factor, at a time (32 MB).
    group_hat_entries : int
        Entries of the matrices from which the hat matrix of any group is picked; beyond (800 MB), the levels of the
        groups are absorbed instead.
    group_hat_cost : float
        What a sparse product for one group costs beside its operations, in operations.
    level_batch_numbers : int
        Numbers of the arrays for a batch of levels that leave together, which are to stay in the cache.
    large_group, large_group_steps : int
        Records of a group up to which its own part of the hat matrix is made; steps of conjugate gradients by which a
        larger one may leave: one that needs more is evaluated without.
    large_group_records : int
        Records of the large groups that leave side by side: each has some tens of entries of the matrices in step.
    record_products : float
        Products, minutes, beyond which what each record does is refused where effects vary within groups of residuals.
    records_by_columns : int
        Records times records that nearly all is known of, up to which each of these has a column of its own to say what
        it does to a fit, an evaluation each; it is NaN beyond.
    freedom_rows : int
        Rows whose degrees of freedom are computed at a time.
    small_model_numbers, small_model_records : int
        Numbers of the compressed columns of Z, and records, up to which a model is small: descents of its criterion
        from many places cost less than one search of a large one.
    records_of_valleys, pairs_of_valleys : int
        Records, and correlated pairs, up to which other valleys of parameters of residuals are sought: milliseconds.
    slope_numbers : int
        Numbers of the second derivatives that a search makes in closed form; beyond, average information is quicker.
    dear_order, dear_evaluation : float
        Operations, a tenth of a second, of a factor beyond which nested dissection is tried too; and beyond which four
        to six parameters are searched by average information too.
    hessian_operations : float
        Operations that the observed information of many parameters may take: minutes; beyond, it is averaged.
    freedom_operations : float
        Operations, a minute, that degrees of freedom of all columns of a wide X may take; beyond, chosen ones are made.
    operations_a_response, responses_together : float, int
        Operations of an evaluation, half a millisecond, up to which responses of one model are searched together, each
        with a factor of its own; from so many on: fewer take less time than loading the compiled loops.
    threaded_operations : float
        Operations of a dense factor from which on searches of several responses run in threads: of smaller ones Python,
        which runs one thread at a time, takes most of the time.
    groups_left_out : int
        Refits of a jackknife at the most: of more groups some are left out at a time.
    response_numbers : int
        Numbers of the responses, and of their sums, that are handled at a time (64 MB).
    related_levels_asked : int
        Related levels up to which their covariances are computed unasked, to tell variances apart.
    summary_operations, tests_operations : float
        Operations a summary may take for errors of heritabilities, a second, and for degrees of freedom, a tenth of it.
    """

    memory: int | None = None
    interpreted_steps: int = 300_000
    unrolled_steps: int = 50_000_000
    factor_entries_32_bits: int = 2**31 // 3
    records_in_panel: int = 16_384
    held_rows: int = 1_000_000
    columns_in_passes: int = 8
    records_in_chunk: int = 262_144
    precision_entries_checked: int = 1_000_000
    factor_operations: float = 1e13
    tabular_animals: int = 3000
    relationship_columns: int = 32
    dense_fixed: int = 100
    dense_fixed_operations: float = 1e10
    dense_whatever_fill: int = 200
    dense_effects: int = 1500
    dense_meetings: int = 4_000_000
    dear_factor: float = 200.0
    separation_entries: int = 1_000_000
    merged_records: int = 1000
    merged_share: float = 0.6
    compiled_records: int = 150_000
    compiled_coefficients: int = 6
    machine_code: bool = True
    records_of_start: int = 25_000
    simulated_records: int = 2_000_000
    records_of_second_start: int = 200
    kept_densities: int = 4_000_000
    dense_up_to: int = 8000
    dense_operations: float = 1e12
    awaited_operations: float = 5e10
    summed_products: int = 100_000
    listed_products: int = 4_000_000
    probes: int = 30
    most_probes: int = 480
    probed_steps: int = 60
    solver_steps: int = 2000
    nearly_dense: float = 0.25
    fill_of_absorption: float = 10.0
    blocks_for_a_pair: int = 4
    blocks_remembered: int = 4096
    share_without_zeros: float = 0.9
    levels_in_panel: int = 4096
    groups_a_pattern: int = 8
    numbers_of_indicators: int = 8192
    designs_known: int = 8
    numbers_of_known: int = 2**14
    unmerged_numbers: int = 512
    dense_factor_entries: int = 2**15
    orthogonal_operations: float = 2e9
    information_entries: int = 25_000_000
    svd_operations: float = 1e9
    many_columns: int = 16
    columns_for_one: int = 4
    panel_numbers: int = 131_072
    pair_product_cost: float = 30
    interpreted_products: int = 1_000_000
    compiled_product_cost: float = 5
    pair_numbers: int = 4_000_000
    solved_numbers: int = 4_000_000
    group_hat_entries: int = 100_000_000
    group_hat_cost: float = 100_000
    level_batch_numbers: int = 250_000
    large_group: int = 1000
    large_group_steps: int = 300
    large_group_records: int = 100_000
    record_products: float = 1e11
    records_by_columns: int = 200_000
    freedom_rows: int = 8_192
    small_model_numbers: int = 10_000
    small_model_records: int = 100
    records_of_valleys: int = 2000
    pairs_of_valleys: int = 200_000
    slope_numbers: int = 100_000
    dear_order: float = 5e8
    dear_evaluation: float = 1e9
    hessian_operations: float = 2e12
    freedom_operations: float = 5e11
    operations_a_response: float = 5e5
    responses_together: int = 50
    threaded_operations: float = 3e7
    groups_left_out: int = 200
    response_numbers: int = 8_000_000
    related_levels_asked: int = 2000
    summary_operations: float = 1e10
    tests_operations: float = 1e9


_DEFAULT = Limits()
_present: ContextVar[Limits] = ContextVar("limits", default=_DEFAULT)


def limits() -> Limits:
    """The limits that hold where this is called: those of the innermost :func:`within`, else the defaults."""
    return _present.get()


def set_limits(bounds: Limits) -> Token[Limits]:
    """Let these limits hold from here on: for a process or thread that begins, which has the defaults otherwise."""
    return _present.set(bounds)


@contextmanager
def within(bounds: Limits) -> Iterator[Limits]:
    """Compute within these limits; those from before hold again afterwards, whatever happens.

    They hold for what is computed inside the block, not for a fit made there that is asked for more later. Each thread
    has its own; the processes of a bootstrap are given those of their caller.

    Examples
    --------
    >>> from mme.numeric.limits import Limits, limits, within
    >>> with within(Limits(memory=2**30)):
    ...     limits().memory
    1073741824
    >>> limits().memory is None
    True
    """
    token = set_limits(bounds)
    try:
        yield bounds
    finally:
        _present.reset(token)
