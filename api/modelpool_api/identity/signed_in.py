"""Those who come with a token of the OpenID provider: its claims say who they are and which plan they have."""

from __future__ import annotations

from collections.abc import Mapping

from modelpool_api.identity.oidc import OidcVerifier
from modelpool_api.identity.people import People
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Plan


class SignedIn:
    """Implements :class:`modelpool_api.identity.resolver.Credentials`."""

    def __init__(self, oidc: OidcVerifier, people: People, plans: Mapping[str, Plan]) -> None:
        self._oidc = oidc
        self._people = people
        self._plans = plans

    async def find(self, key: str) -> Subject | None:
        """Whose token it is; None for what is no token.

        :raises Unauthenticated: it is one, and not good here.
        :raises Unavailable: the provider's keys are not known, or Redis is away.
        """
        if key.count(".") != 2:
            return None
        claims = await self._oidc.verify(key)
        rules = self._oidc.rules
        asked = claims.get(rules.plan_claim) if rules.plan_claim else None
        plan = asked if isinstance(asked, str) and asked in self._plans else rules.plan
        id = await self._people.id_of(rules.issuer, str(claims["sub"]))
        return Subject(f"oidc:{id}", self._plans[plan].queue_lane, plan)
