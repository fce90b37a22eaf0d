"""Bytes on disk to frames, datagrams and columns. Knows nothing of IPsec but its port and protocol numbers."""
