"""lme4's language: text -> tree -> terms -> columns, and the same columns for new rows."""
