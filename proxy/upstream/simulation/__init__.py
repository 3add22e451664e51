"""Models that are none: they answer in this process, with text of no meaning, as a real one would in time and in form."""

from proxy.upstream.simulation.upstream import Simulation

__all__ = ["Simulation"]
