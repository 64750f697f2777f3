"""A fit as a paper shows it: a table, several models side by side, a paragraph on how it was made."""
