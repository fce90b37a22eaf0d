"""IKEv2 peers: an initiator and a responder, one module per exchange, their states a table (RFC 7296)."""
