"""Who asks, in the configuration: organisations, teams with their budgets and factors, keys."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from proxy.sections import Constraints, KeyRef, NonNegative, Section


class Budget(Section, frozen=True):
    per: Literal["hour", "day", "week", "month"] = "month"
    """The period after which it begins anew."""
    g: NonNegative | None = None
    """Grams of CO2e in a period."""
    usd: NonNegative | None = None
    """US dollars in a period."""


class OwnFactors(Section, frozen=True):
    """Factors of one's own, for forecasts and accounts. What a team leaves out is its organisation's, then the fleet's."""

    pue: Annotated[float, Meta(ge=1)] | None = None
    """Power usage effectiveness of the buildings it is served from, by its contract."""
    g_per_kwh: NonNegative | dict[str, NonNegative] | None = None
    """Location-based intensity of the power it is served with: one figure, or by zone as the deployments write theirs."""
    basis: Literal["lifecycle", "direct"] = "lifecycle"
    """Of `g_per_kwh`; a direct figure is converted where the fleet's basis is lifecycle."""
    band: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Half width of the 80 % band of `g_per_kwh`, as a share."""
    source: str | None = None
    """Where `g_per_kwh` is from."""
    as_of: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """The last day `g_per_kwh` is about, as 2025-12-31."""


class Organisation(Section, frozen=True):
    carbon: OwnFactors = OwnFactors()
    """Factors of its own for energy and carbon, for all its teams."""


class Team(Section, frozen=True):
    organisation: str | None = None
    """Whose factors hold where the team has none of its own."""
    policy: str | None = None
    """For requests that name none and whose key names none."""
    require: Constraints = Constraints()
    """Holds for all requests of the team."""
    prefer: Constraints = Constraints()
    """Steers all requests of the team."""
    budget: Budget | None = None
    """What the team may spend; then 429."""
    carbon: OwnFactors = OwnFactors()
    """Factors of its own for energy and carbon."""


class Key(Section, frozen=True):
    team: str
    """Who is accounted, and who may read the entries."""
    key: KeyRef
    """The key itself, by reference or as its SHA-256."""
    policy: str | None = None
    """For requests that name none."""
    require: Constraints = Constraints()
    """Holds for all requests with this key."""
    prefer: Constraints = Constraints()
    """Steers all requests with this key."""
    explain: bool = False
    """May see each deployment and why it was excluded in a 422, and the verbose headers without asking."""
    models: tuple[str, ...] | None = None
    """Only these; left out: all."""

    def __repr__(self) -> str:
        return f"Key(team={self.team!r}, key='****', policy={self.policy!r})"
