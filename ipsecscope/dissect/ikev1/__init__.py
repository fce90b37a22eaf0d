"""IKEv1 and ISAKMP: RFC 2407, 2408, 2409 and what was built on them."""
