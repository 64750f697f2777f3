"""One evaluation of the criterion: condition, absorb, assemble, factorise, eliminate."""
