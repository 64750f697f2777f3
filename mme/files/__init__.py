"""A fit on disk and in other forms: archive, export, tables, report."""
