"""Messages to exchanges to SAs. Says what happened, never whether it is bad."""
