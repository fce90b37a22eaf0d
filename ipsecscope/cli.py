"""The command line: parse arguments, call the library, print. No analysis here."""
