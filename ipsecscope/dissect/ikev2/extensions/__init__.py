"""IKEv2 extensions: one file per RFC."""
