"""The IANA registries: one module per file, one class per table, one row per code point."""
