"""The admission document: who comes in, how much each may take, what happens when there is too much to do.

One YAML file, or the name of a built-in one (:mod:`modelpool_api.policy_file`). Pure. Every ceiling is in quota units a
UTC day.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic.alias_generators import to_camel

from modelpool.jobs import Lane

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Units = Annotated[int, Field(ge=0, le=2**50)]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
Mode = Literal["off", "shadow", "enforce"]
_NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is no network; write such as 10.0.0.0/8 or 2001:db8::/32") from None


def _off(value: object) -> object:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


class Section(BaseModel):
    """Base: camelCase, nothing unknown, nothing converted."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


class Cookie(Section):
    """The signed cookie that a browser is known by."""

    name: str = Field("modelpool_visitor", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    life_days: int = Field(180, ge=1, le=400)
    renew_hours: int = Field(24, ge=1, le=24 * 30)
    """A cookie older than this is signed anew, with the newest secret."""
    secure: bool | None = None
    """Only over HTTPS; null: when the request came over HTTPS."""
    same_site: Literal["lax", "strict", "none"] = "lax"
    """``none`` lets a page of another site send it, which needs ``secure: true``."""

    @model_validator(mode="after")
    def _none_is_secure(self) -> Cookie:
        if self.same_site == "none" and not self.secure:
            raise ValueError("sameSite: none needs secure: true, or browsers drop the cookie")
        return self


class Oidc(Section):
    """An OpenID provider whose tokens are accepted as ``Authorization: Bearer``."""

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks_url: str = Field(pattern=r"^https?://")
    algorithms: list[Algorithm] = Field(default_factory=lambda: list[Algorithm](("RS256", "ES256")), min_length=1)
    plan: str = "account"
    plan_claim: str | None = None
    """A claim that names the plan; a token without it, or with a plan that does not exist, gets ``plan``."""
    leeway_seconds: int = Field(60, ge=0, le=600)


class Identity(Section):
    """Which signals count."""

    trusted_proxies: list[Annotated[Network, BeforeValidator(_network, json_schema_input_type=str)]] = Field(
        default_factory=list
    )
    """Networks whose X-Forwarded-For is believed, read from right to left."""
    cookie: Cookie = Cookie()
    oidc: Oidc | None = None


class Burst(Section):
    """At most ``burst`` at one moment, and ``per_second`` for as long as one likes."""

    per_second: float = Field(2.0, gt=0, le=1e6)
    burst: int = Field(5, ge=1, le=10**6)


class AnonymousCeilings(Section):
    """What those may take who have no account."""

    cookie: Units = 50
    fingerprint_and_prefix: Units = 50
    prefix_without_signals: Units = 50
    """Together, for all of a prefix who send no cookie or no fingerprint."""
    prefix: Units = 250
    """An IPv4 address, an IPv6 /64."""
    site: Units = 1_000
    """An IPv6 /48."""
    burst: Burst = Burst()


class Plan(Section):
    """What the holder of a key may take."""

    lane: Literal["paid", "account"] = "account"
    per_day: Units
    per_prefix: Units | None = None
    """All keys of this plan behind one prefix together; null: no ceiling."""
    per_site: Units | None = None
    burst: Burst = Burst()

    @property
    def queue_lane(self) -> Lane:
        """The lane as the queue names it."""
        return Lane(self.lane)


class Accounts(Section):
    """Free accounts, which anybody may make without telling who they are."""

    enabled: bool = True
    plan: str = "account"
    per_identity: int = Field(1, ge=1)
    """New accounts a day for one cookie, one (fingerprint, prefix), or all of a prefix without signals."""
    per_prefix: int = Field(5, ge=1)
    per_site: int = Field(20, ge=1)
    proof_of_work: bool = False
    """Whether a new account costs a solved challenge."""


_TIMES = re.compile(r"[1-9][0-9]{0,3}(\.[0-9]{1,2})?x")


def _wait(value: object) -> float | str | None:
    if value is None or (isinstance(value, str) and _TIMES.fullmatch(value)):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    raise ValueError("write seconds above 0, or such as 12x for so many times the pool's targetSeconds, or null")


Wait = Annotated[float | str | None, PlainValidator(_wait, json_schema_input_type=float | str | None)]


class Overload(Section):
    """The longest predicted wait at which a lane still lets jobs in; null: always.

    In seconds, or as ``12x``: so many times the pool's ``targetSeconds``, which is what its users were promised.
    """

    paid: Wait = None
    account: Wait = "18x"
    anonymous: Wait = "12x"

    def limit(self, lane: Lane, target_seconds: float) -> float | None:
        """Seconds of one lane."""
        found = {Lane.PAID: self.paid, Lane.ACCOUNT: self.account, Lane.ANONYMOUS: self.anonymous}[lane]
        return float(found.removesuffix("x")) * target_seconds if isinstance(found, str) else found


class Challenge(Section):
    """A proof of work (ALTCHA), which a browser does by itself: a moment for a person, and for a program too, each time."""

    cost: int = Field(5_000, ge=1, le=100_000)
    """Rounds of PBKDF2 for each of the 256 tries that a solution takes on average."""
    life_seconds: int = Field(600, ge=10, le=86_400)


class Record(Section):
    """Where the rules' view of each request is written, for ``modelpool abuse replay``: names of the day, nothing else."""

    file: str = Field(min_length=1)
    megabytes: int = Field(64, ge=1, le=100_000)
    """Of disk: one file and the one before it, half of this each."""


class Behaviour(Section):
    """Patterns that no person has. Each number is what is still usual; null switches its rule off."""

    mode: Annotated[Mode, BeforeValidator(_off, json_schema_input_type=Mode | Literal[False])] = "shadow"
    """Shadow counts and refuses nobody: look at the counts before you enforce."""
    answer: Literal["refuse", "challenge"] = "refuse"
    """What enforcing means: a refusal for a while, or a challenge for each such request."""
    record: Record | None = None
    rapid_per_minute: int | None = Field(40, ge=1)
    identical_per_hour: int | None = Field(20, ge=1)
    visitors_per_device: int | None = Field(12, ge=1)
    """Different cookies, or requests without one, of one fingerprint in one network a day."""
    networks_per_fingerprint: int | None = Field(50, ge=1)
    """A day. Identical phones share a fingerprint: enforce this only with care."""


class Cors(Section):
    """Pages of other sites that may call the API from a browser."""

    allowed_origins: list[Annotated[str, Field(pattern=r"^(https?://[^/\s*]+|\*)$")]] = Field(default_factory=list)
    """Such as ``https://gallery.example``; ``*``: all, without cookies."""
    allow_credentials: bool = False
    """Whether those pages may send the visitor's cookie."""

    @model_validator(mode="after")
    def _credentials_for_some(self) -> Cors:
        if self.allow_credentials and "*" in self.allowed_origins:
            raise ValueError("allowCredentials needs named origins: with * any page could act for its visitors")
        return self


def _plans() -> dict[str, Plan]:
    return {
        "account": Plan(lane="account", per_day=100, per_prefix=500, per_site=2_000),
        "paid": Plan(lane="paid", per_day=5_000, burst=Burst(per_second=10, burst=50)),
    }


class AdmissionPolicy(Section):
    """The whole document."""

    profile: Literal["public", "local"] = "public"
    """Whose defaults fill what the document does not say."""
    identity: Identity = Identity()
    anonymous: AnonymousCeilings = AnonymousCeilings()
    plans: dict[Annotated[str, Field(pattern=_NAME)], Plan] = Field(default_factory=_plans)
    accounts: Accounts = Accounts()
    overload: Overload = Overload()
    behaviour: Behaviour = Behaviour()
    challenge: Challenge = Challenge()
    cors: Cors = Cors()

    @model_validator(mode="after")
    def _plans_exist(self) -> AdmissionPolicy:
        wanted = {"accounts.plan": self.accounts.plan}
        if self.identity.oidc is not None:
            wanted["identity.oidc.plan"] = self.identity.oidc.plan
        for where, plan in wanted.items():
            if plan not in self.plans:
                raise ValueError(f"{where} is {plan!r}, but plans has only {', '.join(sorted(self.plans)) or 'none'}")
        if self.plans[self.accounts.plan].lane == "paid":
            raise ValueError("accounts.plan is a plan of the paid lane: anybody could be served first at a click")
        return self
