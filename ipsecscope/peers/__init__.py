"""The built-in peers and their data plane; sans-IO."""
