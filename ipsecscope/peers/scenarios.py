"""The declared list of scenarios, and ``generate``, which plays one by its name.

The same name and seed give the same bytes, so a capture is its row in one of the tables.
"""

from __future__ import annotations

from ipsecscope.peers.scenario import Generated, Scenario, play
from ipsecscope.peers.scenarios_extensions import EXTENSION_SCENARIOS
from ipsecscope.peers.scenarios_hostile import HOSTILE_SCENARIOS
from ipsecscope.peers.scenarios_ikev1 import IKEV1_SCENARIOS
from ipsecscope.peers.scenarios_ikev2 import IKEV2_SCENARIOS
from ipsecscope.peers.scenarios_lives import LIVES_SCENARIOS
from ipsecscope.peers.scenarios_misfits import MISFIT_SCENARIOS
from ipsecscope.peers.scenarios_network import NETWORK_SCENARIOS

__all__ = ["BY_NAME", "SCENARIOS", "Generated", "Scenario", "generate"]

SCENARIOS: tuple[Scenario, ...] = (
    *IKEV1_SCENARIOS,
    *IKEV2_SCENARIOS,
    *EXTENSION_SCENARIOS,
    *NETWORK_SCENARIOS,
    *MISFIT_SCENARIOS,
    *HOSTILE_SCENARIOS,
    *LIVES_SCENARIOS,
)
BY_NAME: dict[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}


def generate(name: str, seed: int = 0) -> Generated:
    """Play a scenario. Raises KeyError for a name that is not in the list."""
    return play(BY_NAME[name], seed)
