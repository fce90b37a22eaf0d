"""Keys and bytes to plaintext. Pure functions and one KeyRing."""
