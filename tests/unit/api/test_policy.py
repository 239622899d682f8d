"""The admission document."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.errors import InvalidInput
from modelpool.jobs import Lane
from modelpool_api.policy_file import parse_policy, read_policy


def test_what_is_not_said_comes_from_the_profile() -> None:
    public, local = read_policy("public"), read_policy("local")
    assert (public.anonymous.cookie, public.anonymous.prefix, public.anonymous.site) == (50, 250, 1_000)
    assert (public.anonymous.burst.per_second, public.anonymous.burst.burst) == (2, 5)
    assert local.anonymous.cookie > 10**6
    assert local.overload.limit(Lane.ANONYMOUS, 10) is None


def test_the_longest_wait_is_in_seconds_or_in_times_of_what_the_pool_has_promised() -> None:
    public = read_policy("public").overload
    assert [public.limit(lane, 10) for lane in (Lane.PAID, Lane.ACCOUNT, Lane.ANONYMOUS)] == [None, 180, 120]
    assert public.limit(Lane.ANONYMOUS, 2.5) == 30
    said = parse_policy({"overload": {"paid": "1.5x", "account": 7, "anonymous": None}}).overload
    assert [said.limit(lane, 60) for lane in (Lane.PAID, Lane.ACCOUNT, Lane.ANONYMOUS)] == [90, 7, None]


def test_a_bare_off_is_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "admission.yaml"
    path.write_text("behaviour: {mode: off}")
    assert read_policy(str(path)).behaviour.mode == "off"


def test_a_document_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "admission.yaml"
    path.write_text(
        "profile: local\nanonymous: {cookie: 7}\nidentity: {trustedProxies: [10.0.0.0/8, '2001:db8::/32']}\n"
    )
    policy = read_policy(str(path))
    assert (policy.anonymous.cookie, policy.anonymous.prefix) == (7, read_policy("local").anonymous.prefix)
    assert [network.prefixlen for network in policy.identity.trusted_proxies] == [8, 32]
    path.write_text("")
    assert read_policy(str(path)) == read_policy("public")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("anonymous: {cookie: fifty}", "anonymous.cookie"),
        ("anonymous: {cookie: '50'}", "anonymous.cookie"),
        ("anonymous: {cookies: 50}", "anonymous.cookies"),
        ("anonymous: {cookie: -1}", "anonymous.cookie"),
        ("anonymous: {burst: {perSecond: 0}}", "anonymous.burst.perSecond"),
        ("anonymous: {burst: {perSecond: .inf}}", "anonymous.burst.perSecond"),
        ("identity: {trustedProxies: ['everything']}", "is no network"),
        ("identity: {trustedProxies: [10.0.0.1/8]}", "is no network"),
        ("plans: {Gold Plan: {perDay: 1}}", "plans"),
        ("accounts: {plan: gold}", "accounts.plan is 'gold'"),
        ("accounts: {plan: paid}", "paid lane"),
        ("identity: {oidc: {issuer: x, audience: y, jwksUrl: 'https://z', plan: gold}}", "identity.oidc.plan"),
        ("cors: {allowedOrigins: ['*'], allowCredentials: true}", "allowCredentials needs named origins"),
        ("cors: {allowedOrigins: ['gallery.example']}", "cors.allowedOrigins"),
        ("identity: {cookie: {sameSite: none}}", "needs secure: true"),
        ("profile: generous", "profile"),
        ("overload: {paid: 0}", "overload.paid: write seconds above 0"),
        ("overload: {paid: 0x}", "overload.paid: write seconds above 0"),
        ("overload: {paid: yes}", "overload.paid: write seconds above 0"),
        ("overload: {anonymous: .inf}", "overload.anonymous: write seconds above 0"),
        ("behaviour: {mode: on}", "behaviour.mode"),
        ("behaviour: {answer: ban}", "behaviour.answer"),
        ("behaviour: {record: {file: ''}}", "behaviour.record.file"),
        ("challenge: {cost: 0}", "challenge.cost"),
        ("- 1", "must be an object"),
        ("a: [", "is no YAML"),
    ],
)
def test_what_cannot_work_is_one_sentence_that_names_the_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "admission.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        read_policy(str(path))
    assert says in refusal.value.message
    assert "admission.yaml" in refusal.value.message


def test_a_missing_file_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read.*public, local"):
        read_policy("/absent.yaml")
    with pytest.raises(InvalidInput):
        parse_policy(3)
