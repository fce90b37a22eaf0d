"""Key material in the forms that people have it in: one importer per file, found by content."""
