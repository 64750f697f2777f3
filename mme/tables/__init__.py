"""A user's table and its labels: columns of any library -> numbers, dates and coded factors."""
