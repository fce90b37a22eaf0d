"""The diagnosis rules, by subject."""
