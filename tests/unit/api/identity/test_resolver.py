"""From a request to its subject."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import HTTPConnection

from modelpool.errors import Unauthenticated, Unavailable
from modelpool.jobs import Lane
from modelpool_api.identity.days import Days
from modelpool_api.identity.keys_file import ApiKey, FileKeys
from modelpool_api.identity.oidc import RETRY_SECONDS, OidcVerifier
from modelpool_api.identity.resolver import SignalSubjectResolver
from modelpool_api.identity.ring import DayKey, SecretRing
from modelpool_api.identity.signed_in import SignedIn
from modelpool_api.policy import AdmissionPolicy
from modelpool_api.policy_file import parse_policy

NOW = 1_800_000_000
KEYS = (
    ApiKey(name="studio", key="a-paid-key-of-some-length", lane=Lane.PAID),
    ApiKey(name="friend", key="an-account-key-of-some-length", lane=Lane.ACCOUNT),
)
RING = SecretRing.parse("a-secret-of-some-length")
FINGERPRINT = "f" * 32
ISSUER = {"issuer": "https://id.example", "audience": "modelpool", "jwksUrl": "https://id.example/keys"}


class FixedDay(Days):
    """A day without a Redis."""

    def __init__(self, day: int = 20_000) -> None:
        self.day = day

    async def today(self) -> DayKey:
        return RING.day_key(self.day, RING.ids()[0])


def connection(address: str | None = "203.0.113.9", cookie: str = "", **headers: str) -> HTTPConnection:
    sent = {**headers, **({"cookie": cookie} if cookie else {})}
    raw = [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    return HTTPConnection({"type": "http", "headers": raw, "client": (address, 1) if address is not None else None})


def resolver(policy: AdmissionPolicy | None = None, days: Days | None = None, **parts: Any) -> SignalSubjectResolver:
    given = {"file_keys": FileKeys(KEYS), "now": lambda: NOW, **parts}
    return SignalSubjectResolver(policy or AdmissionPolicy(), RING, days or FixedDay(), **given)


@pytest.mark.parametrize(("entry", "scheme"), [(KEYS[0], "Bearer"), (KEYS[1], "bearer"), (KEYS[1], "BEARER")])
async def test_a_key_brings_its_lane_and_plan(entry: ApiKey, scheme: str) -> None:
    subject = await resolver().resolve(connection(authorization=f"{scheme} {entry.key}"))
    assert (subject.id, subject.lane, subject.plan) == (f"key:{entry.name}", entry.lane, entry.lane.value)
    assert subject.set_cookie is None


@pytest.mark.parametrize(
    "header", ["Bearer nope", "Bearer", "Basic YTpi", "", "Bearer a-paid-key-of-some-lengt", "Bearer a.b.c"]
)
async def test_credentials_of_nobody_are_refused_rather_than_ignored(header: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await resolver().resolve(connection(authorization=header))
    assert "nope" not in refusal.value.message


async def test_without_cookie_and_fingerprint_the_network_decides_and_is_not_shown() -> None:
    here, again, there = [
        await resolver().resolve(connection(address)) for address in ("203.0.113.9", "203.0.113.9", "203.0.113.10")
    ]
    assert here == again != there
    assert (here.lane, here.plan) == (Lane.ANONYMOUS, None)
    assert "203" not in here.id
    assert "203" not in repr(here)
    assert (await resolver(days=FixedDay(20_001)).resolve(connection())).id != here.id
    assert (await resolver().resolve(connection(None))).lane is Lane.ANONYMOUS


async def test_a_forwarded_header_counts_only_from_a_configured_proxy() -> None:
    plain = await resolver().resolve(connection())
    assert await resolver().resolve(connection(x_forwarded_for="198.51.100.1")) == plain
    behind = resolver(parse_policy({"identity": {"trustedProxies": ["203.0.113.0/24"]}}))
    forwarded = await behind.resolve(connection(x_forwarded_for="198.51.100.1", x_forwarded_proto="https"))
    assert forwarded == await behind.resolve(connection("198.51.100.1"))
    assert "Secure" in (forwarded.set_cookie or "")
    assert "Secure" not in (
        (await behind.resolve(connection("198.51.100.1", x_forwarded_proto="https"))).set_cookie or ""
    )


async def test_a_cookie_is_given_once_and_makes_the_same_visitor_everywhere() -> None:
    first = await resolver().resolve(connection())
    found = re.match(r"(modelpool_visitor=[^;]+)", first.set_cookie or "")
    assert found is not None
    here = await resolver().resolve(connection(cookie=found[1]))
    there = await resolver().resolve(connection("2001:db8::1", cookie=found[1]))
    assert here.id == there.id != first.id
    assert here.id.startswith("visitor:")
    assert here.set_cookie is None


async def test_a_forged_cookie_is_a_missing_one() -> None:
    subject = await resolver().resolve(connection(cookie=f"modelpool_visitor=1.{'A' * 22}.{NOW}.{'B' * 32}"))
    assert subject.id.startswith("guest:")
    assert subject.set_cookie is not None


@pytest.mark.parametrize("value", ["", "short", "x" * 129, "with spaces in the middle", "<script>alert(1)</script>"])
async def test_a_fingerprint_of_another_form_is_a_missing_one(value: str) -> None:
    assert (await resolver().resolve(connection(modelpool_fingerprint=FINGERPRINT))).id.startswith("device:")
    assert (await resolver().resolve(connection(modelpool_fingerprint=value))).id.startswith("guest:")


class Names:
    """People without a Redis."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], str] = {}

    async def id_of(self, issuer: str, name: str) -> str:
        return self.ids.setdefault((issuer, name), f"person-{len(self.ids)}")


class Provider:
    """An OpenID provider's keys, and a clock."""

    def __init__(self) -> None:
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": "one"})]
        self.fetches = 0
        self.away = False
        self.monotonic = 1000.0

    async def fetch(self, url: str) -> Any:
        self.fetches += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise ValueError(url)
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def token(self, key: int = 0, alg: str = "RS256", **claims: Any) -> str:
        payload = {"iss": ISSUER["issuer"], "aud": "modelpool", "sub": "anna", "exp": NOW + 300, **claims}
        return jwt.encode({"alg": alg, "kid": self.keys[key].kid}, payload, self.keys[key])

    def resolver(self, **changes: Any) -> SignalSubjectResolver:
        policy = parse_policy({"identity": {"oidc": {**ISSUER, **changes}}})
        rules = policy.identity.oidc
        assert rules is not None
        verifier = OidcVerifier(rules, fetch=self.fetch, now=lambda: NOW, monotonic=lambda: self.monotonic)
        return resolver(policy, credentials=[SignedIn(verifier, Names(), policy.plans)])


@pytest.fixture(scope="module")
def made() -> Provider:
    """Keys take a moment to make."""
    return Provider()


@pytest.fixture
def provider(made: Provider) -> Provider:
    fresh = Provider.__new__(Provider)
    fresh.keys, fresh.fetches, fresh.away, fresh.monotonic = made.keys[:1], 0, False, 1000.0
    return fresh


async def bearer(found: SignalSubjectResolver, token: str) -> Any:
    return await found.resolve(connection(authorization=f"Bearer {token}"))


async def test_a_token_of_the_provider_brings_the_plan_and_names_nobody(provider: Provider) -> None:
    found = provider.resolver(planClaim="tier")
    subject = await bearer(found, provider.token())
    assert (subject.lane, subject.plan) == (Lane.ACCOUNT, "account")
    assert "anna" not in subject.id
    assert await bearer(found, provider.token(exp=NOW + 900)) == subject
    assert (await bearer(found, provider.token(sub="bert"))).id != subject.id
    assert (await bearer(found, provider.token(tier="paid"))).lane is Lane.PAID
    assert (await bearer(found, provider.token(tier="emperor"))).plan == "account"
    assert provider.fetches == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 61},
        {"aud": "other"},
        {"iss": "https://evil.example"},
        {"nbf": NOW + 600},
        {"exp": None},
        {"sub": None},
    ],
)
async def test_a_token_for_others_or_out_of_time_is_refused(provider: Provider, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await bearer(provider.resolver(), provider.token(**claims))


async def test_a_token_signed_otherwise_is_refused(provider: Provider) -> None:
    token = provider.token()
    head, payload, signature = token.split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{payload}."
    for forged in (
        unsigned,
        f"{head}.{payload}.{signature[:-6]}AAAAAA",
        f"{head}.{payload}.",
        "a.b.c",
        f"x.{'y' * 9000}.z",
    ):
        with pytest.raises(Unauthenticated):
            await bearer(provider.resolver(), forged)
    with pytest.raises(Unauthenticated):
        await bearer(provider.resolver(algorithms=["ES256"]), token)


async def test_a_new_key_of_the_provider_is_fetched_but_not_for_every_forged_token(provider: Provider) -> None:
    found = provider.resolver()
    await bearer(found, provider.token())
    provider.keys = [*provider.keys, RSAKey.generate_key(2048, parameters={"kid": "two"})]
    provider.monotonic += RETRY_SECONDS + 1
    await bearer(found, provider.token(key=1))
    assert provider.fetches == 2
    provider.keys = [*provider.keys, RSAKey.generate_key(2048, parameters={"kid": "three"})]
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await bearer(found, provider.token(key=2))
    assert provider.fetches == 2


async def test_all_who_come_while_the_keys_are_being_fetched_get_the_answer_that_they_bring(provider: Provider) -> None:
    found = provider.resolver()
    first = await asyncio.gather(*(bearer(found, provider.token()) for _ in range(5)))
    assert (provider.fetches, len({subject.id for subject in first})) == (1, 1)
    provider.keys = [*provider.keys, RSAKey.generate_key(2048, parameters={"kid": "two"})]
    provider.monotonic += RETRY_SECONDS + 1
    later = await asyncio.gather(*(bearer(found, provider.token(key=1)) for _ in range(5)))
    assert (provider.fetches, {subject.id for subject in later}) == (2, {first[0].id})


async def test_a_provider_that_is_away_is_said_and_known_keys_serve_on(provider: Provider) -> None:
    found = provider.resolver()
    provider.away = True
    with pytest.raises(Unavailable):
        await bearer(found, provider.token())
    provider.away = False
    provider.monotonic += RETRY_SECONDS + 1
    await bearer(found, provider.token())
    provider.away = True
    provider.monotonic += 3600
    assert (await bearer(found, provider.token())).plan == "account"
