"""IKEv1 peers: phase 1 in main and aggressive mode, quick mode, XAUTH, mode configuration, informational exchanges."""
